"""uvicorn, embedded: our sockets, our signals, our bounds."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator

import uvicorn

from exporter.limits import HTTP_HEAD_BYTES
from exporter.model import ListenAddress
from exporter.web.connections import Connections, connections_at_most
from exporter.web.listener import Listener
from exporter.web.protocol import BoundedProtocol
from exporter.web.routes import Site

_DRAIN_SECONDS = 3
_WAITING = 1024  # whoever comes when more wait to be accepted tries again a second later


class _Server(uvicorn.Server):
    """Leaves signals to app.py and sockets to a Listener, and sleeps until told to stop.

    uvicorn itself looks ten times a second.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections
        self.stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await self.lifespan.startup()
        listener = Listener(sockets or [], self._connections, self._protocol)
        self.servers = [listener]  # type: ignore[list-item]  # it is closed and waited for like one
        self.started = True

    def _protocol(self, peer: str) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self._connections, peer)

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
                ("", address.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_WAITING
            )
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=_WAITING)


async def serve_http(site: Site, sockets: list[socket.socket], held: Callable[[int], object]) -> None:
    """Serve until cancelled, then let requests under way finish for a moment.

    `held` hears how many connections there are, whenever that changes.
    """
    config = uvicorn.Config(
        site,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nobody here asks for the address of a client
        server_header=False,
        date_header=False,  # routes.py writes it; uvicorn would need a tick each second
        h11_max_incomplete_event_size=HTTP_HEAD_BYTES,
        timeout_keep_alive=75,  # longer than most scrape intervals
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _Server(config, Connections(connections_at_most(), held))
    serving = asyncio.ensure_future(server.serve(sockets=sockets))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.stop.set()
        await serving
        raise
