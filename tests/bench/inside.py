"""Parts of the exporter beside what redis-py and prometheus-client do in their place."""

import asyncio
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import redis
import uvloop
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from redis._parsers.helpers import parse_client_list

from exporter.analyse.apps import clean_label, strip_instance
from exporter.analyse.groups import Tally
from exporter.analyse.names import AppNames
from exporter.board import Board
from exporter.connection.link import Link
from exporter.metrics.exposition import Pages
from exporter.metrics.negotiation import Format
from exporter.metrics.own import OwnMetrics
from exporter.model import (
    Access,
    Activity,
    AppRules,
    ClientPlan,
    Reading,
    RedisUrl,
    ServerInfo,
    Slots,
    Target,
)
from exporter.parse.info import parse_info
from exporter.poll.listing.counting import Counting
from exporter.poll.listing.lister import Lister
from tests.bench.measure import Asker, median
from tests.blocks import split_blocks

_RUNS = 9


@dataclass(frozen=True, slots=True)
class Inside:
    """Seconds of CPU, bytes and seconds of the loop being held."""

    ours_parse: float
    redis_py_parse: float
    ours_peak: int
    redis_py_peak: int
    samples: int
    ours_render: float
    client_render: float
    ours_stall: float
    redis_py_stall: float


def _cpu(work: Callable[[], object], runs: int = _RUNS) -> float:
    taken = []
    for _ in range(runs):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return median(taken)


def _peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _ours(reply: bytes) -> Callable[[], object]:
    names = AppNames(AppRules())

    def count() -> object:
        counting = Counting(Tally(names, 300.0))
        for block in split_blocks(reply):
            counting.take(block)
        counting.end_reply()
        counting.count()
        return counting.tally.groups()

    return count


def _with_redis_py(reply: bytes) -> Callable[[], object]:
    """The same counts by a row loop over redis-py's dicts."""

    def count() -> object:
        cuts: Counter[tuple[str, str]] = Counter()
        memory: Counter[str] = Counter()
        idle_sum = age_sum = oldest = 0
        for row in parse_client_list(reply):  # type: ignore[no-untyped-call]
            app = strip_instance(row["name"]) if row["name"] else row["addr"].rpartition(":")[0]
            idle = int(row["idle"])
            state = "blocked" if "b" in row["flags"] else "active" if idle == 0 else "idle"
            cuts[app, state] += 1
            cuts["host", row["addr"].rpartition(":")[0]] += 1
            cuts["user", clean_label(row.get("user", "").encode())] += 1
            cuts["library", row.get("lib-name", "")] += 1
            cuts["cmd", row["cmd"]] += 1
            cuts["db", row["db"]] += 1
            memory[app] += int(row.get("tot-mem", 0))
            idle_sum, age_sum, oldest = idle_sum + idle, age_sum + int(row["age"]), max(oldest, idle)
        return cuts, memory, idle_sum, age_sum, oldest

    return count


class _NoOwnMetrics(OwnMetrics):
    def text(self) -> bytes:
        return b""


def _render(info: ServerInfo, targets: int) -> tuple[int, float, float]:
    """Samples of a page, and what making it from what is known takes us and prometheus-client."""
    board = Board()
    pages = Pages(board, _NoOwnMetrics())
    board.set_targets([Target(f"t{number}", Access(RedisUrl("127.0.0.1", 1))) for number in range(targets)])
    pages.set_targets()
    for watch in board:
        reading = Reading(1.0, 0.001, info, Slots(1, 2))
        board.record(watch.target.name, reading, Activity(1), now=0.0, patience=9.0)
        pages.update(watch.target.name)
    plain = asyncio.run(pages.page(Format.TEXT_0_0_4)).plain
    samples = sum(1 for line in plain.splitlines() if not line.startswith(b"#"))

    def ours() -> object:
        board.edition += 1
        return asyncio.run(pages.page(Format.TEXT_0_0_4))

    registry = CollectorRegistry()
    per_family = 500
    for family in range(samples // per_family):
        gauge = Gauge(f"redis_family_{family}", "As many series as ours.", ["target"], registry=registry)
        for number in range(per_family):
            gauge.labels(f"t{number}").set(number)
    return samples, _cpu(ours), _cpu(lambda: generate_latest(registry), 3)


async def _longest_hold(work: Callable[[], object]) -> float:
    """The longest time for which a task that wants to run every millisecond could not."""
    worst, running = 0.0, True

    async def beat() -> None:
        nonlocal worst
        while running:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - due)

    beating = asyncio.ensure_future(beat())
    await asyncio.sleep(0.05)
    worst = 0.0
    await work()  # type: ignore[misc]
    await asyncio.sleep(0.01)
    running = False
    await beating
    return worst


def _stalls(port: int) -> tuple[float, float]:
    async def ours() -> float:
        link, lister = Link(Access(RedisUrl("127.0.0.1", port))), Lister(ClientPlan(interval=0.001))

        async def poll() -> None:
            info = parse_info(await link.info())
            session = link.session
            assert session is not None
            await lister.list_clients(session, info, link.accepted, time.monotonic() + 30)

        holds = [await _longest_hold(poll) for _ in range(_RUNS)]
        link.close()
        return median(holds)

    async def theirs() -> float:
        client = redis.asyncio.Redis(port=port, protocol=2)
        await client.ping()
        holds = [await _longest_hold(client.client_list) for _ in range(3)]
        await client.aclose()
        return median(holds)

    return uvloop.run(ours()), uvloop.run(theirs())


def measure(port: int) -> Inside:
    """Measure on the clients that a server has now."""
    with Asker(port) as asker:
        reply, info = asker.ask("CLIENT LIST"), parse_info(asker.ask("INFO"))
    samples, ours_render, client_render = _render(info, 500)
    ours_stall, redis_py_stall = _stalls(port)
    return Inside(
        ours_parse=_cpu(_ours(reply)),
        redis_py_parse=_cpu(_with_redis_py(reply), 5),
        ours_peak=_peak(_ours(reply)),
        redis_py_peak=_peak(_with_redis_py(reply)),
        samples=samples,
        ours_render=ours_render,
        client_render=client_render,
        ours_stall=ours_stall,
        redis_py_stall=redis_py_stall,
    )
