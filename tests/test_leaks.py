"""What speaks for a leak: chains of lives, rests after which some come back, closings by the server."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.analyse.history import History
from exporter.analyse.leaks import LINKS, Life, left_behind
from exporter.analyse.reaping import Reaping
from exporter.analyse.verdict import Facts, growth_without_need, judge, opened_and_unused, steepest
from exporter.model import ServerInfo
from exporter.verdicts import Evidence, Verdict, Window
from tests.blocks import take
from tests.test_history import STALE_AFTER, row, tally

NOW = 10_000


def chain(count: int, *, apart: int = 10, lived: int = 2, begun: int = -500) -> list[Life]:
    """Lives of so many connections, each opened when the one before was last used long ago."""
    return [(begun + n * apart + lived, begun + n * apart, n) for n in range(count)]


def lost(
    lives: Sequence[Life], wanted: Sequence[int] = (), unworked: Sequence[int] = (), newest: int = NOW
) -> int:
    openings = {newest, newest - 20, *(opened for _, opened, _ in lives if opened <= newest)}
    return len(left_behind(lives, openings, wanted, unworked, NOW))


def test_a_chain_of_five_lives_is_a_leak_and_one_of_four_is_chance() -> None:
    assert lost(chain(LINKS)) == LINKS
    assert lost(chain(LINKS - 1)) == 0


def test_it_does_not_matter_when_the_clock_began() -> None:
    assert lost(chain(LINKS, begun=-9_000_000)) == lost(chain(LINKS, begun=0)) == LINKS


def test_connections_that_were_all_in_use_at_once_are_no_chain() -> None:
    burst = [(100 + n % 3, 90, n) for n in range(50)]
    assert lost(burst, newest=90) == 0


def test_what_nobody_opened_anything_after_is_not_left_behind() -> None:
    lives = chain(25)
    assert lost(lives, newest=lives[-1][1]) == 24


def test_a_pool_that_was_filled_at_its_start_is_excused_by_a_sibling_that_works() -> None:
    lives = chain(6)
    assert lost(lives, wanted=[opened for _, opened, _ in lives[:2]]) == 0


def test_several_that_were_opened_in_one_moment_and_never_used_are_a_pools_reserve() -> None:
    """go-redis opens MinIdleConns without a name or a command, pod after pod behind one address."""
    reserve = [
        (moment + n % 2, moment + n % 2, 4 * moment + n) for moment in range(0, 60, 6) for n in range(4)
    ]
    positions = [position for *_, position in reserve]
    assert lost(reserve, unworked=positions) == 0
    assert lost(reserve) == len(reserve)


def test_many_that_are_left_behind_at_once_need_no_chain() -> None:
    """Ten leaks a second for four seconds: their lives overlap."""
    fast = [(100 + n // 10, 100 + n // 10, n) for n in range(40)]
    assert lost(fast, newest=140) == 40


def test_one_more_client_makes_no_leak_of_a_pool_that_rests() -> None:
    pool = [(100, 90, n) for n in range(40)]
    assert left_behind(pool, {90, 900}, [900], [], 1000) == []


@pytest.mark.parametrize(("count", "opened_since", "found"), [(12, 400, 0), (12, 100, 12), (25, 400, 25)])
def test_a_few_clients_that_were_made_one_by_one_are_forgiven_when_no_more_come(
    count: int, opened_since: int, found: int
) -> None:
    newest = NOW - opened_since
    lives = chain(count, apart=10, lived=0, begun=newest - 10 * count)
    assert lost(lives, newest=newest) == found


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=60), st.integers(0, 10**6))
def test_who_is_left_behind_depends_neither_on_the_order_nor_on_the_clock(
    times: list[tuple[int, int]], shift: int
) -> None:
    lives = [(max(one, two), min(one, two), n) for n, (one, two) in enumerate(times)]
    found = left_behind(lives, [600], [], [], 700)
    assert left_behind(lives[::-1], [600], [], [], 700) == found
    shifted = [(used - shift, opened - shift, n) for used, opened, n in lives]
    assert [n for *_, n in left_behind(shifted, [600 - shift], [], [], 700 - shift)] == [n for *_, n in found]
    assert all(used + 2 < 600 for used, _, _ in found)


# What several lists tell


def history_of(*lists: tuple[float, list[bytes]]) -> History:
    history = History(STALE_AFTER, 5)
    for now, rows in lists:
        take(history, tally(*rows), ServerInfo({b"uptime_in_seconds": b"%d" % (1000 + now)}, {}), now=now)
    return history


def quiet_ones(at: float, *, rest: float, pinged: bool = False) -> list[bytes]:
    """Eight connections that were opened 4 s apart, used at once and never again, and one that works."""
    ages = [int(at + rest + 4 * n) for n in range(8, 0, -1)]
    cmd, idle = (b"ping", 3) if pinged else (b"get", None)
    return [
        *(
            row(n, age=age, idle=age - 1 if idle is None else idle, cmd=cmd, commands=None)
            for n, age in enumerate(ages)
        ),
        row(99, age=int(at + rest), idle=0, commands=None),
    ]


def test_one_list_is_enough_on_every_version_also_after_a_restart_of_the_exporter() -> None:
    trend = history_of((0.0, quiet_ones(0, rest=70))).trends["app"]
    assert (trend.verdict, trend.suspected) == (Verdict.LEAKING, 8)
    assert trend.evidence[Evidence.LEFT_BEHIND] == 8


def test_connections_must_have_been_quiet_for_a_minute_while_an_app_is_new_and_half_of_it_later() -> None:
    new = history_of((0.0, quiet_ones(0, rest=31)))
    known = history_of((0.0, [row(99, age=9, commands=None)]), (400.0, quiet_ones(0, rest=31)))
    assert new.trends["app"].verdict is Verdict.UNKNOWN
    assert known.trends["app"].verdict is Verdict.LEAKING


def test_pings_keep_no_leak_alive_for_whoever_saw_it_work() -> None:
    history = history_of((0.0, quiet_ones(0, rest=20)), (100.0, quiet_ones(100, rest=20, pinged=True)))
    trend = history.trends["app"]
    assert trend.evidence[Evidence.PINGED_ONLY] == trend.suspected == 8


def test_pings_keep_no_leak_alive_that_waited_in_a_command_before() -> None:
    waiting = [
        row(n, age=20 + 4 * (8 - n), idle=19 + 4 * (8 - n), flags=b"b", cmd=b"blpop", commands=None)
        for n in range(8)
    ]
    first = (0.0, [*waiting, row(99, age=20, commands=None)])
    # They all waited until the same list, so nothing but what came later shows that they are lost.
    later = [row(100 + n, age=90 - 10 * n, idle=89 - 10 * n, commands=None) for n in range(3)]
    pinged = quiet_ones(100, rest=20, pinged=True)
    trend = history_of(first, (100.0, [*pinged, *later])).trends["app"]
    assert trend.evidence[Evidence.PINGED_ONLY] == 8


@pytest.mark.parametrize(
    ("cmd", "bytes_each", "lost"), [(b"ping", 14, 8), (b"echo", 30, 8), (b"info", 17, 8), (b"ping", 40, 0)]
)
def test_counters_tell_pings_from_work(cmd: bytes, bytes_each: int, lost: int) -> None:
    """A `PING` may come after real commands; other keep-alives are taken by their name."""

    def counted(line: bytes, commands: int, size: int) -> bytes:
        return line.replace(
            b"tot-net-in=0 tot-cmds=7", b"tot-net-in=%d tot-cmds=%d" % (size * commands, commands)
        )

    def lists(at: int) -> list[bytes]:
        ages = [at + 20 + 4 * n for n in range(8, 0, -1)]
        kept_alive = [row(n, age=age, idle=3, cmd=cmd) for n, age in enumerate(ages)]
        return [*(counted(line, 10 + at, bytes_each) for line in kept_alive), row(99, age=at + 20, idle=0)]

    seen_at_work = [row(n, age=20 + 4 * (8 - n), idle=19 + 4 * (8 - n)) for n in range(8)]
    history = history_of((0.0, [*seen_at_work, row(99, age=20)]), (50.0, lists(50)), (100.0, lists(100)))
    assert history.trends["app"].suspected == lost


def test_connections_that_come_back_after_a_rest_teach_patience() -> None:
    lists = []
    for turn in range(6):  # each works every 100 s, at a moment of its own
        now = 15.0 * turn + 1000
        ages = [int(now) - 10 * n for n in range(12)]
        lists.append(
            (
                now,
                [row(n, age=age, idle=(int(now) + 7 * n) % 100, commands=None) for n, age in enumerate(ages)],
            )
        )
    history = history_of(*lists)
    assert history.trends["app"].suspected == 0


def test_a_connection_held_in_a_transaction_for_long_is_a_leak_by_itself() -> None:
    trend = history_of((0.0, [row(1, idle=301, age=400, flags=b"x"), row(2)])).trends["app"]
    assert trend.evidence == {Evidence.HELD_TRANSACTION: 1}
    assert (trend.verdict, trend.suspected) == (Verdict.LEAKING, 1)


def test_a_connection_that_was_never_used_is_evidence_and_no_leak() -> None:
    trend = history_of((0.0, [row(1, idle=400, age=400, cmd=b"NULL"), row(2)])).trends["app"]
    assert trend.evidence == {Evidence.NEVER_USED: 1}
    assert (trend.verdict, trend.suspected) == (Verdict.UNKNOWN, 0)


def test_an_app_that_opens_many_and_uses_few_is_unknown_within_two_lists_and_says_why() -> None:
    def opened(count: int, at: int) -> list[bytes]:
        used = [row(n, age=at, idle=0, cmd=b"client|setname") for n in range(count)]
        return [*used, row(999, age=5000)]

    history = history_of((0.0, opened(2, 1)), (15.0, opened(17, 14)))
    trend = history.trends["app"]
    assert trend.verdict is Verdict.UNKNOWN
    assert trend.evidence[Evidence.OPENED_AND_UNUSED] == trend.opened_recently == 17
    assert trend.needed_recently == 1


def test_a_name_that_tells_the_size_of_its_pool_counts_for_each_instance() -> None:
    rows = [row(1, b"orders-7c9f8d6b5-x2x9k@pool=20"), row(2, b"orders-7c9f8d6b5-x2x9k@pool=20")]
    history = history_of((0.0, [*rows, row(3, b"orders-7c9f8d6b5-zz2dk@pool=20"), row(4, b"cart")]))
    assert (history.trends["orders"].pool, history.trends["cart"].pool) == (40, None)


def test_an_instance_is_told_with_its_connections_those_of_a_leak_first() -> None:
    trend = history_of((0.0, [*quiet_ones(0, rest=70), row(500, b"other-app")])).trends["app"]
    (instance,) = trend.instances
    assert (instance.name, instance.host, instance.user) == ("app", "10.0.0.1", "default")
    assert (instance.open, instance.suspected, instance.oldest, instance.newest) == (9, 8, 102, 70)
    assert instance.samples[0] == b"0 102 101 get 10.0.0.1:5"
    assert len(instance.samples) == 5
    assert trend.worst == ("app", 9)


# Closings by the server


def test_closings_at_one_idle_time_again_and_again_are_the_servers_timeout() -> None:
    reaping = Reaping()
    for turn in range(4):
        told = reaping.update({"app": [290 + turn, 297]}, 299, 15.0, 15.0 * turn)
        assert bool(told) == (turn >= 2)
    assert told == {"app": 8}
    assert reaping.timeout("app") == 297
    assert reaping.update({}, 299, 15.0, 1000.0) == {}


@pytest.mark.parametrize("closed", [[20, 290], [3, 4]])
def test_closings_at_any_time_are_not_the_servers(closed: list[int]) -> None:
    reaping = Reaping()
    assert not any(reaping.update({"app": closed}, 299, 15.0, 15.0 * turn) for turn in range(5))


def test_nobody_outlives_a_servers_timeout() -> None:
    reaping = Reaping()
    assert not any(reaping.update({"app": [295, 296]}, 900, 15.0, 15.0 * turn) for turn in range(5))


# The verdict


USUAL = Facts(
    total=20, blocked=0, needed_peak=10, watched=3600.0, came=0, came_just_now=0, growth={}, evidence={}
)


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        ({}, Verdict.HEALTHY),
        ({"watched": 100.0}, Verdict.UNKNOWN),
        ({"evidence": {Evidence.LEFT_BEHIND: 5}, "came": 900, "came_just_now": 300}, Verdict.LEAKING),
        ({"evidence": {Evidence.HELD_TRANSACTION: 1}}, Verdict.LEAKING),
        ({"evidence": {Evidence.NEVER_USED: 9}}, Verdict.HEALTHY),
        ({"evidence": {Evidence.REAPED_BY_TIMEOUT: 9}}, Verdict.HEALTHY),
        ({"evidence": {Evidence.OPENED_AND_UNUSED: 30}}, Verdict.UNKNOWN),
        ({"evidence": {Evidence.GROWTH_WITHOUT_NEED: 30}}, Verdict.UNKNOWN),
        ({"came": 900, "came_just_now": 300}, Verdict.CHURNING),
        ({"came": 100, "came_just_now": 0, "total": 1}, Verdict.HEALTHY),
        ({"growth": {Window.SHORT: 0.5}}, Verdict.GROWING),
        ({"blocked": 10}, Verdict.WAITING),
        ({"needed_peak": 2}, Verdict.OVERSIZED),
        ({"needed_peak": 2, "watched": 300.0}, Verdict.HEALTHY),
        ({"needed_peak": 0, "total": 9}, Verdict.HEALTHY),
    ],
)
def test_the_worst_that_fits_is_the_verdict(known: dict[str, Any], verdict: Verdict) -> None:
    assert judge(replace(USUAL, **known)) is verdict


@pytest.mark.parametrize(("opened", "used", "told"), [(149, 0, 149), (149, 40, 0), (9, 0, 0), (10, 2, 10)])
def test_many_opened_and_few_in_use_is_evidence(opened: int, used: int, told: int) -> None:
    assert opened_and_unused(opened, used) == told


@pytest.mark.parametrize(
    ("growth", "busy", "widest", "told"),
    [
        ({Window.SHORT: 0.5}, {}, {Window.SHORT: 0.5}, 150),
        ({Window.SHORT: 0.5}, {Window.SHORT: 0.2}, {Window.SHORT: 0.5}, 0),
        ({Window.SHORT: 0.5}, {}, {Window.SHORT: 0.0}, 0),
        ({Window.SHORT: 0.001}, {}, {Window.SHORT: 0.001}, 0),
    ],
)
def test_growth_is_needless_where_neither_use_nor_the_number_of_instances_grows(
    growth: dict[Window, float], busy: dict[Window, float], widest: dict[Window, float], told: int
) -> None:
    assert growth_without_need(growth, busy, widest) == told


def test_growth_is_read_from_the_shortest_window_that_is_steep_if_it_goes_on() -> None:
    slow = {Window.SHORT: 0.01, Window.MIDDLE: 0.01, Window.LONG: 0.01}
    assert steepest(slow) is Window.MIDDLE
    assert steepest({Window.SHORT: 0.0, Window.MIDDLE: 0.5}) is None
    assert steepest({Window.SHORT: 1.0}) is Window.SHORT
