"""What is measured of a process, a page and a server."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from exporter.demo.servers import free_port
from tests.waiting import eventually

_ROOT = Path(__file__).parent.parent.parent
PEER = "prometheus-redis-exporter"


def cpu_seconds(pid: int) -> float:
    """CPU time of a process by its own clock (clock_getcpuclockid), finer than the ticks of /proc."""
    return time.clock_gettime((~pid) << 3 | 2)


def memory_megabytes(pid: int) -> float:
    """Resident memory now."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@dataclass(frozen=True, slots=True)
class Page:
    """One scrape: how long it took (seconds), and what came."""

    seconds: float
    body: bytes

    @property
    def series(self) -> int:
        return sum(1 for line in self.body.splitlines() if line and not line.startswith(b"#"))

    def value(self, name: str) -> float:
        """The sum of a metric over all its series."""
        pattern = rf"(?m)^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$"
        return sum(float(number) for number in re.findall(pattern, self.body.decode()))


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running exporter of either kind."""

    pid: int
    port: int

    def get(self, path: str = "/metrics") -> Page:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            started = time.perf_counter()
            connection.request("GET", path)
            body = connection.getresponse().read()
            return Page(time.perf_counter() - started, body)
        finally:
            connection.close()

    def answers(self, path: str = "/metrics") -> bool:
        with contextlib.suppress(OSError):
            return bool(self.get(path).body)
        return False


@contextlib.contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[Exporter]:
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Exporter(process.pid, port)
    finally:
        process.terminate()
        process.wait(60)  # with thousands of servers, on a busy machine


@contextlib.contextmanager
def running_ours(folder: Path, ports: Sequence[int], polls_for_a_list: int = 1) -> Iterator[Exporter]:
    """Ours, as often as it may poll: a poll and a scrape each second, and a list with each or each third."""
    pace = (
        "poll: {interval: 1s, timeout: 900ms}\n"
        f"clients: {{interval: {polls_for_a_list}s, server_time_budget: 1.0}}\n"
    )
    with running_as_set(folder, ports, pace) as exporter:
        yield exporter


@contextlib.contextmanager
def running_as_set(folder: Path, ports: Sequence[int], settings: str = "") -> Iterator[Exporter]:
    """Ours as it is by default, but for some settings."""
    targets = "".join(f"  - {{name: t{port}, url: 'redis://127.0.0.1:{port}'}}\n" for port in ports)
    with running_exporter_with(folder, f"{settings}targets:\n{targets}") as exporter:
        yield exporter


@contextlib.contextmanager
def running_exporter_with(folder: Path, settings: str) -> Iterator[Exporter]:
    """Ours with these settings, YAML with its targets."""
    port = free_port()
    config = folder / f"bench-{port}.yaml"
    config.write_text(f"log: {{level: warn}}\nweb: {{enable_lifecycle: true}}\n{settings}")
    command = [sys.executable, "-m", "exporter", "--config.file", str(config)]
    with _running([*command, "--web.listen-address", f"127.0.0.1:{port}"], port) as exporter:
        yield exporter


@contextlib.contextmanager
def running_peer(redis_port: int) -> Iterator[Exporter]:
    """redis_exporter with the client list on; it asks the server when it is scraped."""
    port = free_port()
    peer = shutil.which(PEER)
    assert peer is not None, f"{PEER} is not installed"
    flags = ("-export-client-list", "-redis.addr", f"redis://127.0.0.1:{redis_port}")
    with _running([peer, *flags, "-web.listen-address", f"127.0.0.1:{port}"], port) as exporter:
        eventually(lambda: exporter.answers("/health"), 20)
        yield exporter


class Asker:
    """A held connection of the benchmark's own to a server."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._replies = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._replies.close()
        self._socket.close()

    def ask(self, command: str) -> bytes:
        self._socket.sendall(command.encode() + b"\r\n")
        head = self._replies.readline()
        return self._replies.read(int(head[1:]) + 2)[:-2] if head.startswith(b"$") else head

    def usec(self) -> dict[str, tuple[int, int]]:
        """Calls and microseconds of the main thread, by command."""
        pattern = rb"cmdstat_(\S+?):calls=(\d+),usec=(\d+)"
        found = re.findall(pattern, self.ask("INFO commandstats"))
        return {name.decode(): (int(calls), int(usec)) for name, calls, usec in found}


def spent(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """Calls and microseconds between two moments."""
    return {
        name: (calls - before.get(name, (0, 0))[0], usec - before.get(name, (0, 0))[1])
        for name, (calls, usec) in after.items()
    }


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> str:
    """The machine in a line."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    return ", ".join(
        [
            f"{os.cpu_count()} cores of {model[1] if model else os.uname().machine}",
            system[1] if system else os.uname().sysname,
            f"Python {sys.version.split()[0]}",
        ]
    )
