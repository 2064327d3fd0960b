"""RESP2 without I/O: commands to bytes, and bytes, in pieces of any size, to replies."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from exporter.limits import (
    HELD_REPLY_BYTES,
    INFO_BYTES,
    INFO_WHOLE_BYTES,
    REPLY_DEPTH,
    REPLY_ITEMS,
    REPLY_LINE_BYTES,
)
from exporter.parse import GarbageError

_MAX_STREAM_BYTES = 2**40  # a streamed reply is never held, so it needs no other bound than its reader's time
_BEGINNING_BYTES = 64
_ITEM_BYTES = 48  # that a reply or an item of one costs us beside its text
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
    BEGUN = "a text or an array has begun; never returned"


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

    What is held of a reply of any kind has one budget of HELD_REPLY_BYTES. A text that goes to a sink is not
    held. Every byte is read once, in whatever pieces they come.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._beginning = b""  # of the reply, once its first line is read
        self._arrays: list[tuple[list[Reply], int]] = []  # that are not complete, with their sizes
        self._text: int | None = None  # bytes of a text that are to come
        self._streamed = False  # whether some of that text went to a sink
        self._budget = HELD_REPLY_BYTES

    @property
    def in_reply(self) -> bool:
        """Whether a part of a reply has come and the rest has not."""
        return bool(self._beginning or self._buffer)

    @property
    def begun(self) -> bytes:
        """How the reply begins that has not come whole."""
        return self._beginning or bytes(self._buffer[:_BEGINNING_BYTES])

    def feed(self, piece: bytes) -> None:
        """Take what has come."""
        self._buffer += piece

    def read(
        self, sink: Sink | None = None, *, text_only: bool = False, long_info: Sink | None = None
    ) -> Reply | Mark:
        """Read the next reply if all of it is there; with a sink, hand on what there is of its text.

        The same reply may be read with another sink in each call. A reply that is no text is returned
        whole, sink or not; with `text_only` it must be an error. `long_info` is the sink of a text that is
        too long to be held, and no longer than INFO may be.

        Raises:
            GarbageError: no Redis server sends this.

        """
        if text_only and not self._beginning and self._buffer and self._buffer[0] not in b"$-":
            raise GarbageError(self.begun)
        try:
            found: Reply | Mark = Mark.BEGUN
            while found is Mark.BEGUN:
                found = self._read_on(sink, long_info)
        except GarbageError:
            raise GarbageError(self.begun) from None
        if found is not Mark.INCOMPLETE:
            self._beginning, self._budget = b"", HELD_REPLY_BYTES
        return found

    def _read_on(self, sink: Sink | None, long_info: Sink | None) -> Reply | Mark:
        """Read a line or a text: the reply that ends with it, or what else has become of it."""
        if self._text is None:
            line = self._line()
            found = Mark.INCOMPLETE if line is None else self._begin(line, sink, long_info)
        else:
            to = self._goes_to(self._text, sink, long_info)
            if to is not None:
                return self._stream(self._text, to)
            found = self._whole_text(self._text)
        return found if isinstance(found, Mark) else self._put(found)

    def _line(self) -> bytes | None:
        end = self._buffer.find(_END, 0, REPLY_LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= REPLY_LINE_BYTES:
                raise GarbageError
            return None
        self._beginning = self._beginning or bytes(self._buffer[:_BEGINNING_BYTES])
        line = bytes(self._buffer[:end])
        del self._buffer[: end + len(_END)]
        return line

    def _begin(self, line: bytes, sink: Sink | None, long_info: Sink | None) -> Reply | Mark:
        self._spend(_ITEM_BYTES + len(line))
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return self._begin_text(_whole(rest, -1, _MAX_STREAM_BYTES), sink, long_info)
        if kind == b"*" and len(self._arrays) < REPLY_DEPTH:
            return self._begin_array(_whole(rest, -1, REPLY_ITEMS))
        if kind == b"+":
            return rest
        if kind == b"-":
            return ErrorReply(rest.decode(errors="replace"))
        if kind == b":":
            return _whole(rest, -(2**63), 2**63)
        raise GarbageError

    def _begin_text(self, size: int, sink: Sink | None, long_info: Sink | None) -> Reply | Mark:
        if size < 0:
            return None
        if self._goes_to(size, sink, long_info) is None:
            self._spend(size)
        self._text = size
        return Mark.BEGUN

    def _begin_array(self, size: int) -> Reply | Mark:
        if size <= 0:
            return [] if size == 0 else None
        self._arrays.append(([], size))
        return Mark.BEGUN

    def _goes_to(self, size: int, sink: Sink | None, long_info: Sink | None) -> Sink | None:
        """Where a text of this size goes; None where it is held."""
        if self._arrays:
            return None
        if self._streamed:
            return sink or long_info or _drop
        return sink or (long_info if INFO_WHOLE_BYTES < size <= INFO_BYTES else None)

    def _stream(self, left: int, sink: Sink) -> Mark:
        self._streamed = True
        if left and self._buffer:
            piece = bytes(self._buffer[:left])
            del self._buffer[: len(piece)]
            self._text = left = left - len(piece)
            sink(piece)
        if left or not self._is_end_of_text(0):
            return Mark.INCOMPLETE
        del self._buffer[: len(_END)]
        self._text, self._streamed = None, False
        return Mark.STREAMED

    def _whole_text(self, size: int) -> Reply | Mark:
        if not self._is_end_of_text(size):
            return Mark.INCOMPLETE
        text = bytes(self._buffer[:size])
        del self._buffer[: size + len(_END)]
        self._text = None
        return text

    def _put(self, reply: Reply) -> Reply | Mark:
        """Put a reply into the arrays that it is of, and return the outermost one if it is complete."""
        while self._arrays:
            items, size = self._arrays[-1]
            items.append(reply)
            if len(items) < size:
                return Mark.BEGUN
            reply, _ = self._arrays.pop()
        return reply

    def _is_end_of_text(self, at: int) -> bool:
        """Whether the end of a text has come, which is to be at a position."""
        if len(self._buffer) < at + len(_END):
            return False
        if self._buffer[at : at + len(_END)] != _END:
            raise GarbageError
        return True

    def _spend(self, size: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise GarbageError


def _drop(_: bytes) -> None:
    pass


def _whole(digits: bytes, least: int, most: int) -> int:
    if not _WHOLE.fullmatch(digits) or not least <= int(digits) <= most:
        raise GarbageError
    return int(digits)
