"""uvicorn, embedded: our sockets, our signals, and a deadline for slow requests."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporter.limits import HTTP_CONNECTIONS, HTTP_REQUEST_SECONDS
from exporter.model import ListenAddress
from exporter.web.routes import Site

_DRAIN_SECONDS = 3


class _PatientProtocol(H11Protocol):
    """Cuts a connection on which a request, or the reading of its answer, does not get on in time.

    uvicorn itself waits for ever for a request that drips in and for a client that does not read.
    """

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  uvicorn types it more narrowly
        super().connection_made(transport)
        self._stuck_at: object = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._timer = self.loop.call_later(HTTP_REQUEST_SECONDS, self._cut_or_go_on)

    def _cut_or_go_on(self) -> None:
        cycle = self.cycle
        unfinished = (
            cycle is None
            or not cycle.response_complete
            or bool(self.conn.trailing_data[0])
            or self.transport.get_write_buffer_size() > 0
        )
        if unfinished and cycle is self._stuck_at:
            self.transport.abort()
        else:
            self._stuck_at = cycle if unfinished else self  # no cycle is the protocol itself
            self._watch()


class _Server(uvicorn.Server):
    """Leaves signals to app.py, and sleeps until told to stop; uvicorn itself looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = asyncio.Event()

    async def main_loop(self) -> None:
        await self.stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(addresses: Iterable[ListenAddress]) -> list[socket.socket]:
    """Open the listening sockets; an empty host is every interface, IPv6 and IPv4.

    Raises:
        OSError: an address is taken or not this machine's; its text names the address.

    """
    sockets: list[socket.socket] = []
    for address in addresses:
        try:
            sockets.append(_bind_one(address))
        except OSError as error:
            for each in sockets:
                each.close()
            number = error.errno or 0  # a resolver's numbers are below 0, and not the system's
            reason = os.strerror(number) if number > 0 else error.strerror
            raise OSError(f"cannot listen on {address}: {reason}") from error
    return sockets


def _bind_one(address: ListenAddress) -> socket.socket:
    if not address.host and socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # an address in use fails again below, with its reason
            return socket.create_server(
                ("", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
            )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=128)


async def serve_http(site: Site, sockets: list[socket.socket]) -> None:
    """Serve until cancelled, then let requests under way finish for a moment."""
    config = uvicorn.Config(
        site,
        http=_PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # routes.py writes it; uvicorn would need a tick each second
        h11_max_incomplete_event_size=16 * 1024,
        limit_concurrency=HTTP_CONNECTIONS,
        timeout_keep_alive=75,  # longer than most scrape intervals
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=sockets))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.stop.set()
        await serving
        raise
