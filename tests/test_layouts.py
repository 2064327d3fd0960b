"""INFO read by the expression of its layout is what it is read slowly."""

import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.parse.fields import NUMBERS, TEXTS
from exporter.parse.info import read_slowly
from exporter.parse.layouts import Layouts

CAPTURES = [path.read_bytes() for path in sorted((Path(__file__).parent / "data").glob("info-*.txt"))]
VALUES = st.one_of(
    st.integers(0, 10**20).map(b"%d".__mod__),
    st.decimals(0, 10**6, places=2).map(lambda number: str(number).encode()),
    st.sampled_from(
        [b"", b"-1", b"nan", b"1.", b".5", b"1.2.3", b"7.0", b"a b", b"x" * 65, b"9" * 21, b"up"]
    ),
)


def taught(*replies: bytes) -> Layouts:
    layouts = Layouts()
    for reply in replies:
        assert layouts.read(reply) is None
        layouts.learn(reply)
        assert layouts.read(reply) is None, "a layout that came once"
        layouts.learn(reply)
    return layouts


@cache
def taught_once(reply: bytes) -> Layouts:
    return taught(reply)


@pytest.mark.parametrize("reply", CAPTURES)
def test_every_capture_is_read_by_its_layout_as_it_is_read_slowly(reply: bytes) -> None:
    assert taught(reply).read(reply) == read_slowly(reply)


@given(st.sampled_from(CAPTURES), st.data())
@settings(max_examples=200)
def test_a_reply_with_other_values_is_read_as_it_is_read_slowly_or_not_at_all(
    reply: bytes, data: st.DataObject
) -> None:
    layouts = taught_once(reply)
    lines = reply.split(b"\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        name, colon, _ = lines[at].partition(b":")
        lines[at] = name + colon + (data.draw(VALUES) if colon else b"")
    changed = b"\r\n".join(lines)
    found = layouts.read(changed)
    assert found is None or found == read_slowly(changed)


@given(st.sampled_from(CAPTURES), st.data())
@settings(max_examples=200)
def test_a_reply_with_other_names_is_read_as_it_is_read_slowly_or_not_at_all(
    reply: bytes, data: st.DataObject
) -> None:
    layouts = taught_once(reply)
    lines = reply.split(b"\r\n")
    names = st.one_of(st.sampled_from(sorted(NUMBERS | TEXTS)), st.binary(max_size=8))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        name = data.draw(names)
        lines[at] = name[: data.draw(st.integers(0, len(name)))] + data.draw(st.sampled_from([b":5", b"_:5"]))
    changed = b"\r\n".join(lines)
    found = layouts.read(changed)
    assert found is None or found == read_slowly(changed)


@pytest.mark.parametrize(
    ("changing", "changed"),
    [
        (rb"(connected_clients|used_memory|total_\w+):\d+", rb"\1:424242"),
        (rb"used_memory_human:\S+", rb"used_memory_human:a few"),
        (rb"errorstat_\w+:", rb"errorstat_OOPS:"),
        (rb"gcc_version", rb"gnu_version"),
    ],
)
def test_other_numbers_and_lines_that_nothing_reads_keep_the_layout(changing: bytes, changed: bytes) -> None:
    reply = CAPTURES[0].replace(b"# Cluster", b"errorstat_ERR:count=1\r\n# Cluster")
    other = re.sub(changing, changed, reply)
    assert other != reply
    assert taught(reply).read(other) == read_slowly(other)


@pytest.mark.parametrize(
    "changed",
    [
        lambda reply: reply + b"extra:1\r\n",
        lambda reply: reply.replace(b"connected_clients:", b"connected_cients:"),
        lambda reply: reply.replace(b"\r\n", b"\n"),
        lambda reply: b"connected_clients:5\r\n" + reply,
        lambda reply: reply[:-2],
    ],
)
def test_another_layout_is_not_read(changed) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    reply = CAPTURES[0]
    assert taught(reply).read(changed(reply)) is None


def test_a_field_that_comes_twice_is_left_to_the_slow_reader() -> None:
    twice = CAPTURES[0] + b"connected_clients:1\r\nconnected_clients:2\r\n"
    assert taught(twice).read(twice) is None
    assert read_slowly(twice)[0][b"connected_clients"] == b"2"


def test_several_layouts_are_known_at_once_and_the_oldest_is_forgotten() -> None:
    layouts = taught(*CAPTURES)
    known = [reply for reply in CAPTURES if layouts.read(reply) is not None]
    assert known == CAPTURES[-8:]


def test_a_reply_of_very_many_lines_costs_no_expression() -> None:
    layouts = Layouts()
    for _ in range(3):
        layouts.learn(CAPTURES[0] * 10)
    assert not layouts._known  # noqa: SLF001


def test_whoever_sends_a_new_layout_at_each_poll_is_read_slowly_and_costs_few_expressions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[bytes] = []
    monkeypatch.setattr("exporter.parse.layouts.re.compile", made.append)
    layouts = Layouts()
    for number in range(500):
        layouts.learn(CAPTURES[0] + b"x:1\r\n" * (number // 2 % 200))
    assert 8 <= len(made) <= 8 + 500 / 200


def test_what_is_learnt_is_held_by_the_layouts_alone() -> None:
    taught(CAPTURES[0])
    assert not any(isinstance(key[1], bytes) and len(key[1]) > 1000 for key in re._cache)  # type: ignore[attr-defined]  # noqa: SLF001
