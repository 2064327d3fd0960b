"""A wire to a real server that a test can reset, stall, slow down, cut, and speak on out of turn."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

_PIECE = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close() sends RST instead of FIN
_TICKS = 20  # of the rate, in a second


class _Connection:
    """One client and its way to the server; `asked` is when the newest words of the client passed by."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.asked = 0.0
        self.answered_bytes = 0

    def end(self, *, reset: bool = False) -> None:
        for side in (self.client, self.server):
            if reset and not side.transport.is_closing():
                side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            side.transport.abort()


class Wire:
    """Forwards connections to a port of the loopback interface.

    The attributes may be set at any time, and hold for connections that are there too: seconds of delay in
    each direction, which leave the throughput as it is; bytes per second towards the client; the bytes after
    which an answer is cut; what becomes of each piece of an answer; whether newcomers are closed at once.
    """

    def __init__(self, upstream: int, host: str = "127.0.0.1", port: int = 0) -> None:
        self.delay_up = self.delay_down = self.delay_connect = 0.0
        self.rate: float | None = None
        self.cut_after: int | None = None
        self.change: Callable[[bytes], bytes] = lambda piece: piece
        self.closes_newcomers = False
        self.accepted = 0
        self.first_answers: list[float] = []  # monotonic, one per connection
        self.left: list[float] = []
        self._upstream = upstream
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        self._connections: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, sock=self._listener))

    @property
    def unanswered(self) -> bool:
        """Whether the client of a connection asked something after the last answer that it got."""
        return any(each.asked > 0 and not each.answered_bytes for each in tuple(self._connections))

    def hold(self) -> None:
        """Keep every answer back until `release`."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    def reset(self) -> int:
        """Cut every connection with RST, and say how many that were."""
        return self._for_each(lambda each: each.end(reset=True))

    def finish(self) -> int:
        """Say to every client that nothing more will come, and go on listening to it: a half-close."""
        return self._for_each(lambda each: each.client.write_eof())

    def say(self, words: bytes) -> int:
        """Send to every client what it has not asked for."""
        return self._for_each(lambda each: each.client.write(words))

    def refuse(self) -> None:
        """Listen no longer; connections that are there stay."""
        self._loop.call_soon_threadsafe(self._server.close)

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _for_each(self, treat: Callable[[_Connection], None]) -> int:
        async def treat_all() -> int:
            present = tuple(self._connections)
            for each in present:
                treat(each)
            return len(present)

        return int(self._do(treat_all()))

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # what was aborted is closed in the loop's next turns

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.closes_newcomers:
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, server = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            return
        connection = _Connection(writer, server)
        self._connections.add(connection)
        ways = [
            asyncio.create_task(self._forward(reader, self._upward(connection), lambda: self.delay_up)),
            asyncio.create_task(
                self._forward(from_server, self._downward(connection), lambda: self.delay_down)
            ),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._connections.discard(connection)
            self.left.append(time.monotonic())
            connection.end()

    def _upward(self, connection: _Connection) -> Callable[[bytes], Coroutine[Any, Any, None]]:
        async def pass_on(piece: bytes) -> None:
            if not connection.asked and self.delay_connect:
                await asyncio.sleep(self.delay_connect)
            connection.asked, connection.answered_bytes = time.monotonic(), 0
            connection.server.write(piece)
            await connection.server.drain()

        return pass_on

    def _downward(self, connection: _Connection) -> Callable[[bytes], Coroutine[Any, Any, None]]:
        first = True

        async def pass_on(piece: bytes) -> None:
            nonlocal first
            await self._open.wait()
            if first:
                first = False
                self.first_answers.append(time.monotonic())
            await self._send(connection, self.change(piece))

        return pass_on

    async def _send(self, connection: _Connection, words: bytes) -> None:
        if self.cut_after is not None and connection.answered_bytes + len(words) > self.cut_after:
            connection.client.write(words[: self.cut_after - connection.answered_bytes])
            await connection.client.drain()
            raise ConnectionAbortedError
        connection.answered_bytes += len(words)
        while words:
            size = max(1, int(self.rate / _TICKS)) if self.rate is not None else len(words)
            connection.client.write(words[:size])
            await connection.client.drain()
            words = words[size:]
            if self.rate is not None:
                await asyncio.sleep(1 / _TICKS)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        pass_on: Callable[[bytes], Coroutine[Any, Any, None]],
        delay: Callable[[], float],
    ) -> None:
        """Pass on what comes in, each piece so long after it came, in order; return when there is no more."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take() -> None:
            with contextlib.suppress(OSError):
                while piece := await reader.read(_PIECE):
                    waiting.put_nowait((self._loop.time() + delay(), piece))
            waiting.put_nowait((self._loop.time() + delay(), b""))

        taking = asyncio.create_task(take())
        try:
            with contextlib.suppress(OSError):
                while True:
                    due, piece = await waiting.get()
                    await asyncio.sleep(due - self._loop.time())
                    if not piece:
                        return
                    await pass_on(piece)
        finally:
            taking.cancel()


@contextlib.contextmanager
def wire(upstream: int, host: str = "127.0.0.1", port: int = 0) -> Iterator[Wire]:
    running = Wire(upstream, host, port)
    try:
        yield running
    finally:
        running.close()
