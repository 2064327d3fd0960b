"""RESP2 without I/O: commands to bytes, and bytes, in pieces of any size, to replies."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from exporter.limits import HELD_REPLY_BYTES, REPLY_DEPTH, REPLY_ITEMS, REPLY_LINE_BYTES
from exporter.parse import GarbageError

_MAX_STREAM_BYTES = 2**40  # a streamed reply is never held, so it needs no other bound than its reader's time
_BEGINNING_BYTES = 64
_WHOLE = re.compile(rb"-?[0-9]{1,19}")
_END = b"\r\n"


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error that a server answered with, without its leading minus."""

    text: str


class Mark(Enum):
    """What `ReplyReader.read` returns where it has no reply to give."""

    INCOMPLETE = "more bytes are needed"
    STREAMED = "the whole reply went to the sink"


Reply = bytes | int | list["Reply"] | ErrorReply | None
Sink = Callable[[bytes], None]


def pack(words: Sequence[bytes]) -> bytes:
    """Write a command; made for hundreds of ids, where words of equal length are joined at once."""
    parts = [b"*%d\r\n" % len(words)]
    for size, run in groupby(words, len):
        head = b"$%d\r\n" % size
        parts += (head, (_END + head).join(run), _END)
    return b"".join(parts)


class ReplyReader:
    """Holds the bytes that have come, and reads one reply after the other out of them.

    A held reply of any kind has one budget of HELD_REPLY_BYTES. A text that goes to a sink is not held.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left: int | None = None  # of a text that goes to a sink, once its size is known

    @property
    def in_reply(self) -> bool:
        """Whether a part of a reply has come and the rest has not."""
        return self._left is not None or bool(self._buffer)

    @property
    def begun(self) -> bytes:
        """How a reply that has not come whole begins; empty in the middle of a text that goes to a sink."""
        return bytes(self._buffer[:_BEGINNING_BYTES]) if self._left is None else b""

    def feed(self, piece: bytes) -> None:
        """Take what has come."""
        self._buffer += piece

    def read(self, sink: Sink | None = None, *, text_only: bool = False) -> Reply | Mark:
        """Read the next reply if all of it is there; with a sink, hand on what there is of its text.

        The same reply may be read with another sink in each call. A reply that is no text is returned
        whole, sink or not; with `text_only` it must be an error.

        Raises:
            GarbageError: no Redis server sends this.

        """
        if text_only and self._left is None and self._buffer and self._buffer[0] not in b"$-":
            raise GarbageError(self.begun)
        if sink is None and self._left is None:
            return self._hold()
        return self._stream(sink or _drop)

    def _hold(self) -> Reply | Mark:
        try:
            found = self._parse(0, depth=0)
        except GarbageError:
            raise GarbageError(self.begun) from None
        if found is None:
            return Mark.INCOMPLETE
        reply, end = found
        del self._buffer[:end]
        return reply

    def _stream(self, sink: Sink) -> Reply | Mark:
        if self._left is None:
            head = self._line(0)
            if head is None:
                return Mark.INCOMPLETE
            line, end = head
            size = _whole(line[1:], -1, _MAX_STREAM_BYTES) if line.startswith(b"$") else -1
            if size < 0:
                return self._hold()
            self._left = size
            del self._buffer[:end]
        if self._left and self._buffer:
            piece = bytes(self._buffer[: self._left])
            self._left -= len(piece)
            del self._buffer[: len(piece)]
            sink(piece)
        if self._left or len(self._buffer) < len(_END):
            return Mark.INCOMPLETE
        self._end_of_text(0)
        del self._buffer[: len(_END)]
        self._left = None
        return Mark.STREAMED

    def _parse(self, at: int, depth: int) -> tuple[Reply, int] | None:
        """Read the reply that begins at a position, and say where it ends; None where it is not all there."""
        found = self._line(at)
        if found is None:
            return None
        line, end = found
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest, end
        if kind == b"-":
            return ErrorReply(rest.decode(errors="replace")), end
        if kind == b":":
            return _whole(rest, -(2**63), 2**63), end
        if kind == b"$":
            return self._text(end, _whole(rest, -1, HELD_REPLY_BYTES))
        if kind == b"*" and depth < REPLY_DEPTH:
            return self._items(end, _whole(rest, -1, REPLY_ITEMS), depth)
        raise GarbageError

    def _line(self, at: int) -> tuple[bytes, int] | None:
        if at > HELD_REPLY_BYTES:
            raise GarbageError
        end = self._buffer.find(_END, at, at + REPLY_LINE_BYTES)
        if end < 0:
            if len(self._buffer) - at >= REPLY_LINE_BYTES:
                raise GarbageError
            return None
        return bytes(self._buffer[at:end]), end + len(_END)

    def _text(self, at: int, size: int) -> tuple[Reply, int] | None:
        if size < 0:
            return None, at
        end = at + size
        if end > HELD_REPLY_BYTES:
            raise GarbageError
        if len(self._buffer) < end + len(_END):
            return None
        self._end_of_text(end)
        return bytes(self._buffer[at:end]), end + len(_END)

    def _items(self, at: int, size: int, depth: int) -> tuple[Reply, int] | None:
        if size < 0:
            return None, at
        items: list[Reply] = []
        for _ in range(size):
            found = self._parse(at, depth + 1)
            if found is None:
                return None
            item, at = found
            items.append(item)
        return items, at

    def _end_of_text(self, at: int) -> None:
        if self._buffer[at : at + len(_END)] != _END:
            raise GarbageError


def _drop(_: bytes) -> None:
    pass


def _whole(digits: bytes, least: int, most: int) -> int:
    if not _WHOLE.fullmatch(digits) or not least <= int(digits) <= most:
        raise GarbageError
    return int(digits)
