"""Refusals below the limit: what two polls in a row tell of a reserve that nobody tells (Valkey 9.2)."""

import logging
from dataclasses import replace

import pytest

from exporter.analyse.slots import count_slots, reserve_refuses
from exporter.board import Board
from exporter.model import Activity, Outage, Reading, State
from tests.one_page import ORDERS, info_of, reading_of, series_of
from tests.test_status_page import shown


def poll(rejected: object, used: int = 60, *, reserved: int | None = None, **fields: object) -> Reading:
    """One poll of a Valkey 9.2 with 100 slots; a field that is None is not told."""
    told = {
        "run_id": "a",
        "connected_clients": used,
        "connected_priority_clients": 3,
        "maxclients": 100,
        "rejected_connections": rejected,
        "rejected_priority_connections": 0,
    } | fields
    reading = reading_of(info_of(**{name: value for name, value in told.items() if value is not None}))
    slots = count_slots(reading.info, limit=None, known_nodes=None, reserved=reserved)
    return replace(reading, slots=slots)


@pytest.mark.parametrize(
    ("before", "after", "refuses"),
    [
        (poll(5), poll(6), True),
        (poll(5), poll(5), False),
        (None, poll(6), False),
        # Its counters were set back (CONFIG RESETSTAT), or it is another server.
        (poll(5), poll(4), False),
        (poll(5), poll(6, run_id="b"), False),
        # At the limit everybody is refused: at either poll, or between them if priority clients were too.
        (poll(5, used=100), poll(6), False),
        (poll(5), poll(6, used=100), False),
        (poll(5), poll(6, rejected_priority_connections=1), False),
        # A known reserve tells the same by itself; a spike that fills it between two polls is told here.
        (poll(5, used=90, reserved=20), poll(6, reserved=20), False),
        (poll(5), poll(6, used=90, reserved=20), False),
        (poll(5, reserved=20), poll(6, reserved=20), True),
        # There is none, as the server or the settings say.
        (poll(5, reserved=0), poll(6, reserved=0), False),
        # Any other server: its refusals were a spike or protected mode.
        (poll(5, connected_priority_clients=None), poll(6, connected_priority_clients=None), False),
        # Fields that are absent or odd tell nothing.
        (poll(None), poll(6), False),
        (poll(5), poll(None), False),
        (poll(5), poll("many"), False),
        (poll(5, rejected_priority_connections=None), poll(6, rejected_priority_connections=None), True),
        (poll(5, maxclients=None), poll(6, maxclients=None), False),
    ],
)
def test_refusals_while_slots_are_free_tell_of_a_reserve(
    before: Reading | None,
    after: Reading,
    refuses: bool,  # noqa: FBT001
) -> None:
    assert reserve_refuses(before, after) is refuses


def test_the_state_is_at_limit_for_as_long_as_newcomers_are_refused() -> None:
    at_limit, ok = 'redis_target_state{state="at_limit"}', 'redis_target_state{state="ok"}'
    polls = (poll(5), poll(6), poll(7), poll(7))
    states = [series_of(*polls[: number + 1]) for number in range(len(polls))]
    assert [series[at_limit] for series in states] == [0, 1, 1, 0]
    assert [series[ok] for series in states] == [1, 0, 0, 1]
    assert all(series["redis_up"] == 1 for series in states)
    assert states[1]["redis_connection_utilization_ratio"] == 0.6


def test_the_page_and_the_log_name_the_reserve(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    page = shown(poll(5), poll(6))
    assert ">at_limit<" in page
    assert "since the last poll it refused newcomers while 40 slots were free: its reserve" in page
    assert "reserve" not in shown(poll(5), poll(6), poll(6))
    assert any("its reserve" in getattr(record, "fields", {}).get("detail", "") for record in caplog.records)


def test_polls_with_an_outage_between_them_are_not_compared() -> None:
    board = Board()
    board.set_targets([ORDERS])
    for observation in (poll(5), Outage(1.8e9, 2.0, State.TIMEOUT, "no answer"), poll(6)):
        board.record(ORDERS.name, observation, Activity(), now=0.0, patience=10.0)
    watch = board.get(ORDERS.name)
    assert watch is not None
    assert watch.state is State.OK
