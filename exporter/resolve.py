"""Name resolution that a dead DNS server cannot use to hold up anybody else.

The event loop's own resolver has four threads for everything, and a lookup that was given up keeps its
thread until the C library gives up too. Here each link has at most one lookup under way, in a thread of its
own that does not hold up the end of the process; a poll that comes back finds it still running, or done.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading


def _needs_no_lookup(host: str) -> bool:
    try:
        return not host or bool(ipaddress.ip_address(host))
    except ValueError:
        return False


class Resolver:
    """Resolves one host name; an address, or the empty host of a unix socket, is returned as it is."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._lookup: asyncio.Future[tuple[str, ...]] | None = None

    async def addresses(self) -> tuple[str, ...]:
        """The host's addresses in the order in which the system would try them.

        Raises:
            socket.gaierror: the name does not resolve.

        """
        if _needs_no_lookup(self._host):
            return (self._host,)
        if self._lookup is None:
            self._lookup = self._start()
        found = await asyncio.shield(self._lookup)
        self._lookup = None
        return found

    def _start(self) -> "asyncio.Future[tuple[str, ...]]":
        loop = asyncio.get_running_loop()
        lookup: asyncio.Future[tuple[str, ...]] = loop.create_future()
        lookup.add_done_callback(self._forget_failure)

        def finish(found: tuple[str, ...], error: Exception | None) -> None:
            if lookup.cancelled():
                return
            if error is not None:
                lookup.set_exception(error)
            else:
                lookup.set_result(found)

        def work() -> None:
            found: tuple[str, ...] = ()
            failure: Exception | None = None
            try:
                rows = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
                found = tuple(dict.fromkeys(str(row[4][0]) for row in rows))
            except OSError as error:
                failure = error
            except UnicodeError:
                failure = socket.gaierror(socket.EAI_NONAME, "not a host name")
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, found, failure)

        threading.Thread(target=work, name=f"resolve {self._host}", daemon=True).start()
        return lookup

    def _forget_failure(self, lookup: "asyncio.Future[tuple[str, ...]]") -> None:
        """A failed lookup is asked again, and nobody need have waited for it."""
        if not lookup.cancelled() and lookup.exception() is not None:
            self._lookup = None
