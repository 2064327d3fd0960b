"""The parts of the soak: one that sees nothing would always pass."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
import redis

from tests.conftest import StartServer
from tests.soak.members import AGE_ALLOWED, FAULTY, FULL, KEEP_WAITING, MEMBERS, TIMEOUT
from tests.soak.papers import set_user
from tests.soak.plan import WARM_UP, Kind, What, draw_plan
from tests.soak.report import Report
from tests.soak.slot import BACK_ALLOWED, Slot
from tests.soak.watch import Ages, Glance, Holdings, count_messages, read_page
from tests.waiting import eventually


def test_a_seed_draws_the_same_plan_again_and_another_seed_another() -> None:
    assert draw_plan(1, 600) == draw_plan(1, 600)
    assert draw_plan(1, 600) != draw_plan(2, 600)


@pytest.mark.parametrize("seed", range(5))
def test_in_two_minutes_everything_happens_after_the_warm_up_and_every_fault_ends(seed: int) -> None:
    plan = draw_plan(seed, 120)
    assert {event.what for event in plan} == set(What)
    assert {event.fault.kind for event in plan if event.fault is not None} == set(Kind)
    assert all(event.at >= WARM_UP for event in plan if event.what is not What.RELOAD)
    assert all(event.at < 120 for event in plan)
    for member in (*FAULTY, FULL):
        turns = [event.what for event in plan if event.subject == member and event.what in "fault heal"]
        assert turns == [What.FAULT, What.HEAL] * (len(turns) // 2)
        assert turns
    assert {event.fault.kind for event in plan if event.subject == FULL and event.fault is not None} <= {
        Kind.RESET,
        Kind.DELAY,
    }, "what loses bytes costs the slot"


def test_the_full_server_stalls_every_20_seconds_for_longer_than_a_poll_waits() -> None:
    plan = draw_plan(1, 600)
    begun = [event.at for event in plan if event.what is What.STALL]
    ended = [event.at for event in plan if event.what is What.RESUME]
    assert len(begun) == 28
    assert {round(later - sooner) for sooner, later in pairwise(begun)} == {20}
    lengths = [end - begin for begin, end in zip(begun, ended, strict=True)]
    assert all(TIMEOUT < length < 10 for length in lengths)
    assert max(lengths) > KEEP_WAITING > min(lengths)


def _seen(now: float, success: dict[str, float] | None = None, connects: float = 1.0) -> Glance:
    fresh = {member.name: now for member in MEMBERS}
    return Glance(now, now, 0.0, fresh | (success or {}), {}, {FULL: connects}, math.nan)


def test_a_healthy_target_that_is_too_old_is_named_once_and_one_in_trouble_is_not() -> None:
    ages = Ages()
    late = {"plain-3": 100.0}
    assert [*ages.see(_seen(100), 0)] == []
    assert [*ages.see(_seen(100 + AGE_ALLOWED, late), 0)] == []
    (failure,) = ages.see(_seen(101 + AGE_ALLOWED, late), 7)
    assert failure.startswith("plain-3 is healthy, and its newest reading 5.0 s old")
    assert [*ages.see(_seen(102 + AGE_ALLOWED, late), 8)] == []
    assert ages.worst == (6.0, "plain-3", 8)

    ages.excuse("plain-4")
    assert [*ages.see(_seen(200, {"plain-4": 100.0}), 0)] == []
    ages.expect("plain-4", 210)
    assert [*ages.see(_seen(209, {"plain-4": 100.0}), 0)] == []
    assert len([*ages.see(_seen(210, {"plain-4": 100.0}), 0)]) == 1


def test_a_target_that_is_renamed_goes_on_ageing() -> None:
    ages = Ages()
    assert [*ages.see(_seen(100), 0)] == []
    assert [*ages.see(_seen(103, {"plain-0": 0.0}), 0)] == [], "its new name has no reading yet"
    assert [*ages.see(_seen(106, {"plain-0": 0.0, "plain-0-renamed": 105.0}), 0)] == []
    assert len([*ages.see(_seen(110, {"plain-0": 0.0, "plain-0-renamed": 105.0}), 0)]) == 1


def test_the_slot_is_lost_when_another_client_has_it_unless_it_was_reset(
    start_server: StartServer, talk: Callable[..., redis.Redis]
) -> None:
    server = start_server()
    control = talk(server)
    set_user(control, "exporter", ">secret")

    def enter() -> redis.Redis:
        client = talk(server)
        client.execute_command("AUTH", "exporter", "secret")  # type: ignore[no-untyped-call]
        return client

    slot = Slot(control)
    assert [*slot.look(_seen(0))] == []
    assert slot.vacant
    first = enter()
    assert [*slot.look(_seen(1))] == []
    assert not slot.vacant
    second = enter()
    assert [*slot.look(_seen(2))] == [], "two at once are no loss"

    slot.was_reset(3)
    first.close()
    second.close()
    eventually(lambda: len(control.client_list()) == 1)
    assert [*slot.look(_seen(4))] == []
    assert len([*slot.look(_seen(4 + BACK_ALLOWED))]) == 1, "there is room, and it does not come back"
    third = enter()
    assert [*slot.look(_seen(20))] == []
    assert (slot.resets, slot.losses, slot.slowest_return) == (1, 0, 17)

    third.close()
    enter()
    eventually(lambda: len(control.client_list()) == 2)
    (failure,) = slot.look(_seen(21))
    assert failure.startswith("the slot at the full server is lost")
    assert slot.losses == 1


def test_attempts_to_connect_beside_the_held_connection_are_counted(
    start_server: StartServer, talk: Callable[..., redis.Redis]
) -> None:
    control = talk(start_server())
    set_user(control, "exporter", "nopass")
    control.execute_command("AUTH", "exporter", "any")  # type: ignore[no-untyped-call]
    slot = Slot(control)
    assert [*slot.look(_seen(1, connects=1))] == []
    assert [*slot.look(_seen(2, connects=2))] == [], "counted when its first poll was over"
    assert [*slot.look(_seen(3, connects=2))] == []
    (failure,) = slot.look(_seen(4, connects=4))
    assert failure.startswith("2 attempts to connect")


def test_what_is_left_over_is_named() -> None:
    before = Holdings(3, 40, ("http", "one"))
    assert before.beyond(before, 0) == ()
    assert Holdings(4, 40, ("http", "one")).beyond(before, 1) == ()
    assert Holdings(4, 41, ("http", "one", "one")).beyond(before, 0) == (
        "threads 3 -> 4",
        "descriptors 40 -> 41",
        "tasks 2 -> 3, among them one",
    )


@pytest.mark.parametrize(("last", "fails"), [(50e6, False), (52e6, False), (53e6, True), (47e6, True)])
def test_memory_may_change_by_a_twentieth_in_the_second_half(last: float, fails: bool) -> None:  # noqa: FBT001
    samples = [(at, 20e6 if at < 50 else 50e6 if at < 75 else last) for at in map(float, range(100))]
    report = Report(1, 100, 30, memory=samples, full_stalls=1)
    report.judge()
    assert bool(report.failures) == fails
    assert ("FAILED" in "\n".join(report.lines())) == fails


@pytest.mark.parametrize(("last", "failures"), [(104e6, 0), (106e6, 1), (201e6, 2)])
def test_memory_of_a_long_soak_may_change_by_a_twentieth_since_minute_four(
    last: float, failures: int
) -> None:
    samples = [(at, 90e6 if at < 200 else 100e6 if at < 260 else last) for at in map(float, range(600))]
    report = Report(1, 600, 180, memory=samples, full_stalls=1)
    report.judge()
    assert len(report.failures) == failures


def test_memory_that_was_not_measured_is_a_failure() -> None:
    report = Report(1, 100, 30, memory=[(1.0, 5e6)], full_stalls=1)
    report.judge()
    assert len(report.failures) == 1


def test_a_full_server_that_never_was_full_is_a_failure() -> None:
    report = Report(1, 100, 30, memory=[(60.0, 5e6), (80.0, 5e6)])
    report.judge()
    assert len(report.failures) == 1


def test_of_a_page_it_reads_what_it_needs() -> None:
    page = (
        "# HELP redis_target_state s\n"
        'redis_target_state{target="a",generation="1",state="ok"} 0\n'
        'redis_target_state{target="a",generation="1",state="at_limit"} 1\n'
        'redis_connection_exporter_last_success_timestamp_seconds{target="a",generation="1"} 1.5e9\n'
        'redis_connection_exporter_connects_total{target="a"} 3\n'
        "process_resident_memory_bytes 4.5e+07\n"
    )
    seen = read_page(page, 1, 2, 3)
    assert seen == Glance(1, 2, 3, {"a": 1.5e9}, {"a": "at_limit"}, {"a": 3.0}, 4.5e7)


def test_log_lines_are_counted_by_message() -> None:
    log = 'ts=1 level=info msg=listening address=x\nts=1 level=warn msg="state changed" was="msg=no"\nts=\n'
    assert count_messages(log * 2) == Counter({"info: listening": 2, "warn: state changed": 2})
