"""Rows of a list count the same whatever pieces its replies come in."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from exporter.analyse.groups import Tally
from exporter.analyse.names import AppNames
from exporter.model import AppRules
from exporter.poll.listing.counting import Counting
from tests.blocks import read_rows

_REPLY = (Path(__file__).parent / "data" / "clients-valkey-9.1.txt").read_bytes()


def _tally() -> Tally:
    return Tally(AppNames(AppRules()), 300.0)


@given(st.lists(st.integers(1, 40_000), max_size=6), st.integers(1, 3))
def test_any_pieces_of_any_number_of_replies_count_as_all_rows_at_once(
    sizes: list[int], replies: int
) -> None:
    counting, whole = Counting(_tally()), _tally()
    for _ in range(replies):
        rest = _REPLY
        for size in sizes:
            counting.take(rest[:size])
            rest = rest[size:]
        counting.take(rest)
        counting.end_reply()
        whole.add(*read_rows(_REPLY))
    counting.count()
    assert counting.tally.groups() == whole.groups()


def test_a_last_row_without_its_end_is_one_too() -> None:
    counting = Counting(_tally())
    for _ in range(2):
        counting.take(_REPLY.removesuffix(b"\n"))
        counting.end_reply()
    counting.count()
    assert (counting.tally.total, counting.tally.unreadable) == (2 * _REPLY.count(b"\n"), 0)
