"""Name resolution: at most one lookup under way for each resolver, whatever the DNS server does.

A poll that gives up leaves its lookup running, and the next one finds it still running, or done.
"""

import asyncio
import ipaddress
import socket

from exporter.aside import aside


def _needs_no_lookup(host: str) -> bool:
    try:
        return not host or bool(ipaddress.ip_address(host))
    except ValueError:
        return False


class Resolver:
    """Resolves one host name; an address, or the empty host of a unix socket, is returned as it is."""

    def __init__(self, host: str) -> None:
        self.looks_up = not _needs_no_lookup(host)
        self._host = host
        self._lookup: asyncio.Future[tuple[str, ...]] | None = None

    async def addresses(self) -> tuple[str, ...]:
        """The host's addresses in the order in which the system would try them.

        Raises:
            socket.gaierror: the name does not resolve.

        """
        if not self.looks_up:
            return (self._host,)
        if self._lookup is None:
            self._lookup = aside(self._look_up, f"resolve {self._host}")
            self._lookup.add_done_callback(self._forget)
        return await asyncio.shield(self._lookup)

    def _look_up(self) -> tuple[str, ...]:
        try:
            rows = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
        return tuple(dict.fromkeys(str(row[4][0]) for row in rows))

    def _forget(self, lookup: "asyncio.Future[tuple[str, ...]]") -> None:
        """Ask anew next time; and look at a failure that nobody may have waited for."""
        self._lookup = None
        if not lookup.cancelled():
            lookup.exception()
