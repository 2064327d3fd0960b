"""Name resolution: at most one lookup under way for each name, whatever the DNS server does.

A poll that gives up leaves its lookup running, and the next one finds it still running, or done.
"""

import asyncio
import ipaddress
import socket

from exporter import threads
from exporter.threads import Kind, NoThreadError


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
        self._callers = 0
        self._closed = False

    @property
    def is_waiting(self) -> bool:
        """Whether the lookup waits for others to end."""
        return threads.is_waiting(Kind.NAME, self._host)

    async def addresses(self) -> tuple[str, ...]:
        """The host's addresses in the order in which the system would try them.

        Raises:
            socket.gaierror: the name does not resolve.

        """
        if not self.looks_up:
            return (self._host,)
        if self._lookup is None:
            self._lookup = threads.run(Kind.NAME, self._host, self._look_up, [_zone(self._host)])
            self._lookup.add_done_callback(self._forget)
        self._callers += 1
        try:
            return await asyncio.shield(self._lookup)
        except NoThreadError as error:
            raise socket.gaierror(socket.EAI_AGAIN, error.strerror) from None
        finally:
            self._callers -= 1
            self._give_up()

    def close(self) -> None:
        """Ask no more: a lookup that waits for a thread needs none when its last caller has left."""
        self._closed = True
        self._give_up()

    def _give_up(self) -> None:
        if self._closed and not self._callers and self._lookup is not None:
            self._lookup.cancel()

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


def _zone(host: str) -> str:
    """What hangs together: names of one zone are mostly answered by the same servers."""
    return host if host == "localhost" else host.partition(".")[2]  # which no server is asked for
