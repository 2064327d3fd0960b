"""Mutated replies through everything that reads them, without a socket: how long it takes, what is kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import AppNames
from exporter.analyse.slots import count_slots
from exporter.board import Board
from exporter.connection.resp import Mark, ReplyReader
from exporter.metrics.exposition import Pages
from exporter.metrics.own import OwnMetrics
from exporter.model import Activity, AppRules, ClientGroups, ListCost, Reading, Rename, ServerInfo, Survey
from exporter.parse import GarbageError, ReplyError
from exporter.parse.config import parse_config
from exporter.parse.errors import read_error
from exporter.parse.info import parse_cluster_known_nodes, parse_info, parse_list_seconds
from exporter.poll.listing.counting import Counting
from exporter.reporting import report_of
from exporter.web.pages.status import row_of
from tests.blocks import take
from tests.fuzz import mutations
from tests.one_page import ORDERS

STALE_AFTER = 300.0
MOST_SECONDS, PER_BYTES = 0.05, 64 * 1024
_PAGE_EACH = 50  # lists: a page costs a hundred of them
_EPOCH = 2000  # replies, after which fields come in other orders
_RULES = AppRules(
    rename=(Rename(r"^(([a-z0-9]+)[-.]?)+-worker$", "worker"), Rename(r"(?P<a>\w+)=", r"\g<a>"))
)


class Surprise(AssertionError):  # noqa: N818  what is surprised is the test
    """What must not happen did; the seed and the number of the reply repeat it."""


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@dataclass
class Fuzz:
    """Mutated replies from one seed."""

    seed: int
    read: int = 0
    slowest: float = 0.0
    _epoch: int = 0
    _names: AppNames = field(default_factory=lambda: AppNames(_RULES))

    def __post_init__(self) -> None:
        self._kinds: tuple[Callable[[Random], Callable[[], object]], ...] = (
            *6 * (self._list,),
            *2 * (self._order,),
            *2 * (self._info,),
            self._frames,
            self._others,
        )
        self._start_anew()

    def _start_anew(self) -> None:
        self._history = History(STALE_AFTER, 5)
        self._board = Board()
        self._pages = Pages(self._board, OwnMetrics())
        self._board.set_targets([ORDERS])
        self._pages.set_targets()
        self._info_told = ServerInfo({b"connected_clients": b"1"}, {})

    def try_one(self, number: int) -> None:
        """Make the reply of a number, and read it.

        Raises:
            Surprise: reading it raised something, or took too long.

        """
        work = self._work(number)
        started = time.process_time()
        try:
            work()
        except Exception as error:
            raise Surprise(f"seed {self.seed}, reply {number}: {error!r}") from error
        taken = time.process_time() - started
        if taken > MOST_SECONDS:  # only those are looked at again: something else may have held us up
            taken = min(taken, *(self._again(number) for _ in range(2)))
            if taken > MOST_SECONDS:
                raise Surprise(f"seed {self.seed}, reply {number}: {taken:.3f} s")
        self.slowest = max(self.slowest, taken)
        self.read += 1

    def _work(self, number: int) -> Callable[[], object]:
        chances = Random(f"{self.seed}:{number}")
        self._epoch = number // _EPOCH
        return chances.choice(self._kinds)(chances)

    def _again(self, number: int) -> float:
        work = self._work(number)
        started = time.process_time()
        work()
        return time.process_time() - started

    def _count(self, reply: bytes, chances: Random) -> ClientGroups:
        counting = Counting(Tally(self._names, STALE_AFTER, b"7"))
        at = 0
        while at < len(reply):
            size = chances.choice((100, 1000, 100_000))
            counting.take(reply[at : at + size])
            at += size
        counting.end_reply()
        counting.count()
        now, groups = float(self.read), counting.tally.groups()
        take(self._history, counting.tally, self._info_told, now=now)
        bounded = self._history.groups
        for name in ("hosts", "users", "libraries", "commands", "databases"):
            assert sum(getattr(bounded, name).values()) == groups.total, name
        assert sum(app.total for app in bounded.apps.values()) == groups.total
        if self.read % _PAGE_EACH == 0:
            history = self._history
            self._show(Survey(now, bounded, history.trends, 0, history.folded, ListCost(0.0, 0.0, 1, 1.0)))
        return groups

    def _show(self, survey: Survey) -> None:
        slots = count_slots(self._info_told, limit=None, known_nodes=None)
        reading = Reading(1.8e9, 0.001, self._info_told, slots, clients=survey)
        self._board.record(ORDERS.name, reading, Activity(), now=survey.at, patience=10.0)
        self._pages.update(ORDERS.name)
        (watch,) = self._board
        row_of(report_of(watch, survey.at, survey.at))

    def _list(self, chances: Random) -> Callable[[], object]:
        reply = mutations.client_list(chances, self._epoch)
        return lambda: self._count(reply, chances)

    def _order(self, chances: Random) -> Callable[[], object]:
        """Fields in any order count as they do in the server's own."""
        rows = mutations.rows_of(chances)
        others = mutations.in_another_order(chances, rows, self._epoch)

        def compare() -> None:
            one, other = (self._count(b"\n".join([*each, b""]), chances) for each in (rows, others))
            spaces = any(b"addr=/" in row or b"addr=[/" in row for row in rows)  # a path may hold spaces
            assert spaces or one == other, others

        return compare

    def _info(self, chances: Random) -> Callable[[], object]:
        reply = mutations.info(chances)

        def read() -> None:
            parse_list_seconds(reply)
            parse_cluster_known_nodes(reply)
            try:
                self._info_told = parse_info(reply)
            except ReplyError:
                return
            count_slots(self._info_told, limit=None, known_nodes=None)

        return read

    def _frames(self, chances: Random) -> Callable[[], object]:
        """Replies one after the other, in pieces."""
        sent = b"".join(mutations.frame(chances, mutations.info(chances)) for _ in range(2))
        streams = chances.random() < 0.5

        def read() -> None:
            reader, got = ReplyReader(), list[bytes]()
            try:
                for at in range(0, len(sent), 4096):
                    reader.feed(sent[at : at + 4096])
                    while reader.read(got.append if streams else None) is not Mark.INCOMPLETE:
                        pass
            except GarbageError:
                pass

        return read

    def _others(self, chances: Random) -> Callable[[], object]:
        """Errors and CONFIG GET."""
        text = mutations.damaged(chances, mutations.client_list(chances))
        words: list[object] = [b"maxclients", text[:20], b"client-output-buffer-limit", text, text, None, 5]
        code = chances.choice(("", "ERR ", "NOPERM ", "WRONGPASS ", "LOADING ", "-", "max number of clients"))

        def read() -> None:
            parse_config(words[chances.randint(0, 1) :])
            read_error(code + text.decode(errors="replace"), "CLIENT LIST", ORDERS.access, "a secret")

        return read


def run(seed: int, replies: int, most_bytes: int) -> Fuzz:
    """Read so many mutated replies; of memory at most so much more may be held at the end than after a tenth.

    Raises:
        Surprise: one of them raised something, or took too long, or memory grew.

    """
    fuzz, before = Fuzz(seed), 0
    for number in range(replies):
        if number == replies // 10:
            before = resident_bytes()
        fuzz.try_one(number)
    grown = resident_bytes() - before
    if grown > most_bytes:
        raise Surprise(f"seed {seed}: {grown / 1e6:.0f} MB more after {replies} replies than after a tenth")
    return fuzz


def measured(seed: int, replies: int, most_bytes: int) -> float:
    """As `run`, and return how long the slowest took (seconds of CPU)."""
    return run(seed, replies, most_bytes).slowest
