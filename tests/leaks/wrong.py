"""`python -m tests.leaks.wrong` runs clients of redis-py that the verdict is known to judge wrongly, or late.

Each case has a server of its own, with a list every 15 seconds. docs/leaks.md has the results. It takes
twelve minutes.
"""

import argparse
import contextlib
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from exporter.demo.servers import running_server
from exporter.verdicts import Verdict
from tests.leaks.first_word import Observer, Watch
from tests.servers.kinds import SYSTEM

_INTERVAL = 15.0
_APP = "shop"
_STEP = 0.05
_KEPT_IDLE = 20


class Client:
    """What a case has to work with: one application with one or more pools, and the list of what it lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_over = threading.Event()
        self.lost: set[bytes] = set()
        self.kept: list[Any] = []  # else the collector would close it

    def pool(self, name: str = _APP, limit: int = 1000) -> Any:
        return redis.ConnectionPool(
            host="127.0.0.1", port=self._port, client_name=name, max_connections=limit
        )

    def take(self, pool: Any) -> Any:
        """Take a connection out of a pool, and use it."""
        connection = pool.get_connection()
        for command in (("CLIENT", "ID"), ("GET", "key")):
            connection.send_command(*command)
            told = connection.read_response()
            if command[0] == "CLIENT":
                connection.number = b"%d" % told
        self.kept.append(connection)
        return connection

    def lose(self, pool: Any) -> None:
        """Take a connection and do not give it back."""
        self.lost.add(self.take(pool).number)

    def use(self, pool: Any) -> None:
        with contextlib.suppress(redis.ConnectionError):
            redis.Redis(connection_pool=pool).set("key", "value")

    def fill(self, pool: Any, number: int) -> None:
        """Have a pool open so many connections at once, as at a peak."""
        for connection in [self.take(pool) for _ in range(number)]:
            pool.release(connection)

    def steps(self, seconds: float = _STEP) -> Iterator[float]:
        """The seconds since the start, every so often, until the end."""
        begun = time.monotonic()
        while not self._is_over.wait(seconds):
            yield time.monotonic() - begun

    def stop(self) -> None:
        self._is_over.set()


def emptied(client: Client) -> None:
    """A pool of 30 that is lost within 2 seconds, after which nothing can be opened."""
    pool, lost = client.pool(limit=30), 0
    for at in client.steps():
        client.use(pool)
        if at > 60 and lost < 30:
            with contextlib.suppress(redis.ConnectionError):
                client.lose(pool)
            lost += 1


def reserve(client: Client) -> None:
    """A pool with 20 idle connections, of which one is lost every 30 seconds: none has to be opened."""
    pool = client.pool()
    client.fill(pool, _KEPT_IDLE)
    for at in client.steps():
        client.use(pool)
        if at > 60 and len(client.lost) < (at - 60) / 30:
            client.lose(pool)


def ended(client: Client) -> None:
    """Fifteen clients made within 75 seconds, used once and forgotten; then no more of them."""
    pool = client.pool()
    for at in client.steps():
        client.use(pool)
        if at > 60 and len(client.lost) < min(15, (at - 60) / 5):
            client.lose(client.pool())


def threads(client: Client, seconds: float = 40.0) -> None:
    """Twenty threads start within a minute; each has a client that it uses every 40 seconds or so."""
    pools: list[Any] = []
    due: list[float] = []
    for at in client.steps():
        if len(pools) < min(20, at / 3):
            pools.append(client.pool())
            due.append(at)
        for number, moment in enumerate(due):
            if at >= moment:
                client.use(pools[number])
                due[number] = at + random.expovariate(1 / seconds)


def resting(client: Client) -> None:
    """Such threads, which use their clients every 150 seconds or so."""
    threads(client, 150.0)


def collected(client: Client) -> None:
    """A client for each of two requests a second, not closed; every two minutes the collector closes them."""
    held: list[Any] = []
    swept = 0.0
    for at in client.steps(0.5):
        held.append(client.pool())
        client.use(held[-1])
        if at > swept + 120:
            swept = at
            for pool in held:
                pool.disconnect()
            held.clear()


def thin(client: Client) -> None:
    """Thirty pods, each of which loses a connection every 100 seconds, one after the other."""
    pods = [client.pool(f"{_APP}-{pod}") for pod in range(30)]
    for at in client.steps():
        client.use(random.choice(pods))
        if at > 60 and len(client.lost) < (at - 60) * 0.3:
            client.lose(pods[len(client.lost) % len(pods)])
            client.use(pods[(len(client.lost) - 1) % len(pods)])


def replaced(client: Client) -> None:
    """A pool of 15 that its application replaces by another without closing it, or whose host was cut off."""
    pool = client.pool()
    client.fill(pool, 15)
    for at in client.steps():
        client.use(pool)
        if at > 60 and not client.lost:
            client.lost = {connection.number for connection in client.kept}
            pool = client.pool()
            client.fill(pool, 15)


def late(client: Client) -> None:
    """A pool that lost 15 connections before the exporter began, and none since."""
    pool = client.pool()
    while len(client.lost) < 15:
        client.lose(pool)
        client.use(pool)
        time.sleep(1)
    for _ in client.steps():
        client.use(pool)


def subscribed(client: Client) -> None:
    """A subscription every 5 seconds that nobody closes."""
    pool = client.pool()
    for at in client.steps():
        client.use(pool)
        if at > 60 and len(client.lost) < min(60, (at - 60) / 5):
            connection = client.take(pool)
            connection.send_command("SUBSCRIBE", "channel")
            client.lost.add(connection.number)


_ALL = (emptied, reserve, ended, threads, resting, collected, thin, replaced, late, subscribed)
CASES: dict[str, Callable[[Client], None]] = {case.__name__: case for case in _ALL}


@dataclass
class Case:
    """One case, and what was said of it."""

    name: str
    client: Client
    observer: Observer
    watch: Watch = field(default_factory=Watch)
    verdicts: Counter[Verdict | None] = field(default_factory=Counter)
    leaking: list[float] = field(default_factory=list)
    wrong: int = 0
    found: int = 0
    last: str = ""

    def look(self, at: float) -> None:
        info, rows = self.observer.ask()
        trend, suspected = self.watch.take(info, rows, time.monotonic(), _APP)
        if trend is None:
            return
        self.verdicts[trend.verdict] += 1
        if trend.verdict is Verdict.LEAKING:
            self.leaking.append(at)
        self.found = len(suspected & self.client.lost)
        self.wrong = max(self.wrong, len(suspected - self.client.lost))
        told = " ".join(f"{kind} {number}" for kind, number in trend.evidence.items())
        self.last = f"{trend.verdict}{' (' + told + ')' if told else ''}"

    def row(self) -> str:
        span = f"{self.leaking[0]:.0f} to {self.leaking[-1]:.0f} s" if self.leaking else "never"
        counts = ", ".join(f"{verdict} {number}" for verdict, number in self.verdicts.most_common())
        return (
            f"| {self.name} | {self.found} of {len(self.client.lost)} | {self.wrong} | {span} | {counts} | "
            f"{self.last} |"
        )


def main(names: list[str], seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        cases = []
        for name in names:
            place = Path(folder) / name
            place.mkdir()
            port = stack.enter_context(running_server(SYSTEM.command, place)).port
            case = Case(name, Client(port), Observer(port))
            thread = threading.Thread(target=CASES[name], args=(case.client,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(case.client.stop)
            cases.append(case)
        begun = time.monotonic()
        for number in range(1, int(seconds / _INTERVAL) + 1):
            time.sleep(max(0.0, begun + number * _INTERVAL - time.monotonic()))
            for case in cases:
                case.look(number * _INTERVAL)
    print("| case | found at the end | wrongly suspected at most | leaking | lists | the last list |")
    print("|---|---|---|---|---|---|")
    for case in cases:
        print(case.row())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help=" ".join(CASES))
    parser.add_argument("--seconds", type=float, default=720.0)
    told = parser.parse_args()
    main(told.cases or list(CASES), told.seconds)
