"""When a list is due and how it is taken: pure values, as tables."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from exporter.model import ServerInfo
from exporter.poll.listing.batches import BatchPlan
from exporter.poll.listing.schedule import ListSchedule

NEW = ListSchedule(interval=15.0, budget=0.002)
Step = Callable[[ListSchedule, float], ListSchedule]


def ok(cost: float, *, told: bool = True) -> Step:
    return lambda schedule, now: schedule.after_success(now, cost, told_by_server=told)


def late(cost: float = 0.0) -> Step:
    return lambda schedule, now: schedule.after_timeout(now, cost)


def broken(cost: float = 0.0) -> Step:
    return lambda schedule, now: schedule.after_break(now, cost)


def refused(schedule: ListSchedule, now: float) -> ListSchedule:
    return schedule.after_refusal(now)


@pytest.mark.parametrize(
    ("steps", "waits"),
    [
        ([ok(0.001)], 15),
        ([ok(0.06)], 30),
        ([ok(0.06, told=False)], 15),
        ([ok(0.06, told=False), ok(0.06, told=False)], 30),
        ([ok(2.5e12)], 600),
        ([late()], 60),
        ([late(), late()], 240),
        ([late(), late(), late()], 600),
        ([late()] * 600, 600),
        ([late(0.3)], 150),
        ([broken()], 60),
        ([broken(0.01), broken(0.01)], 240),
        ([late(), ok(0.001)], 15),
        ([late(), ok(0.001), late()], 60),
        ([refused], 15),
        ([late(), refused, late()], 60),
    ],
)
def test_how_long_after_a_list_the_next_one_is_due(steps: list[Step], waits: float) -> None:
    schedule = NEW
    for step in steps:
        schedule = step(schedule, 1000.0)
    assert schedule.due == 1000.0 + waits
    assert not schedule.is_due(999.9 + waits)
    assert schedule.is_due(1000.0 + waits)


def test_an_interval_that_is_configured_longer_than_any_setback_stays() -> None:
    daily = replace(NEW, interval=3600.0)
    assert daily.after_timeout(0.0).due == 3600.0
    assert daily.after_success(0.0, 1e9, told_by_server=True).due == 3600.0


def test_a_list_that_was_cut_is_not_tried_again_while_the_server_is_nearly_full() -> None:
    cut = NEW.after_break(0.0)
    assert not cut.is_due(10_000.0, utilization=0.96)
    assert cut.is_due(10_000.0, utilization=0.95)
    assert cut.is_due(10_000.0, utilization=None), "no limit is known"
    assert cut.after_success(0.0, 0.001, told_by_server=True).is_due(10_000.0, utilization=1.0)
    assert NEW.after_timeout(0.0).is_due(10_000.0, utilization=1.0), "a late list costs no connection"


def test_another_server_is_listed_at_once() -> None:
    assert NEW.after_success(50.0, 0.001, told_by_server=True).at_once().is_due(50.0)


def _info(clients: int, received: int | None = None, **texts: str) -> ServerInfo:
    numbers = {
        b"connected_clients": b"%d" % (clients + 1),
        b"total_connections_received": b"%d" % (clients if received is None else received),
    }
    return ServerInfo(numbers, {"redis_version": "7.0.15", **texts})


def _ids(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(1, count + 1)]


AFTER_WHOLE = BatchPlan().after_whole(_info(2000), _ids(2000), 0.002, 0.0)


def test_batches_want_many_clients_known_ids_a_new_enough_server_and_one_io_thread() -> None:
    assert AFTER_WHOLE.prefers_batches(_info(2000), 15.0)
    assert not BatchPlan().prefers_batches(_info(2000), 15.0), "no ids are known"
    assert not AFTER_WHOLE.prefers_batches(_info(900), 15.0)
    assert not AFTER_WHOLE.prefers_batches(_info(2000, redis_version="6.0.16"), 15.0)
    assert not AFTER_WHOLE.prefers_batches(replace(_info(2000), io_thread_clients=(1000, 1001)), 15.0)
    assert AFTER_WHOLE.prefers_batches(replace(_info(2000), io_thread_clients=(2001,)), 15.0)
    assert not AFTER_WHOLE.prefers_batches(_info(2000, received=4001), 15.0), "too many have come"
    assert not AFTER_WHOLE.prefers_batches(_info(2000, received=10), 15.0), "the counter was reset"


def test_every_tenth_list_is_a_whole_one() -> None:
    plan, whole = AFTER_WHOLE, []
    for number in range(1, 31):
        info = _info(2000)
        if plan.prefers_batches(info, 15.0 * number):
            plan = plan.after_batches(info, _ids(2000), 0.002, 15.0 * number, took=0.01)
        else:
            whole.append(number)
            plan = plan.after_whole(info, _ids(2000), 0.002, 15.0 * number)
    assert whole == [10, 20, 30]


def test_two_lists_in_a_row_that_miss_one_client_are_followed_by_a_whole_one() -> None:
    info = _info(2001, received=2000)
    once = AFTER_WHOLE.after_batches(info, _ids(2000), 0.002, 15.0, took=0.01)
    assert once.prefers_batches(info, 30.0)
    twice = once.after_batches(info, _ids(2000), 0.002, 30.0, took=0.01)
    assert not twice.prefers_batches(info, 45.0)
    again = once.after_batches(_info(2000), _ids(2000), 0.002, 30.0, took=0.01)
    assert again.prefers_batches(info, 45.0), "not in a row"


def test_clients_that_come_and_go_while_we_ask_make_no_difference() -> None:
    plan = AFTER_WHOLE
    for number in range(1, 6):  # 100 a second come and go, and a list takes 50 ms
        info = _info(2000, received=2000 + 1500 * number)
        plan = plan.after_batches(info, _ids(2005), 0.002, 15.0 * number, took=0.05)
    assert plan.prefers_batches(_info(2000, received=plan.received), 90.0)


def test_batches_that_are_dear_twice_are_given_up_for_an_hour() -> None:
    plan = AFTER_WHOLE.after_batches(_info(2000), _ids(2000), 0.005, 15.0, took=0.01)
    assert plan.prefers_batches(_info(2000), 30.0), "one alone may be a pause of the machine"
    plan = plan.after_batches(_info(2000), _ids(2000), 0.005, 30.0, took=0.01)
    assert not plan.prefers_batches(_info(2000), 3629.0)
    assert plan.prefers_batches(_info(2000), 3631.0)


def test_batches_that_are_dear_because_clients_have_come_are_not_given_up() -> None:
    plan = BatchPlan()
    for count in range(1200, 9000, 900):
        info, cost = _info(count), 0.000001 * count
        assert count == 1200 or plan.prefers_batches(info, count)
        if count == 1200:
            plan = plan.after_whole(info, _ids(count), cost, count)
        else:
            plan = plan.after_batches(info, _ids(count), cost, count, took=0.01)


def test_batches_ask_for_the_known_ids_and_those_given_out_since() -> None:
    asked = [client for batch in AFTER_WHOLE.batches(_info(2000, received=2007)) for client in batch]
    assert asked == _ids(2027)
    assert max(len(batch) for batch in AFTER_WHOLE.batches(_info(2000))) == 250
