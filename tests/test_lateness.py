"""The exporter says when it is late: how much, and with how many targets."""

import signal
import time
from pathlib import Path

import pytest

from exporter.analyse.worst import WINDOW_SECONDS, Worst
from exporter.capacity import explain, seconds_per_poll, warn
from exporter.model import Access, ClientPlan, Config, Pace, RedisUrl, Target
from exporter.poll.poller import Poller
from tests.conftest import StartServer
from tests.daemon import quick, running_exporter, target
from tests.waiting import eventually

_DELAY = "redis_connection_exporter_poll_delay_seconds"
_OVERDUE = "redis_connection_exporter_targets_overdue"
_LAG = "redis_connection_exporter_event_loop_lag_seconds"
_FROZEN_SECONDS = 3.0


def test_polls_that_begin_late_are_told_and_counted(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with running_exporter(tmp_path, quick(target("one", f"redis://127.0.0.1:{server.port}"))) as daemon:
        page = daemon.wait_for({"one": "ok"})
        assert page.get(_OVERDUE) == 0
        assert (page.get(_DELAY) or 0.0) < _FROZEN_SECONDS / 2
        assert page.get("redis_connection_exporter_threads", state="waiting") == 0
        daemon.process.send_signal(signal.SIGSTOP)  # as a host does that has no time for it
        time.sleep(_FROZEN_SECONDS)
        daemon.process.send_signal(signal.SIGCONT)
        eventually(lambda: (daemon.scrape().get(_DELAY) or 0.0) > _FROZEN_SECONDS / 2)
        eventually(lambda: daemon.scrape().get(_OVERDUE) == 0)  # it is polled in time again
        delay, lag = (daemon.scrape().get(name) or 0.0 for name in (_DELAY, _LAG))
        assert delay > _FROZEN_SECONDS / 2  # which is remembered for a minute
        assert lag > _FROZEN_SECONDS / 2


def test_a_target_is_overdue_when_a_poll_began_or_waits_for_longer_than_a_tenth_of_the_interval() -> None:
    access = Access(RedisUrl("127.0.0.1", 1))
    poller = Poller(Target("one", access), Pace(10.0, 2.0), ClientPlan(), lambda *_: None)
    poller.due = 100.0
    assert [poller.is_overdue(now) for now in (90.0, 100.5, 101.5)] == [False, False, True]
    poller.late = 1.5
    assert poller.is_overdue(90.0)


def test_the_worst_delay_is_told_for_a_minute_however_many_there_are() -> None:
    worst = Worst()
    worst.note(0.5, 5.0)
    for tenth in range(6, 600):
        worst.note(tenth / 10, 0.01 * (tenth % 7))
    assert worst.of_last_minute(59.9) == 5.0
    assert worst.of_last_minute(0.5 + WINDOW_SECONDS) == pytest.approx(0.06)
    assert worst.of_last_minute(59.9 + WINDOW_SECONDS) == 0.0
    assert Worst().of_last_minute(7.0) == 0.0


def test_the_log_says_when_one_core_may_not_be_enough_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    some = [Target(f"t{number}", Access(RedisUrl("127.0.0.1", number))) for number in range(100_000)]
    for targets, interval in ((100_000, 60.0), (100, 5.0), (1, 1.0)):
        warn(Config(tuple(some[:targets]), Pace(interval, 0.9), ()))
    (record,) = caplog.records
    said = record.__dict__["fields"]["detail"]
    assert said.startswith("100,000 targets every 60s need about ")
    assert said.endswith("set a longer poll.interval, or share them among several exporters (shard.count)")


def test_what_needs_less_than_most_of_a_core_is_no_warning() -> None:
    assert explain(1200, 1.0, 0.9).startswith("1,200 targets every 1s need about 0.9 of a core, ")
    assert explain(1200, 5.0, 0.2) == ""
    assert 1e-5 < seconds_per_poll() < 0.1
