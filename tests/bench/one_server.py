"""One server with 0, 1,000 and 10,000 clients: a round of each exporter, and what others notice."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.demo.servers import Server
from tests.bench.measure import (
    Asker,
    Exporter,
    Page,
    cpu_seconds,
    median,
    memory_megabytes,
    running_ours,
    running_peer,
    spent,
)
from tests.waiting import eventually

BLOCKS = 5
ROUNDS_IN_A_BLOCK = 4
_NAMES = 20
_PING_SECONDS = 8

_PINGER = """
import socket, sys, time
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
until, took = time.perf_counter() + float(sys.argv[2]), []
while time.perf_counter() < until:
    begun = time.perf_counter()
    link.sendall(b"PING\\r\\n")
    link.recv(16)
    took.append(time.perf_counter() - begun)
    time.sleep(0.001)
took.sort()
print(took[int(len(took) * 0.999)], took[-1])
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one exporter, per round; times in seconds, medians of the blocks."""

    cpu: float
    scrape: float
    page_bytes: int
    series: int
    server: float
    longest_command: float
    memory: float
    ping_p999: float
    ping_worst: float


@contextlib.contextmanager
def clients(port: int, count: int) -> Iterator[None]:
    """So many clients of 20 names, each fiftieth of them blocked."""
    with contextlib.ExitStack() as stack:
        for number in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"CLIENT SETNAME app-%c\r\n" % (97 + number % _NAMES))
            client.recv(16)
            if number % 50 == 0:
                client.sendall(b"BLPOP nobody 0\r\n")
        yield


def _ping(port: int) -> tuple[float, float]:
    command = [sys.executable, "-c", _PINGER, str(port), str(_PING_SECONDS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    high, worst = map(float, done.stdout.split())
    return high, worst


@dataclass(slots=True)
class _Block:
    cpu: float
    server: float
    longest: float
    pages: list[Page]


def _peer_block(peer: Exporter, asker: Asker) -> _Block:
    before, started = asker.usec(), cpu_seconds(peer.pid)
    pages = []
    for _ in range(ROUNDS_IN_A_BLOCK):
        time.sleep(1.0)  # as often as ours, and with caches as cold
        pages.append(peer.get())
    return _block(pages, cpu_seconds(peer.pid) - started, before, asker, ROUNDS_IN_A_BLOCK)


def _our_block(ours: Exporter, asker: Asker) -> _Block:
    before, started, polls = asker.usec(), cpu_seconds(ours.pid), _polls(ours)
    pages = []
    for _ in range(ROUNDS_IN_A_BLOCK):
        time.sleep(1.0)  # the pace of a round is the exporter's own
        pages.append(ours.get())
    return _block(pages, cpu_seconds(ours.pid) - started, before, asker, _polls(ours) - polls)


def _polls(ours: Exporter) -> float:
    return ours.get().value("redis_connection_exporter_polls_total")


def _block(
    pages: list[Page], cpu: float, before: dict[str, tuple[int, int]], asker: Asker, rounds: float
) -> _Block:
    commands = spent(before, asker.usec())
    lists = commands.get("client|list", (0, 0))
    usec = sum(usec for name, (_, usec) in commands.items() if name not in ("ping", "blpop"))
    longest = lists[1] / lists[0] / 1e6 if lists[0] else 0.0
    return _Block(cpu / rounds, usec / rounds / 1e6, longest, pages)


def _cost(blocks: list[_Block], exporter: Exporter, pings: tuple[float, float]) -> Cost:
    last = blocks[-1].pages[-1]
    return Cost(
        cpu=median([block.cpu for block in blocks]),
        scrape=median([page.seconds for block in blocks for page in block.pages]),
        page_bytes=len(last.body),
        series=last.series,
        server=median([block.server for block in blocks]),
        longest_command=median([block.longest for block in blocks]),
        memory=memory_megabytes(exporter.pid),
        ping_p999=pings[0],
        ping_worst=pings[1],
    )


@dataclass(frozen=True, slots=True)
class OneServer:
    """Both exporters at one number of clients, and what nobody watching makes of a PING."""

    clients: int
    ours: Cost
    peer: Cost
    alone: tuple[float, float]
    list_usec: float
    read_cpu: float


def measure(server: Server, folder: Path, count: int) -> OneServer:
    """Run both in turn, block by block."""
    with clients(server.port, count), Asker(server.port) as asker:
        alone = _ping(server.port)
        with running_ours(folder, [server.port]) as ours, running_peer(server.port) as peer:
            eventually(lambda: ours.answers() and _polls(ours) >= 2, 30)
            peer.get()
            mine, theirs = [], []
            for _ in range(BLOCKS):
                mine.append(_our_block(ours, asker))
                os.kill(ours.pid, signal.SIGSTOP)  # what the server does now is for the other one
                theirs.append(_peer_block(peer, asker))
                os.kill(ours.pid, signal.SIGCONT)
            our_cost = _cost(mine, ours, _ping(server.port))
        with running_peer(server.port) as lone_peer:
            scraper = subprocess.Popen(
                [sys.executable, "-c", _SCRAPER, str(lone_peer.port), str(_PING_SECONDS)]
            )
            their_pings = _ping(server.port)
            scraper.wait(30)
            peer_cost = _cost(theirs, lone_peer, their_pings)
        return OneServer(count, our_cost, peer_cost, alone, *_limits(asker))


_SCRAPER = """
import sys, time, urllib.request
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics").read()
    time.sleep(1)
"""


def _limits(asker: Asker) -> tuple[float, float]:
    """The server's own time for a whole list (seconds), and our CPU time to read its bytes."""
    before, started = asker.usec(), time.process_time()
    for _ in range(9):
        asker.ask("CLIENT LIST")
    read = (time.process_time() - started) / 9
    calls, usec = spent(before, asker.usec())["client|list"]
    return usec / calls / 1e6, read
