"""A bug costs one target: it is logged, counted and shown there, and everybody else is served as before."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from exporter.model import Access, ClientPlan, Observation, Outage, Pace, State, Target
from exporter.poll.poller import Poller
from exporter.settings.kinds import parse_redis_url
from tests.conftest import StartServer
from tests.daemon import Daemon, altered, log_events, quick, running_exporter, target
from tests.test_operation import _our_id
from tests.waiting import eventually

_CRASHES = "redis_connection_exporter_poller_crashes_total"
_UNRAISED = {"REDIS_CONNECTION_EXPORTER_BUGS": ""}
SECRET = "hunter2-correct-horse"

Talk = Callable[..., redis.Redis]

_IN_INFO = (
    "import exporter.poll.redis as polls\n"
    "parse_info = polls.parse_info\n"
    "def broken_info(reply):\n"
    "    if b'maxclients:77\\r' in reply: raise LookupError('new in INFO')\n"
    "    return parse_info(reply)\n"
    "polls.parse_info = broken_info\n"
)
_IN_WHAT_IS_RECEIVED = (
    "from exporter.connection.wire import Wire\n"
    "data_received = Wire.data_received\n"
    "def broken_wire(self, data):\n"
    "    if b'maxclients:78\\r' in data: raise LookupError('new on the wire')\n"
    "    data_received(self, data)\n"
    "Wire.data_received = broken_wire\n"
)
_IN_A_METRIC = (
    "import dataclasses\n"
    "import exporter.metrics.exposition as pages\n"
    "def broken_metric(watch):\n"
    "    if watch.target.name == 'metric' and watch.reading: raise LookupError('new in a page')\n"
    "    return ()\n"
    "index = [each.name for each in pages.CATALOGUE].index('redis_connection_slots_used_peak')\n"
    "family = dataclasses.replace(pages.CATALOGUE[index], source=broken_metric)\n"
    "pages.CATALOGUE = (*pages.CATALOGUE[:index], family, *pages.CATALOGUE[index + 1:])\n"
    "pages._ALWAYS[:] = [(at, pages.CATALOGUE[at]) for at, _ in pages._ALWAYS]\n"
)
_IN_ROWS = (
    "from exporter.parse.clients import RowReader\n"
    "read_rows = RowReader.read\n"
    "def broken_rows(self, block):\n"
    "    if b'name=bad' in block: raise LookupError('new in a row')\n"
    "    return read_rows(self, block)\n"
    "RowReader.read = broken_rows\n"
)


_IN_A_REPORT = (
    "import exporter.web.api as api\n"
    "report_of = api.report_of\n"
    "def broken_report(watch, *rest, **more):\n"
    "    if watch.target.name == 'bad': raise LookupError('new in a report')\n"
    "    return report_of(watch, *rest, **more)\n"
    "api.report_of = broken_report\n"
)


def _bugs(daemon: Daemon) -> list[dict[str, Any]]:
    return [event for event in log_events(daemon.output()) if event["msg"] == "poller crashed"]


def _forget_tracebacks(daemon: Daemon) -> None:
    """What was wanted is no failure of the test."""
    assert daemon.stop() == 0
    daemon.log.write_text("")


def test_bugs_that_servers_bring_out_cost_no_other_target_and_are_counted_and_told(
    start_server: StartServer, tmp_path: Path
) -> None:
    ports = {
        "good": start_server().port,
        "info": start_server("--maxclients", "77").port,
        "wire": start_server("--maxclients", "78").port,
        "metric": start_server().port,
    }
    bad = [name for name in ports if name != "good"]
    config = quick(
        *(target(name, f"redis://127.0.0.1:{port}") for name, port in ports.items()), log={"format": "json"}
    )
    broken = altered(tmp_path, _IN_INFO + _IN_WHAT_IS_RECEIVED + _IN_A_METRIC) | _UNRAISED
    with running_exporter(tmp_path, config, prefix=(), **broken) as daemon:
        daemon.wait_for({"good": "ok", **dict.fromkeys(bad, "unknown")})

        def crashes(name: str) -> float:
            return daemon.scrape().get(_CRASHES, name) or 0

        eventually(lambda: all(crashes(name) >= 2 for name in bad))
        scrape, status = daemon.scrape(), daemon.ask("/").text
        assert (scrape.state("good"), scrape.get(_CRASHES, "good")) == ("ok", 0)
        for name in bad:
            assert scrape.state(name) == "unknown"
            assert scrape.get("redis_connection_slots_used", name) is None, "no old number is served"
        assert status.count("a bug of the exporter: LookupError in") == len(bad)
        assert "LookupError: new" not in status, "its text may hold a secret"
        told = _bugs(daemon)
        assert sorted(bug["target"] for bug in told) == sorted(bad), "the same bug is logged once"
        assert all("LookupError: new" in bug["traceback"] for bug in told)
        assert daemon.ask("/-/reload", "POST").status == 200
        _forget_tracebacks(daemon)


def test_a_target_that_cannot_be_told_of_costs_no_other_and_says_so(
    start_server: StartServer, tmp_path: Path
) -> None:
    ports = {name: start_server().port for name in ("good", "bad")}
    config = quick(*(target(name, f"redis://127.0.0.1:{port}") for name, port in ports.items()))
    broken = altered(tmp_path, _IN_A_REPORT) | _UNRAISED
    with running_exporter(tmp_path, config, prefix=(), **broken) as daemon:
        daemon.wait_for({"good": "ok", "bad": "ok"})
        good, bad = json.loads(daemon.ask("/api/v1/targets").body)["targets"]
        assert (good["remarks"], good["slots"]["used"]) == ([], 1)
        assert bad["remarks"][0].startswith("a bug of the exporter: LookupError in")
        assert (bad["state"], bad["slots"]) == ("ok", None)
        assert json.loads(daemon.ask("/api/v1/targets/bad").body)["target"] == bad
        assert daemon.ask("/").text.count("a bug of the exporter: LookupError in") == 1
        _forget_tracebacks(daemon)


def test_after_a_bug_in_the_middle_of_a_reply_the_same_connection_is_used_and_read_in_step(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server()
    client = talk(server)
    client.client_setname("bad")
    others = [talk(server) for _ in range(300)]
    alterations = altered(tmp_path, _IN_ROWS) | _UNRAISED
    config = quick(
        target("bad", f"redis://127.0.0.1:{server.port}"), clients={"interval": "1s"}, log={"format": "json"}
    )
    with running_exporter(tmp_path, config, prefix=(), **alterations) as daemon:
        connection = _our_id(client)
        eventually(lambda: (daemon.scrape().get(_CRASHES, "bad") or 0) >= 1)
        daemon.wait_for({"bad": "ok"})  # without a list for a while
        assert daemon.scrape().get("redis_connected_clients", "bad") == len(others) + 2
        client.client_setname("mended")
        eventually(lambda: daemon.scrape().sum("redis_app_connections", "bad") == len(others) + 1)
        assert _our_id(client) == connection
        assert daemon.scrape().get("redis_connection_exporter_connects_total", "bad") == 1
        _forget_tracebacks(daemon)


def test_a_bug_in_connecting_is_tried_again_and_hides_the_password(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("--requirepass", SECRET)
    broken = (
        "import exporter.connection.opening as module\n"
        "real, calls = module.auth_command, []\n"
        "def broken(access, secret):\n"
        "    calls.append(1)\n"
        "    if len(calls) < 3: raise ValueError('not a command: ' + secret)\n"
        "    return real(access, secret)\n"
        "module.auth_command = broken\n"
    )
    config = quick(target("one", f"redis://127.0.0.1:{server.port}", password=SECRET), log={"format": "json"})
    with running_exporter(tmp_path, config, prefix=(), **altered(tmp_path, broken), **_UNRAISED) as daemon:
        daemon.wait_for({"one": "ok"})
        assert daemon.scrape().get(_CRASHES, "one") == 2
        (bug,) = _bugs(daemon)
        assert "ValueError: not a command: **********" in bug["traceback"]
        assert SECRET not in daemon.output()
        _forget_tracebacks(daemon)


def _poller(
    monkeypatch: pytest.MonkeyPatch, polls: list[BaseException | None]
) -> tuple[Poller, list[Observation]]:
    seen: list[Observation] = []

    async def poll(*_: object) -> Observation:
        error = polls.pop(0) if polls else None
        if error is not None:
            raise error
        return Outage(0.0, 0.0, State.REFUSED, "nobody there")

    monkeypatch.setattr("exporter.poll.poller.poll_once", poll)
    plan = ClientPlan(enabled=False)
    url = Target("one", Access(parse_redis_url("redis://127.0.0.1:1")))
    return Poller(url, Pace(0.02, 0.01), plan, lambda _, observation: seen.append(observation)), seen


def test_the_pause_after_a_bug_doubles_and_a_poll_that_succeeds_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_CONNECTION_EXPORTER_BUGS", "")
    poller, seen = _poller(monkeypatch, [ValueError("x")] * 4 + [None, asyncio.CancelledError()])
    pauses: list[float] = []
    real = asyncio.timeout

    def note(seconds: float) -> asyncio.Timeout:
        pauses.append(seconds)
        return real(seconds)

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("exporter.poll.poller.asyncio.timeout", note)
            task = asyncio.create_task(poller.run(0.0))
            while len(seen) < 8:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()

    asyncio.run(main())
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.02], "a cancellation that is nobody's is a bug too"
    assert [each.state for each in seen[:7]] == [State.UNKNOWN] * 4 + [
        State.REFUSED,
        State.UNKNOWN,
        State.REFUSED,
    ]
    assert poller.activity.crashes == 5


def test_the_tests_themselves_fail_for_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    poller, seen = _poller(monkeypatch, [ZeroDivisionError("a bug")])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        asyncio.run(poller.run(0.0))
    assert not seen
