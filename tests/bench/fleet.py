"""1, 50, 200 and 500 servers: a round of each exporter, its memory, and its start."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.demo.servers import free_port
from tests.bench.measure import (
    Asker,
    Exporter,
    cpu_seconds,
    median,
    memory_megabytes,
    percentile,
    running_ours,
    running_peer,
)
from tests.waiting import eventually

_ROUNDS = 4
_POLLS_FOR_A_LIST = 3  # as by default
_STARTS = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one exporter; times in seconds, memory in MB."""

    cpu: float
    scrape_p50: float
    scrape_p99: float
    memory: float
    start: float
    series: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Both exporters at one number of servers."""

    targets: int
    ours: Cost
    peer: Cost


@contextlib.contextmanager
def servers(folder: Path, count: int) -> Iterator[list[int]]:
    """So many servers, started and ended together."""
    ports: list[int] = []
    while len(ports) < count:
        port = free_port()
        if port not in ports:
            ports.append(port)
    options = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", str(folder), "--hz", "1"]
    running = [
        subprocess.Popen(["redis-server", "--port", str(port), *options], stdout=subprocess.DEVNULL)
        for port in ports
    ]
    try:
        for port in ports:
            eventually(lambda port=port: _answers(port), 60)  # type: ignore[misc]
        yield ports
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), Asker(port) as asker:
        return asker.ask("PING").startswith(b"+PONG")
    return False


def measure(folder: Path, ports: list[int]) -> Fleet:
    """Run each for a few rounds; a round of the peer is one scrape per server."""
    return Fleet(len(ports), _measure_ours(folder, ports), _measure_peer(ports))


def ready(ours: Exporter, targets: int) -> bool:
    """Whether all servers are on the page."""
    with contextlib.suppress(OSError):
        return ours.get().value("redis_up") == targets
    return False


def _measure_ours(folder: Path, ports: list[int]) -> Cost:
    starts = []
    for _ in range(_STARTS):
        started = time.monotonic()
        with running_ours(folder, ports, _POLLS_FOR_A_LIST) as ours:
            while not ready(ours, len(ports)):
                assert time.monotonic() < started + 60, "no page with all servers within 60 s"
                time.sleep(0.005)  # finer than tests.waiting: this wait is the figure
            starts.append(time.monotonic() - started)
    with running_ours(folder, ports, _POLLS_FOR_A_LIST) as ours:
        eventually(lambda: ready(ours, len(ports)), 30)
        time.sleep(3)  # every target's second list: what it remembers is there
        polls = ours.get().value("redis_connection_exporter_polls_total")
        cpu, until, seconds = cpu_seconds(ours.pid), time.monotonic() + 2.0 * _ROUNDS, []
        while time.monotonic() < until:
            time.sleep(1.0)  # one round a second
            page = ours.get()
            seconds.append(page.seconds)
        spent = cpu_seconds(ours.pid) - cpu
        rounds = (page.value("redis_connection_exporter_polls_total") - polls) / len(ports)
        return Cost(
            cpu=spent / rounds,
            scrape_p50=median(seconds),
            scrape_p99=percentile(seconds, 0.99),
            memory=memory_megabytes(ours.pid),
            start=median(starts),
            series=page.series,
        )


def _measure_peer(ports: list[int]) -> Cost:
    starts = []
    for _ in range(_STARTS):
        started = time.monotonic()
        with running_peer(ports[0]) as peer:
            peer.get(_path(ports[0]))
            starts.append(time.monotonic() - started)
    with running_peer(ports[0]) as peer:
        for port in ports:
            peer.get(_path(port))
        cpu, rounds = cpu_seconds(peer.pid), []
        for _ in range(_ROUNDS):
            time.sleep(1.0)  # one round a second
            pages = [peer.get(_path(port)) for port in ports]
            rounds.append(sum(page.seconds for page in pages))
        return Cost(
            cpu=(cpu_seconds(peer.pid) - cpu) / _ROUNDS,
            scrape_p50=median(rounds),
            scrape_p99=percentile(rounds, 0.99),
            memory=memory_megabytes(peer.pid),
            start=median(starts),
            series=sum(page.series for page in pages),
        )


@dataclass(frozen=True, slots=True)
class Hanging:
    """Seconds that a scrape takes while one of two servers does not answer."""

    ours: float
    peer: float


def measure_hanging(folder: Path) -> Hanging:
    """Freeze one of two servers, and scrape; redis_exporter's scrape of it ends after 15 s."""
    with servers(folder, 2) as ports, running_ours(folder, ports) as ours, running_peer(ports[0]) as peer:
        eventually(lambda: ready(ours, 2), 30)
        with frozen(ports[1]):
            eventually(lambda: ours.get().value("redis_up") == 1, 30)
            took = [ours.get().seconds for _ in range(20)]
            return Hanging(max(took), peer.get(_path(ports[1])).seconds)


@contextlib.contextmanager
def frozen(port: int) -> Iterator[None]:
    """Stop a server's process for a while."""
    with Asker(port) as asker:
        found = re.search(rb"process_id:([0-9]+)", asker.ask("INFO server"))
    assert found is not None
    os.kill(int(found[1]), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(int(found[1]), signal.SIGCONT)


def _path(port: int) -> str:
    return f"/scrape?target=redis://127.0.0.1:{port}"
