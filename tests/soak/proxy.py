"""A TCP proxy whose doors misbehave on demand, all of them in one thread.

It holds at most one piece of 64 KiB for each way of a connection, whatever is delayed.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from tests.soak.plan import Fault, Kind, Way

T = TypeVar("T")
Call = Callable[[Coroutine[Any, Any, T]], T]

_PIECE_BYTES = 65536
_HEAD_BYTES = 8
_PATIENCE_SECONDS = 20.0
_RESETS_WHEN_CLOSED = struct.pack("ii", 1, 0)


class _Over(Exception):  # noqa: N818  it is a way to stop, not an error
    """Raised to end a connection from within."""


class _Connection:
    """Both ends of one connection through a door."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._ends = near, far
        self.mute = False

    def reset(self) -> None:
        """End it with a RST on both sides, which no FIN precedes."""
        for end in self._ends:
            sock = end.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS_WHEN_CLOSED)
            end.transport.abort()

    def close(self) -> None:
        """End it politely."""
        for end in self._ends:
            end.close()


class Door:
    """Leads from a port of ours to a server's; its fault counts for every connection and every piece."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._fault: Fault | None = None
        self._chance = random.Random()
        self._open: set[_Connection] = set()
        self._conversations: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self.host, self.port = "", 0

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> "Door":
        """Open it, at a free port by default."""
        self._server = await asyncio.start_server(self._converse, host, port, limit=_PIECE_BYTES)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        return self

    async def shut(self) -> None:
        """Close it with all its connections."""
        if self._server is not None:
            self._server.close()
        for connection in self._open:
            connection.reset()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def misbehave(self, fault: Fault | None) -> None:
        """Do this to all connections from now on, or nothing any more. A reset strikes at once."""
        self._fault = fault
        if fault is None:
            return
        self._chance.seed(fault.seed)
        if fault.kind is Kind.RESET:
            for connection in self._open:
                connection.reset()

    async def _converse(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)
        try:
            answers, far = await asyncio.open_connection("127.0.0.1", self._upstream, limit=_PIECE_BYTES)
        except OSError:
            near.transport.abort()
            return
        connection = _Connection(near, far)
        self._open.add(connection)
        ways = [
            asyncio.create_task(self._carry(connection, Way.TO_SERVER, reader, far)),
            asyncio.create_task(self._carry(connection, Way.TO_EXPORTER, answers, near)),
        ]
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by shut(); there is nobody to tell
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(connection)
            connection.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(
        self, connection: _Connection, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, _Over):
            while piece := await source.read(_PIECE_BYTES):
                if connection.mute:
                    continue
                fault = self._fault
                sink.write(
                    piece if fault is None or way not in fault.ways else await self._spoil(fault, piece)
                )
                await sink.drain()
                if fault is not None and way in fault.ways:
                    _punish(connection, fault)

    async def _spoil(self, fault: Fault, piece: bytes) -> bytes:
        """Return what is left of a piece when its time has come."""
        match fault.kind:
            case Kind.DELAY:
                await asyncio.sleep(fault.delay)
                return piece
            case Kind.GARBLE:
                return garble(piece, self._chance)
            case Kind.HALVE:
                return piece[: len(piece) // 2]
            case Kind.DROP | Kind.RESET:
                return b""


def _punish(connection: _Connection, fault: Fault) -> None:
    """Do to the connection what follows a piece that was spoilt."""
    if fault.kind is Kind.RESET:
        connection.reset()
        raise _Over
    if fault.kind is Kind.HALVE:
        if fault.cut:
            raise _Over
        connection.mute = True


def garble(piece: bytes, chance: random.Random) -> bytes:
    """Change one byte of the head to anything, or some of the rest to what is neither digit nor line end.

    A digit changed in the middle of a reply would make a number that nobody can tell from a true one.
    """
    spoilt = bytearray(piece)
    if len(spoilt) <= _HEAD_BYTES or chance.random() < 0.5:
        byte = chance.choice((chance.randrange(256), ord("0") + chance.randrange(10)))
        spoilt[chance.randrange(min(len(spoilt), _HEAD_BYTES))] = byte
    else:
        for _ in range(chance.randint(1, 5)):
            spoilt[chance.randrange(_HEAD_BYTES, len(spoilt))] = chance.randrange(128, 256)
    return bytes(spoilt)


@contextlib.contextmanager
def running_loop() -> Iterator[Call[Any]]:
    """Run an event loop in a thread, and yield what runs a coroutine there and returns its result."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="chaos", daemon=True)
    thread.start()

    def call(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(_PATIENCE_SECONDS)

    try:
        yield call
    finally:
        call(_settle())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_SECONDS)
        loop.close()


async def _settle() -> None:
    """Cancel what is left in the loop, and let closed transports go."""
    own = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not own]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.05)
