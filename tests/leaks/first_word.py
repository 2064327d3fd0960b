"""`python -m tests.leaks.first_word` measures how long it takes until leaks of several rates are told.

For each rate there is a real server and one process whose pool of redis-py is in use. From a moment on it
leaks, and keeps what it leaked. The product's analysis sees a list every 15 seconds. Three observers begin 5
seconds after each other, 5.5 minutes before the leak; three more begin with the leak, as an exporter
does that was just started. Medians of three are printed. It takes fourteen minutes.
"""

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import AppNames
from exporter.demo.servers import running_server
from exporter.model import AppRules
from exporter.parse.info import parse_info
from exporter.poll.listing.counting import Counting
from exporter.verdicts import AppTrend, Evidence, Verdict
from tests.blocks import take
from tests.servers.kinds import SYSTEM

_APP, _OBSERVER = "shop", b" name=capture "
_INTERVAL, _PHASES = 15.0, 3
_STALE_AFTER = 300.0
_WATCHED_SECONDS = 330.0  # before the leak: the product's patience is shorter from five minutes on
_LEAKED_AT_MOST = 280
_COMMAND_SECONDS = 0.05


class Observer:
    """Asks a server for its clients, without those that ask."""

    def __init__(self, port: int) -> None:
        connection: Any = redis.Connection
        self._connection = connection(host="127.0.0.1", port=port, client_name="capture", protocol=2)

    def ask(self) -> tuple[bytes, bytes]:
        """What INFO and CLIENT LIST say."""
        info, rows = self._ask("INFO"), self._ask("CLIENT", "LIST")
        return info, b"".join(row for row in rows.splitlines(keepends=True) if _OBSERVER not in row)

    def _ask(self, *words: str) -> bytes:
        self._connection.send_command(*words)
        reply = self._connection.read_response(disable_decoding=True)
        assert isinstance(reply, bytes)
        return reply


class Watch:
    """One exporter's view of a server, one list after the other."""

    def __init__(self) -> None:
        self._names = AppNames(AppRules())
        self._history = History(_STALE_AFTER, top=20)
        self._before: float | None = None
        self.told: dict[str, tuple[float, int]] = {}

    def take(self, info: bytes, rows: bytes, now: float, app: str) -> tuple[AppTrend | None, set[bytes]]:
        """Take a list; tell what is said of an app, and the ids of those who are suspected."""
        since = _INTERVAL if self._before is None else now - self._before
        self._before = now
        counting = Counting(Tally(self._names, _STALE_AFTER, since=since))
        counting.take(rows)
        counting.end_reply()
        counting.count()
        take(self._history, counting.tally, parse_info(info), now=now)
        ids = self._history.ids
        return self._history.trends.get(app), {ids[position] for position in self._history.suspected}

    def note(self, trend: AppTrend | None, at: float, leaked: int) -> None:
        """Remember when something was said first, and how many connections were leaked then."""
        for word in _words(trend) if trend is not None else ():
            self.told.setdefault(word, (at, leaked))


def _words(trend: AppTrend) -> Iterator[str]:
    first = (Evidence.OPENED_AND_UNUSED, Evidence.GROWTH_WITHOUT_NEED)
    if trend.verdict is Verdict.LEAKING or any(map(trend.evidence.get, first)):
        yield "word"
    if trend.verdict is Verdict.LEAKING:
        yield "leaking"


class Leaker:
    """An application that uses its pool, and loses connections of it from a moment on."""

    def __init__(self, port: int, rate: float, reserve: int) -> None:
        self._pool: Any = redis.ConnectionPool(
            host="127.0.0.1", port=port, client_name=_APP, max_connections=_LEAKED_AT_MOST + reserve + 10
        )
        self._client = redis.Redis(connection_pool=self._pool)
        self._rate = rate
        self._is_over = threading.Event()
        self.leaked: list[Any] = []
        taken = [self._take() for _ in range(reserve)]
        for connection in taken:
            self._pool.release(connection)

    def _take(self) -> Any:
        connection = self._pool.get_connection()
        connection.send_command("GET", "key")
        connection.read_response()
        return connection

    def run(self, leak_at: float) -> None:
        """Use the pool, and leak at the rate."""
        while not self._is_over.wait(_COMMAND_SECONDS):
            self._client.set("key", "value")
            late = time.monotonic() - leak_at
            while late >= 0 and len(self.leaked) < min(_LEAKED_AT_MOST, int(late * self._rate) + 1):
                self.leaked.append(self._take())
                self._client.set("key", "value")  # the pool is in use: another connection takes its place

    def stop(self) -> None:
        self._is_over.set()


class Server:
    """One server, with the application and those who watch it."""

    def __init__(self, port: int, rate: float, reserve: int) -> None:
        self.rate = rate
        self.leaker = Leaker(port, rate, reserve)
        self._observer = Observer(port)
        self.watched = [Watch() for _ in range(_PHASES)]
        self.started = [Watch() for _ in range(_PHASES)]

    def look(self, number: int, leak_at: float) -> None:
        """Take a list, for those whose turn it is."""
        info, rows = self._observer.ask()
        now, leaked = time.monotonic(), len(self.leaker.leaked)
        watches = [self.watched[number % _PHASES]]
        if now >= leak_at - _INTERVAL:
            watches.append(self.started[number % _PHASES])
        for watch in watches:
            trend, _ = watch.take(info, rows, now, _APP)
            watch.note(trend, now - leak_at, leaked)


def _row(server: Server, what: str, watches: list[Watch]) -> str:
    cells = []
    for word in ("word", "leaking"):
        told = [watch.told[word] for watch in watches if word in watch.told]
        if len(told) < len(watches):
            cells.append(f"{len(told)} of {len(watches)}")
            continue
        seconds, leaked = (sorted(values) for values in zip(*told, strict=True))
        cells.append(
            f"{statistics.median(seconds):.0f} s ({seconds[0]:.0f} to {seconds[-1]:.0f}), "
            f"{statistics.median(leaked)} leaked"
        )
    return f"| {server.rate:g} | {what} | {cells[0]} | {cells[1]} |"


def main(rates: list[float], seconds: float, reserve: int) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers, leak_at = [], time.monotonic() + _WATCHED_SECONDS
        for rate in rates:
            place = Path(folder) / f"{rate:g}"
            place.mkdir()
            port = stack.enter_context(running_server(SYSTEM.command, place)).port
            server = Server(port, rate, reserve)
            thread = threading.Thread(target=server.leaker.run, args=(leak_at,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.leaker.stop)
            servers.append(server)
        step = _INTERVAL / _PHASES
        first = leak_at - _WATCHED_SECONDS
        for number in range(int((_WATCHED_SECONDS + seconds) / step)):
            time.sleep(max(0.0, first + (number + 0.5) * step - time.monotonic()))
            for server in servers:
                server.look(number, leak_at)
    print("| leaks per second | the exporter | first word | leaking |\n|---|---|---|---|")
    for server in servers:
        print(_row(server, "watched for 5.5 min before", server.watched))
        print(_row(server, "started with the leak", server.started))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rates", type=float, nargs="*", default=[0.03, 0.1, 0.5, 20.0])
    parser.add_argument("--seconds", type=float, default=480.0, help="after the first leak")
    parser.add_argument("--reserve", type=int, default=2, help="connections that the pool has before")
    told = parser.parse_args()
    main(told.rates, told.seconds, told.reserve)
