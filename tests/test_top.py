"""Bounded groups: who has a slot of its own."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.analyse.top import KEPT_SECONDS, StickyTop
from exporter.parse.blocks import RowCutter


def test_the_biggest_get_the_slots() -> None:
    assert StickyTop[str](2).choose({"a": 1, "b": 3, "c": 2}, 0) == {"b", "c"}


def test_a_group_keeps_its_slot_until_it_had_nobody_for_an_hour() -> None:
    top = StickyTop[str](1)
    assert top.choose({"a": 1}, 0) == {"a"}
    assert top.choose({"b": 5}, KEPT_SECONDS - 1) == {"a"}
    assert top.choose({"b": 5}, KEPT_SECONDS) == {"b"}


def test_a_leaking_newcomer_displaces_the_smallest_when_it_is_twice_as_big() -> None:
    top = StickyTop[str](2)
    top.choose({"a": 40, "b": 20}, 0)
    assert top.choose({"a": 40, "b": 20, "leak": 39}, 1) == {"a", "b"}
    assert top.choose({"a": 40, "b": 20, "leak": 40}, 2) == {"a", "leak"}


def test_small_groups_never_displace_each_other() -> None:
    top = StickyTop[str](1)
    top.choose({"a": 1}, 0)
    assert top.choose({"a": 1, "b": 9}, 1) == {"a"}


def test_names_made_up_to_displace_others_are_bounded_by_the_hour() -> None:
    top = StickyTop[str](3)
    named = set(top.choose({"a": 1, "b": 1, "c": 1}, 0))
    for number in range(100):
        named |= top.choose({f"made-up-{number}": 1000 * (number + 1)}, number)
    assert len(named) <= 6


@given(st.lists(st.dictionaries(st.integers(0, 30), st.integers(1, 500)), max_size=20))
def test_there_are_never_more_groups_than_slots(lists: list[dict[int, int]]) -> None:
    top = StickyTop[int](5)
    for number, counts in enumerate(lists):
        chosen = top.choose(counts, number * 600.0)
        assert len(chosen) <= 5
        assert len(chosen & set(counts)) == min(5, len(counts)) or len(chosen) == 5


@given(st.lists(st.binary(max_size=9).map(lambda raw: raw + b"\n")), st.data())
def test_pieces_are_put_together_into_whole_rows(rows: list[bytes], data: st.DataObject) -> None:
    reply, cutter, got = b"".join(rows), RowCutter(), []
    while reply:
        size = data.draw(st.integers(1, len(reply)))
        whole = cutter.cut(reply[:size])
        assert not whole or whole.endswith(b"\n")
        got.append(whole)
        reply = reply[size:]
    assert b"".join([*got, cutter.end()]) == b"".join(rows)
    assert cutter.dropped == 0


def test_a_row_without_an_end_is_dropped_and_counted() -> None:
    cutter = RowCutter()
    for _ in range(40):
        assert cutter.cut(b"x" * 65536) == b""
    assert cutter.dropped == 1
    assert cutter.cut(b"its end\nid=1\n") == b"id=1\n"
