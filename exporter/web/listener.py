"""Accepts connections, as long as there is room for them and a descriptor, and never spins without one."""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Sequence

from exporter.web.connections import Connections, peer_of
from exporter.web.protocol import BoundedProtocol

_AT_ONCE = 16  # then the loop turns
_PAUSE_SECONDS = 0.05
_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_SAY_AGAIN_SECONDS = 60.0

log = logging.getLogger(__name__)


class Listener:
    """Accepts on listening sockets; `make` gives the protocol for a peer.

    The loop's own servers end for good at the first failure to accept.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        connections: Connections,
        make: Callable[[str], BoundedProtocol],
    ) -> None:
        self._sockets = sockets
        self._connections = connections
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._said_at = -_SAY_AGAIN_SECONDS
        for each in sockets:
            each.setblocking(False)
            self._listen(each)

    def close(self) -> None:
        """Accept no more; the sockets stay open for whoever made them."""
        for each in self._sockets:
            self._loop.remove_reader(each)
        for pause in self._pauses.values():
            pause.cancel()

    async def wait_closed(self) -> None:
        """Wait for connections that were just accepted."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _listen(self, sock: socket.socket) -> None:
        self._pauses.pop(sock, None)
        self._loop.add_reader(sock, self._accept_some, sock)

    def _accept_some(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return  # nobody is waiting, or whoever was is gone
            except OSError as error:
                self._pause(sock, error)
                return
            self._begin(accepted, peer_of(address[0]))

    def _pause(self, sock: socket.socket, error: OSError) -> None:
        """Look again in a moment; whoever waits then has the descriptor of a connection that we let go."""
        if error.errno in _SHORT_OF:
            self._connections.shed()
        self._loop.remove_reader(sock)
        self._pauses[sock] = self._loop.call_later(_PAUSE_SECONDS, self._listen, sock)
        if self._loop.time() - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = self._loop.time()
            fields = {"reason": error.strerror, "connections": len(self._connections)}
            log.error("cannot accept HTTP connections", extra={"fields": fields})

    def _begin(self, accepted: socket.socket, peer: str) -> None:
        if not self._connections.make_room(peer):
            accepted.close()
            return
        protocol = self._make(peer)
        self._connections.add(protocol)
        task = self._loop.create_task(self._attach(accepted, protocol))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _attach(self, accepted: socket.socket, protocol: BoundedProtocol) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, accepted)
        except OSError:  # it is gone already
            self._connections.discard(protocol)
            with contextlib.suppress(OSError):
                accepted.close()
