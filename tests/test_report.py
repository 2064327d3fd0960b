"""What is told of a target, made from readings that no server at hand gives."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from exporter.board import Board
from exporter.explain import explain
from exporter.limits import TARGETS_SHARED
from exporter.model import (
    Access,
    Activity,
    AppClients,
    ClientState,
    Outage,
    Reading,
    RedisUrl,
    State,
    Survey,
    Target,
)
from exporter.reporting import report_of
from exporter.verdicts import AppTrend, Evidence, Instance, Verdict, Window
from exporter.web.api import Api
from tests.one_page import ORDERS, info_of, reading_of, report_on
from tests.test_holders import QUIET, survey_of

_ROW = b"id=%d addr=10.0.0.1:5 fd=8 name=%b age=900 idle=5 flags=N db=0 events=r cmd=get user=default\n"


def full_of(used: int, growth: Mapping[Window, float], limit: int = 100) -> Reading:
    """A server with so many connections, whose two apps grow alike."""
    trend = replace(QUIET, growth={window: slope / 2 for window, slope in growth.items()})
    survey = survey_of(_ROW % (1, b"a") + _ROW % (2, b"b"), {"a": trend, "b": trend})
    return replace(reading_of(info_of(connected_clients=used, maxclients=limit)), clients=survey)


@pytest.mark.parametrize(
    ("used", "growth", "seconds"),
    [
        (40, {Window.SHORT: 0.5}, 120),
        (40, {Window.SHORT: 0.005, Window.MIDDLE: 0.1}, 600),
        (40, {Window.SHORT: 0.5, Window.MIDDLE: 0.1}, 120),
        (40, {Window.SHORT: -1.0, Window.MIDDLE: 0.1, Window.LONG: 0.3}, None),
        (40, {Window.SHORT: 0.01, Window.MIDDLE: 0.01, Window.LONG: 0.01}, 6000),
        (40, {Window.SHORT: 0.005, Window.MIDDLE: 0.005, Window.LONG: 0.005}, None),
        (40, {}, None),
        (100, {}, 0),
    ],
)
def test_when_a_server_is_full_is_told_by_the_shortest_window_in_which_it_grows(
    used: int, growth: Mapping[Window, float], seconds: float | None
) -> None:
    slots = report_on(full_of(used, growth)).slots
    assert slots is not None
    assert slots.full_in_seconds == (pytest.approx(seconds) if seconds is not None else None)
    assert slots.growth_per_second == pytest.approx(growth)


def test_growth_without_a_list_or_a_limit_is_not_known() -> None:
    slots = report_on(reading_of(info_of(maxclients=10))).slots
    assert slots is not None
    assert slots.growth_per_second is None
    assert slots.full_in_seconds is None
    unlimited = replace(full_of(5, {Window.SHORT: 1.0}), info=reading_of(info_of()).info)
    unlimited = replace(unlimited, slots=reading_of(info_of()).slots)
    told = report_on(unlimited).slots
    assert told is not None
    assert told.limit is told.full_in_seconds is told.utilization_ratio is None


def test_refusals_are_told_per_second_over_the_last_minutes() -> None:
    board = Board()
    board.set_targets([ORDERS])
    for seconds, refused in ((0, 100), (5, 100), (10, 130)):
        told = {"total_connections_received": 5, "total_commands_processed": 5}
        board.record(
            ORDERS.name,
            reading_of(info_of(rejected_connections=refused, **told)),
            Activity(),
            now=float(seconds),
            patience=9.0,
        )
        (watch,) = board
        report = report_of(watch, 1.8e9, float(seconds))
        assert report.refused_total == refused
        assert report.refused_per_second == {0: None, 5: 0.0, 10: 3.0}[seconds]


def test_a_server_that_does_not_count_refusals_tells_none() -> None:
    report = report_on(reading_of(info_of()))
    assert report.refused_total is report.refused_per_second is None


def test_since_when_a_target_is_in_its_state_is_told_whatever_the_polls_in_between_say() -> None:
    board = Board()
    board.set_targets([ORDERS])

    def since() -> tuple[str, tuple[float, float] | None]:
        (watch,) = board
        return watch.state, watch.since

    def poll(at: float, state: State | None = None) -> None:
        ok = replace(reading_of(info_of()), at=1000 + at)
        outage = Outage(1000 + at, 1.0, state, "no answer") if state is not None else ok
        board.record(ORDERS.name, outage, Activity(), now=at, patience=10.0)

    assert since() == ("unknown", None)
    poll(5, State.UNKNOWN)
    assert since() == ("unknown", (1005, 5))
    poll(10)
    poll(15)
    assert since() == ("ok", (1010, 10))
    poll(20, State.TIMEOUT)
    poll(25, State.TIMEOUT)
    assert since() == ("timeout", (1020, 20))
    poll(30)
    board.expire(50.0, 10.0)
    assert since() == ("timeout", (1050, 50))
    board.set_targets([replace(ORDERS, name="renamed")])
    assert since() == ("timeout", (1050, 50))


def clients(count: int, **states: int) -> AppClients:
    told = {ClientState(name): number for name, number in states.items()}
    return AppClients({ClientState.IDLE: count - sum(states.values()), **told}, None, 0)


@pytest.mark.parametrize(
    ("verdict", "changes", "sentence"),
    [
        (Verdict.HEALTHY, {"needed_peak": 7}, "healthy: in use at most 7 of 20"),
        (Verdict.OVERSIZED, {"needed_peak": 2}, "oversized: 20 open, in use at most 2"),
        (
            Verdict.LEAKING,
            {"evidence": {Evidence.LEFT_BEHIND: 12, Evidence.PINGED_ONLY: 12}, "worst": ("cart-x2x9k", 9)},
            "leaking: 12 of 20 left behind, worst cart-x2x9k",
        ),
        (
            Verdict.LEAKING,
            {"evidence": {Evidence.LEFT_BEHIND: 12}, "worst": ("cart", 9)},
            "leaking: 12 of 20 left behind",
        ),
        (
            Verdict.LEAKING,
            {"evidence": {Evidence.LEFT_BEHIND: 12, Evidence.HELD_TRANSACTION: 3}},
            "leaking: 12 of 20 left behind, 3 held in a transaction",
        ),
        (
            Verdict.LEAKING,
            {"evidence": {Evidence.HELD_TRANSACTION: 3}},
            "leaking: 3 of 20 held in a transaction",
        ),
        (
            Verdict.GROWING,
            {"growth": {Window.SHORT: 0.1, Window.MIDDLE: 0.2}},
            "growing: 6.0 more per minute",
        ),
        (Verdict.CHURNING, {}, "churning: opens new connections all the time and keeps few"),
        (Verdict.WAITING, {}, "waiting: 15 of 20 blocked"),
        (Verdict.UNKNOWN, {}, "unknown: too little seen so far"),
        (
            Verdict.UNKNOWN,
            {"evidence": {Evidence.OPENED_AND_UNUSED: 149}, "opened_recently": 149, "recent": 150.4},
            "unknown: opened 149 in 150 s, in use at most 0",
        ),
        (
            Verdict.UNKNOWN,
            {"evidence": {Evidence.GROWTH_WITHOUT_NEED: 40}},
            "unknown: 40 more, and no more in use",
        ),
        (None, {}, ""),
    ],
)
def test_every_verdict_is_a_sentence(
    verdict: Verdict | None, changes: Mapping[str, object], sentence: str
) -> None:
    trend: AppTrend = replace(QUIET, verdict=verdict, **changes)  # type: ignore[arg-type]
    assert explain("cart", clients(20, blocked=15), trend) == sentence


def hints(survey: Survey) -> tuple[str, ...]:
    listed = report_on(replace(reading_of(info_of()), clients=survey)).client_list
    assert listed is not None
    return listed.hints


def test_most_connections_without_a_name_are_told_and_half_of_them_are_not() -> None:
    nameless, named = _ROW % (1, b""), _ROW % (2, b"a")
    (hint,) = hints(survey_of(nameless * 2 + named))
    assert hint.startswith("2 of 3 connections have no name")
    assert "docs/app-names.md" in hint
    assert hints(survey_of(nameless + named)) == ()


def test_where_most_openings_were_unseen_no_app_is_blamed_for_churn() -> None:
    survey = survey_of(_ROW % (1, b"a"))
    (hint,) = hints(replace(survey, share_seen=0.2))
    assert hint.startswith("the lists saw 20% of the connections opened in the last 5 minutes")
    assert hints(replace(survey, share_seen=0.5)) == hints(survey) == ()


def test_who_asks_for_the_same_at_once_shares_one_answer_and_few_answers_are_kept() -> None:
    async def main() -> None:
        board = Board()
        board.set_targets([Target(f"t{n}", Access(RedisUrl("h", n + 1))) for n in range(2 * TARGETS_SHARED)])
        api = Api(board)
        first, second = await asyncio.gather(api.target("t0"), api.target("t0"))
        assert first is second is not None
        for watch in board:
            body = await api.target(watch.target.name)
            assert body is not None
            assert json.loads(body)["target"]["name"] == watch.target.name
        assert await api.target("t0") is not first, "it was forgotten for the others"
        board.set_targets([])
        assert await api.target("t0") is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("packed", "client"),
    [
        (b"7 9 5 get 10.0.0.1:5", 7),
        (b" 9 5 get 10.0.0.1:5", None),
        (b"10.0.0.1:5 9 5 get 10.0.0.1:5", None),
        (b"%b 9 5 get 10.0.0.1:5" % (b"9" * 5000), None),
    ],
)
def test_an_id_that_is_no_number_is_not_known(packed: bytes, client: int | None) -> None:
    instance = Instance("a", "h", "u", "", 1, 0, 0.0, 0.0, 9, 9, (), (), (packed,))
    trend = replace(QUIET, instances=(instance,))
    told = report_on(replace(reading_of(info_of()), clients=survey_of(_ROW % (1, b"a"), {"a": trend})))
    assert told.apps is not None
    (shown,) = told.apps[0].instances or ()
    assert [(each.id, each.age_seconds, each.command) for each in shown.samples] == [(client, 9, "get")]
