"""Which HTTP connections go when there are too many, and how often a page is made: without a socket."""

import asyncio
from dataclasses import dataclass

import pytest

from exporter.limits import HTTP_UNREAD_BYTES
from exporter.metrics.shared import Shared
from exporter.web.connections import Connections

MOST = 8  # of one address: 4
BIG = HTTP_UNREAD_BYTES // 4


@dataclass(eq=False)
class Held:
    peer: str
    busy: bool = False
    unread: tuple[int, int] | None = None
    is_cut: bool = False

    def cut(self) -> None:
        self.is_cut = True


@pytest.fixture
def connections() -> Connections:
    return Connections(MOST, lambda _: None)


def opened(connections: Connections, *peers: str) -> list[Held]:
    """One more of each, where there is room."""
    made = []
    for peer in peers:
        if connections.make_room(peer):
            made.append(Held(peer))
            connections.add(made[-1])
    return made


def test_who_has_too_many_loses_his_oldest_and_others_none(connections: Connections) -> None:
    (other,) = opened(connections, "b")
    own = opened(connections, *"aaaa")
    connections.answered(own[0])
    opened(connections, "a")
    assert [each.is_cut for each in own] == [False, True, False, False]
    assert not other.is_cut


def test_when_all_together_are_too_many_whoever_holds_most_loses_his_oldest(connections: Connections) -> None:
    held = opened(connections, *"bcaaadef")
    opened(connections, "g")
    assert [each.peer for each in held if each.is_cut] == ["a"]
    assert len(connections) == MOST


def test_the_idle_go_before_those_who_do_not_read_and_nobody_who_is_being_answered(
    connections: Connections,
) -> None:
    held = opened(connections, *"aaaa")
    held[0].busy = held[1].busy = True
    held[2].unread = 1, 1
    opened(connections, "a")
    assert held[3].is_cut
    assert not held[2].is_cut
    (newer,) = (each for each in opened(connections, "a"))
    newer.busy = True
    assert [each.is_cut for each in held] == [False, False, False, True]


def test_a_newcomer_waits_for_nobody_and_is_refused_only_where_all_are_being_answered(
    connections: Connections,
) -> None:
    for each in opened(connections, *"aaaa"):
        each.busy = True
    assert opened(connections, "a") == []
    assert len(opened(connections, "b")) == 1
    assert len(connections) == MOST - 3


def test_the_number_is_reported_and_each_counts_once() -> None:
    seen: list[int] = []
    connections = Connections(MOST, seen.append)
    (one,) = opened(connections, "a")
    connections.discard(one)
    connections.discard(one)
    connections.answered(one)
    assert seen == [1, 0]


def test_pages_that_nobody_reads_are_bounded_and_one_page_counts_once(connections: Connections) -> None:
    held = opened(connections, *"abcdefgh")
    for each in held[:3]:
        each.unread = 1, BIG
        connections.answered(each)
    for number, each in enumerate(held[3:6]):
        each.unread = 2 + number, BIG
        connections.answered(each)
    assert not any(each.is_cut for each in held), "four pages of a quarter"
    held[6].unread = 9, BIG
    connections.answered(held[6])
    assert [each.is_cut for each in held] == [True, True, True, False, False, False, False, False]


def test_four_pages_may_always_wait_however_large_they_are(connections: Connections) -> None:
    held = opened(connections, *"abcde")
    for number, each in enumerate(held):
        each.unread = number, HTTP_UNREAD_BYTES
        connections.answered(each)
    assert [each.is_cut for each in held] == [True, False, False, False, False]


class _Maker:
    """Makes numbers; each takes some turns of the loop."""

    def __init__(self) -> None:
        self.made = 0
        self.edition = 0
        self.shared = Shared(self.make, lambda: self.edition)

    async def make(self) -> int:
        await asyncio.sleep(0)
        self.made += 1
        return self.made


def test_all_who_ask_in_a_quarter_second_get_the_same() -> None:
    async def ask() -> None:
        maker = _Maker()
        assert set(await asyncio.gather(*[maker.shared.get() for _ in range(100)])) == {1}
        await asyncio.sleep(0.3)
        assert await maker.shared.get() == 2

    asyncio.run(ask())


def test_what_may_be_told_no_longer_is_made_anew_at_once() -> None:
    async def ask() -> None:
        maker = _Maker()
        first = asyncio.create_task(maker.shared.get())
        await asyncio.sleep(0)
        maker.edition += 1  # while it is being made
        assert await maker.shared.get() == 2
        assert await first == 1
        maker.edition += 1
        assert await maker.shared.get() == 3

    asyncio.run(ask())


def test_one_that_cannot_be_made_is_tried_by_the_next() -> None:
    async def ask() -> None:
        answers = iter((0, 1))

        async def make() -> int:
            return 1 // next(answers)

        shared = Shared(make, lambda: 0)
        with pytest.raises(ZeroDivisionError):
            await shared.get()
        assert await shared.get() == 1

    asyncio.run(ask())
