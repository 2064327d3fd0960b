"""RESP without I/O: the same bytes give the same replies, in whatever pieces they come."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.connection.resp import ErrorReply, Mark, Reply, ReplyReader, pack
from exporter.limits import HELD_REPLY_BYTES, INFO_BYTES, INFO_WHOLE_BYTES
from exporter.parse import GarbageError

REPLIES = st.recursive(
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63),
        st.binary(max_size=300),
        st.text("abc xyz", max_size=20).map(ErrorReply),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


def write(reply: Reply) -> bytes:
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case ErrorReply(text):
            return b"-%b\r\n" % text.encode()
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(write, reply))


def depth(reply: Reply) -> int:
    return 1 + max(map(depth, reply), default=0) if isinstance(reply, list) else 0


def read_in_pieces(data: bytes, size: int, read: Callable[[ReplyReader], Any]) -> list[Any]:
    reader, found = ReplyReader(), []
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
        while reader.in_reply and (reply := read(reader)) is not Mark.INCOMPLETE:
            found.append(reply)
    assert not reader.in_reply
    return found


@given(st.lists(REPLIES.filter(lambda reply: depth(reply) <= 2), max_size=5), st.integers(1, 40))
def test_replies_are_read_whole_in_whatever_pieces_they_come(replies: list[Reply], size: int) -> None:
    assert read_in_pieces(b"".join(map(write, replies)), size, lambda reader: reader.read()) == replies


@given(st.binary(max_size=2000), st.integers(1, 100))
def test_a_text_goes_to_its_sink_as_it_comes_and_what_follows_is_read_after_it(
    text: bytes, size: int
) -> None:
    pieces: list[bytes] = []
    data = write(text) + write(ErrorReply("no")) + write(7)
    found = read_in_pieces(data, size, lambda reader: reader.read(pieces.append))
    assert found == [Mark.STREAMED, ErrorReply("no"), 7]
    assert b"".join(pieces) == text


def test_a_reply_that_nobody_waits_for_any_more_is_dropped_from_where_it_stands() -> None:
    reader = ReplyReader()
    kept: list[bytes] = []
    dropped: list[bytes] = []
    reader.feed(b"$10\r\n0123")
    assert reader.read(kept.append) is Mark.INCOMPLETE
    reader.feed(b"456789\r\n:5\r\n")
    assert reader.read(dropped.append) is Mark.STREAMED
    assert (kept, dropped) == ([b"0123"], [b"456789"])
    assert reader.read() == 5


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"\r\n",
        b"$x\r\n",
        b"$ 5\r\n",
        b"$-2\r\n",
        b"$99999999999999999999\r\n",
        b"$%d\r\n" % (HELD_REPLY_BYTES + 1),
        b"*65\r\n",
        b"*1\r\n*1\r\n*1\r\n:1\r\n",
        b":5x\r\n",
        b":99999999999999999999\r\n",
        b"$3\r\nabcde\r\n",
        b"+" + b"x" * 70_000,
        b"%1\r\n+a\r\n+b\r\n",
    ],
)
def test_what_no_server_sends_is_garbage(data: bytes) -> None:
    reader = ReplyReader()
    reader.feed(data)
    with pytest.raises(GarbageError):
        reader.read()


@pytest.mark.parametrize(
    "item",
    [
        b"+" + b"x" * 20_000 + b"\r\n",
        b"-" + b"x" * 20_000 + b"\r\n",
        b"$20000\r\n" + b"x" * 20_000 + b"\r\n",
        b"*1\r\n+" + b"x" * 20_000 + b"\r\n",
    ],
)
def test_a_held_reply_of_any_kind_has_one_budget(item: bytes) -> None:
    reader = ReplyReader()
    reader.feed(b"*64\r\n" + item * 10)
    assert reader.read() is Mark.INCOMPLETE
    reader.feed(item * 4)
    with pytest.raises(GarbageError):
        reader.read()


def test_as_many_small_items_as_there_may_be_are_within_the_budget_which_is_for_each_reply_anew() -> None:
    reader = ReplyReader()
    for _ in range(3):
        reader.feed(b"*64\r\n" + (b"*64\r\n" + b"$1\r\nx\r\n" * 64) * 64)
        assert reader.read() == [[b"x"] * 64] * 64


def test_a_text_that_is_too_long_to_be_held_is_garbage_before_it_has_come() -> None:
    reader = ReplyReader()
    reader.feed(b"*2\r\n$5\r\nabcde\r\n$%d\r\n" % HELD_REPLY_BYTES)
    with pytest.raises(GarbageError) as caught:
        reader.read()
    assert caught.value.first.startswith(b"*2\r\n$5")


@pytest.mark.parametrize("before", [0, 1500])
def test_a_long_reply_in_small_pieces_is_read_in_linear_time(before: int) -> None:
    def seconds(items: int) -> float:
        reader, reply = ReplyReader(), b"*64\r\n" + (b"*%d\r\n" % items + b"+x\r\n" * items) * 64
        reader.feed(reply[:before])
        began = time.process_time()
        for at in range(before, len(reply)):
            reader.feed(reply[at : at + 1])
            reader.read()
        return time.process_time() - began

    seconds(8)
    assert min(seconds(64) for _ in range(3)) < 3 * 4 * max(min(seconds(16) for _ in range(3)), 0.001)


@pytest.mark.parametrize("size", [INFO_WHOLE_BYTES, INFO_WHOLE_BYTES + 1, INFO_BYTES])
def test_a_reply_to_info_that_is_long_goes_to_its_sink_and_is_bounded_all_the_same(size: int) -> None:
    reader, pieces = ReplyReader(), list[bytes]()
    reader.feed(b"$%d\r\n" % size)
    assert reader.read(long_info=pieces.append) is Mark.INCOMPLETE
    reader.feed(b"x" * size + b"\r\n")
    found = reader.read(long_info=pieces.append)
    if size > INFO_WHOLE_BYTES:
        assert (found, sum(map(len, pieces))) == (Mark.STREAMED, size)
    else:
        assert (found, pieces) == (b"x" * size, [])
    reader.feed(b"$%d\r\n" % (INFO_BYTES + 1))
    with pytest.raises(GarbageError):
        reader.read(long_info=pieces.append)


def test_a_streamed_reply_of_another_kind_is_garbage_at_once_where_only_text_will_do() -> None:
    reader = ReplyReader()
    reader.feed(b"*1\r\n")
    with pytest.raises(GarbageError):
        reader.read(print, text_only=True)
    reader = ReplyReader()
    reader.feed(b"-NOPERM no\r\n")
    assert reader.read(print, text_only=True) == ErrorReply("NOPERM no")


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=60))
def test_a_packed_command_is_an_array_of_texts(words: list[bytes]) -> None:
    reader = ReplyReader()
    reader.feed(pack(words))
    assert reader.read() == words
