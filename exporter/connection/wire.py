"""One open connection: commands go out, replies come back in order, and what is still owed is remembered.

RESP answers in order. So a connection whose reply is late stays usable: the late reply is read first and
dropped, and no reply is ever read by another command (the mechanism of CVE-2023-28858).
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from exporter.connection.resp import Mark, Reply, ReplyReader, Sink, pack
from exporter.connection.turns import take_turn
from exporter.limits import DROPPED_REPLY_BYTES, WAITING_BYTES
from exporter.parse import GarbageError
from exporter.parse.info import LongInfo

Command = Sequence[bytes]

_PIECE_BYTES = 96 * 1024  # read at a time: 250 clients and more, in one piece
_SHORT_BYTES = 8 * 1024  # what so many bytes hold is read at once; more waits for its turn
_LEVEL_BYTES = 4 * 1024 * 1024  # of a reply, after which all shorter ones come first
_INFO = b"INFO"


class UnaskedError(GarbageError):
    """The server sent bytes that nobody had asked for."""


class Wire(asyncio.Protocol):
    """Keeps what comes over a transport until it is read. The transport may be closed at any moment."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._waiting = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._held_back = False
        self.heard = time.monotonic()
        self.lost: Exception | None = None
        self.lost_at = math.inf

    @property
    def size(self) -> int:
        """Bytes that wait to be taken."""
        return len(self._waiting)

    def data_received(self, data: bytes) -> None:
        """Keep what has come."""
        self.heard = time.monotonic()
        self._waiting += data
        if self.size > WAITING_BYTES and not self._held_back and not self._transport.is_closing():
            self._held_back = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Take note of the end; the transport closes itself."""
        self._lose(EOFError("the other side closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        self._lose(exc or EOFError("the connection is closed"))

    def close(self) -> None:
        """End it ourselves: nothing was lost then."""
        self.lost = self.lost or EOFError("the connection is closed")
        self._waiting.clear()
        self._transport.abort()

    def take(self) -> bytes:
        """Give the next piece of what has come, at most _PIECE_BYTES of it; empty where there is none."""
        piece = bytes(self._waiting[:_PIECE_BYTES])
        del self._waiting[:_PIECE_BYTES]
        if self._held_back and self.size < WAITING_BYTES and not self._transport.is_closing():
            self._held_back = False
            self._transport.resume_reading()
        return piece

    async def more(self) -> None:
        """Wait until there is something to take, or the connection is lost."""
        if not self._waiting and self.lost is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _lose(self, error: Exception) -> None:
        if self.lost is None:
            self.lost, self.lost_at = error, time.monotonic()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Expected:
    """A reply that was asked for at a moment (monotonic), and when it began to come."""

    __slots__ = ("asked", "began", "done", "long_info", "reply", "sink", "text_only")

    def __init__(self, asked: float, sink: Sink | None, *, is_info: bool = False) -> None:
        self.asked = asked
        self.sink = sink
        self.text_only = sink is not None
        self.long_info = LongInfo() if is_info else None
        self.began = 0.0
        self.done = False
        self.reply: Reply | Mark = Mark.INCOMPLETE


class Connection:
    """Asks over one open transport, for one caller at a time.

    Whoever stops waiting leaves its reply owed; `settle` reads and drops it. After an exception other than a
    cancellation the connection is of no more use, and is to be closed. `release` is called at the close.
    """

    def __init__(self, transport: asyncio.Transport, release: Callable[[], None] = lambda: None) -> None:
        self._transport = transport
        self._wire = Wire(transport)
        self._reader = ReplyReader()
        self._expected: deque[Expected] = deque()
        self._come = self._dropped = 0  # bytes of the reply that comes
        self._release = release
        self._round_trip = math.inf
        transport.set_protocol(self._wire)

    @property
    def owed(self) -> bool:
        """Whether a reply that was asked for has not been read to its end."""
        return bool(self._expected)

    @property
    def lost(self) -> Exception | None:
        """Why the connection can serve no more, as far as it is known without asking; None while it can."""
        if self._wire.lost is None and self._transport.is_closing():
            return EOFError("the connection is closed")
        return self._wire.lost or self._unasked()

    @property
    def lost_at(self) -> float:
        """When the other side ended the connection (monotonic); infinite while it has not."""
        return self._wire.lost_at

    def silent_for(self, now: float) -> float:
        """Seconds for which a reply is owed and no byte came; 0 when none is owed, and while some wait."""
        if not self._expected or self._wire.size:
            return 0.0
        return now - max(self._wire.heard, self._expected[0].asked)

    def socket_name(self, which: str) -> tuple[str, int] | None:
        """Host and port of our end (sockname) or the other (peername); None for a unix socket."""
        match self._transport.get_extra_info(which):
            case (str(host), int(port), *_):
                return host, port
        return None

    def take_over(self, early: bytes) -> None:
        """Take what came before the transport was ours: a server may refuse us before we ask."""
        if early:
            self._wire.data_received(early)

    async def ask(self, *commands: Command) -> list[Reply]:
        """Send commands in one go and return their replies, after reading and dropping what is owed."""
        await self.settle()
        return [await self.receive(each) for each in self.send(*commands)]

    def send(self, *commands: Command, sink: Sink | None = None) -> list[Expected]:
        """Send commands in one go; each reply is then received, in this order. Nothing may be owed."""
        packed = b"".join(map(pack, commands))  # before anything is owed
        now = time.monotonic()
        expected = [Expected(now, sink, is_info=command[0] == _INFO) for command in commands]
        self._expected += expected
        # uvloop raises where the transport is closed. What came before that is read all the same, because a
        # server that refuses us says so and hangs up; its end is found where the replies are read.
        if not self._transport.is_closing():
            with contextlib.suppress(RuntimeError):
                self._transport.write(packed)
        return expected

    async def receive(self, expected: Expected) -> Reply:
        """Wait for the reply to a command that was sent without a sink."""
        reply = await self._receive(expected)
        if reply is Mark.STREAMED and expected.long_info is not None:
            return expected.long_info.text()
        if isinstance(reply, Mark):  # only a sink is given a text in pieces
            raise GarbageError
        return reply

    async def stream(self, command: Command, sink: Sink) -> tuple[Reply | Mark, float]:
        """Ask, and hand the text of the reply on as it comes; never held whole.

        Returns the reply (STREAMED, or what came instead of a text) and the server's seconds for it: Redis
        buffers a whole reply before sending, so that is the time to the first byte less the shortest round
        trip over this connection.
        """
        await self.settle()
        (expected,) = self.send(command, sink=sink)
        reply = await self._receive(expected)
        return reply, expected.began - expected.asked - self._round_trip

    async def settle(self) -> None:
        """Read and drop all that is owed."""
        if self._expected:
            for each in self._expected:
                each.sink, each.text_only, each.long_info = self._drop, False, None
            try:
                await self._receive(self._expected[-1])
            except asyncio.IncompleteReadError:  # what was cut would have been dropped
                raise EOFError("the other side closed the connection") from None
        error = self.lost
        if error is not None:
            raise error

    def close(self) -> None:
        """Drop the connection now; a polite close would keep the slot of a hung TLS server for 30 s."""
        self._wire.close()
        self._expected.clear()
        self._reader = ReplyReader()  # what is held would live on until the cycle with the transport is found
        self._release()

    async def _receive(self, wanted: Expected) -> Reply | Mark:
        while not wanted.done:
            self._advance()
            if wanted.done:
                break
            if self._wire.size:
                if self._wire.size > _SHORT_BYTES:
                    await take_turn(self._come // _LEVEL_BYTES, wanted.asked)
                piece = self._wire.take()
                self._come += len(piece)
                self._reader.feed(piece)
            elif self._wire.lost is not None:
                raise self._lost_in_reply(self._wire.lost)
            else:
                await self._wire.more()
        unasked = self._unasked()
        if unasked is not None:
            raise unasked
        return wanted.reply

    def _advance(self) -> None:
        """Read as many replies as are there."""
        while self._expected and self._reader.in_reply:
            head = self._expected[0]
            if not head.began:
                head.began = time.monotonic()
            long_info = head.long_info.feed if head.long_info is not None else None
            reply = self._reader.read(head.sink, text_only=head.text_only, long_info=long_info)
            if reply is Mark.INCOMPLETE:
                return
            head.reply, head.done = reply, True
            self._round_trip = min(self._round_trip, head.began - head.asked)
            self._expected.popleft()
            self._come = self._dropped = 0

    def _drop(self, piece: bytes) -> None:
        self._dropped += len(piece)
        if self._dropped > DROPPED_REPLY_BYTES:
            raise GarbageError

    def _unasked(self) -> UnaskedError | None:
        return UnaskedError() if not self._expected and (self._reader.in_reply or self._wire.size) else None

    def _lost_in_reply(self, error: Exception) -> Exception:
        """An end in the middle of a reply is another thing than one before it."""
        if isinstance(error, EOFError) and self._reader.in_reply:
            return asyncio.IncompleteReadError(self._reader.begun or b"...", None)
        return error
