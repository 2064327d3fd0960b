"""Measured, printed, and not asserted: start-up and memory, for the README and for whoever changes them."""

import asyncio
import math
import statistics
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from exporter.analyse.slots import count_slots
from exporter.board import Board
from exporter.metrics.exposition import Pages
from exporter.metrics.negotiation import Format
from exporter.metrics.own import OwnMetrics
from exporter.model import Access, Activity, Reading, RedisUrl, Shard, Target
from exporter.parse.info import parse_info
from exporter.web.api import Api, reports
from exporter.web.pages.status import render_status, row_of
from tests.conftest import StartServer, need_program
from tests.daemon import Daemon, quick, running_exporter, target
from tests.test_holders import survey_of
from tests.waiting import eventually

RUNS = 3


def _resident_megabytes(daemon: Daemon) -> float:
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("targets", [1, 200])
def test_start_up_and_memory_are_measured(
    targets: int, start_server: StartServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A server under sixteen loopback names, as many as it takes: what is measured is the exporter.
    hosts = [f"127.0.0.{number + 1}" for number in range(16)]
    ports = [start_server("--bind", *hosts).port for _ in range(math.ceil(targets / len(hosts)))]
    urls = [f"redis://{host}:{port}" for port in ports for host in hosts][:targets]
    config = quick(*(target(f"t{number}", url) for number, url in enumerate(urls)))
    starts, memory = [], []
    for run in range(RUNS):
        folder = tmp_path / str(run)
        folder.mkdir()
        started = time.monotonic()
        with running_exporter(folder, config) as daemon:
            eventually(lambda daemon=daemon: daemon.ask("/-/ready").status == 200)  # type: ignore[misc]
            daemon.ask("/metrics")
            starts.append(time.monotonic() - started)
            eventually(
                lambda daemon=daemon: (  # type: ignore[misc]
                    (daemon.scrape().get("redis_connection_exporter_polls_total", "t0") or 0) >= 3
                )
            )
            memory.append(_resident_megabytes(daemon))
    with capsys.disabled():
        print(
            f"\nmeasured: {targets} target{'s' if targets > 1 else ''}: start to first complete /metrics "
            f"{statistics.median(starts) * 1000:.0f} ms, resident {statistics.median(memory):.1f} MB "
            f"(medians of {RUNS}; the start is seen at a resolution of 50 ms)"
        )


def test_redis_cli_sees_one_connection_for_each_target(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    url = f"redis://127.0.0.1:{server.port}"
    with running_exporter(tmp_path, quick(target("one", url))) as daemon:
        daemon.wait_for({"one": "ok"})
        ran = subprocess.run(
            [need_program("redis-cli"), "-p", str(server.port), "client", "list"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.count("name=redis-connection-exporter") == 1


async def _longest_hold(making: Coroutine[object, object, object]) -> float:
    """Make something, and return the longest time for which nothing else had a turn."""
    made = asyncio.ensure_future(making)
    longest, last = 0.0, time.perf_counter()
    while not made.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await made
    return longest


def test_the_longest_hold_of_the_loop_by_a_page_of_500_targets_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    info = parse_info((Path(__file__).parent / "data" / "info-debian13-valkey.txt").read_bytes())
    reading = Reading(1.8e9, 0.001, info, count_slots(info, limit=None, known_nodes=None))
    board = Board()
    pages = Pages(board, OwnMetrics())
    targets = tuple(Target(f"t{number}", Access(RedisUrl("h", number + 1))) for number in range(500))
    board.set_targets(targets)
    pages.set_targets()
    for each in targets:
        board.record(each.name, reading, Activity(1), now=0.0, patience=1e9)
        pages.update(each.name)

    async def page() -> object:
        board.record("t0", reading, Activity(1), now=0.0, patience=1e9)  # so that the page is made anew
        return await pages.page(Format.OPENMETRICS_1_0_0)

    holds = [asyncio.run(_longest_hold(page())) for _ in range(9)]
    with capsys.disabled():
        print(
            f"\nmeasured: page of 500 targets: longest hold of the event loop "
            f"{statistics.median(holds) * 1000:.1f} ms (median of {len(holds)})"
        )
    assert statistics.median(holds) < 0.05


def test_the_longest_hold_of_the_loop_by_what_is_told_of_1000_targets_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    info = parse_info((Path(__file__).parent / "data" / "info-debian13-valkey.txt").read_bytes())
    row = b"id=%d addr=10.0.0.1:5 fd=8 name=app%c age=9 idle=5 flags=N db=0 events=r cmd=get user=default\n"
    survey = survey_of(b"".join(row % (number, 97 + number % 20) for number in range(200)))
    slots = count_slots(info, limit=None, known_nodes=None)
    reading = Reading(1.8e9, 0.001, info, slots, clients=survey)
    board = Board()
    targets = tuple(Target(f"t{number}", Access(RedisUrl("h", number + 1))) for number in range(1000))
    board.set_targets(targets)
    for each in targets:
        board.record(each.name, reading, Activity(1), now=0.0, patience=1e9)

    async def page() -> bytes:
        return render_status([row_of(report) async for report in reports(board)], "/metrics", Shard())

    makers: dict[str, Callable[[], Coroutine[object, object, bytes]]] = {
        "status page": page,
        "/api/v1/targets": lambda: Api(board).targets(),
    }
    for what, make in makers.items():
        holds = [asyncio.run(_longest_hold(make())) for _ in range(5)]
        with capsys.disabled():
            print(
                f"\nmeasured: {what} of 1,000 targets with 20 apps: longest hold of the event loop "
                f"{statistics.median(holds) * 1000:.1f} ms (median of {len(holds)})"
            )
        assert statistics.median(holds) < 0.1
