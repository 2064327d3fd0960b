"""One target's clients: when to ask for them, in one list or in batches, and what they say."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from exporter.analyse.groups import AppNames, Tally
from exporter.analyse.history import History
from exporter.link import Link, LinkError
from exporter.model import ClientPlan, ListCost, ServerInfo, Survey
from exporter.parse.blocks import RowCutter
from exporter.parse.clients import read_rows
from exporter.parse.info import parse_list_seconds

LIST_COMMAND = "client|list"

_BATCHES_ABOVE = 1000
_BATCH = 250
_FIRST_WITH_IDS = (6, 2)
_FIRST_THAT_SKIPS_US = (8, 1)  # of Valkey: the one filter that helps where all clients are wanted
_NEWCOMERS_AT_MOST = 2000  # above it a list in one is cheaper than asking for ids that are gone again
_DRIFT = 0.01  # of the clients: some come and go while we ask
_DRIFT_AT_LEAST = 10
_SPARE_IDS = 20  # the server uses some for clients of its own
_DEARER = 2.0  # batches that cost more than this many whole lists are given up
_DEAR_IN_A_ROW = 2  # one alone may be a pause of the machine
_TIME_FOR_BATCHES = 0.75  # of what there is: a far server answers so many commands too late, but one in time
_WHOLE_AGAIN_SECONDS = 3600.0
_LONGEST_SETBACK_SECONDS = 600.0
_PATIENCE = 2.0  # intervals for which a list may be shown


@dataclass(frozen=True, slots=True)
class _Take:
    """One list: its counts, and the server's seconds for each command that it took."""

    tally: Tally
    costs: Sequence[float]
    whole: bool
    by_the_server: bool = False  # the seconds are its own account


async def _let_others(take: _Take) -> None:
    """Let the loop turn where there are so many clients that a step takes long."""
    if take.tally.total > _BATCHES_ABOVE:
        await asyncio.sleep(0)


class Surveyor:
    """Asks one server for its clients at its own pace, and keeps what the lists said."""

    def __init__(self, plan: ClientPlan) -> None:
        self._plan = plan
        self._names = AppNames(plan.rules)
        self._history = History(plan.stale_after, plan.top)
        self._newest: Survey | None = None
        self._due = self._expires = 0.0
        self._chooser = _Chooser()
        self._asked_over = 0
        self._introductions = 0
        self._setback = 0.0
        self._over_budget = False

    def newest(self) -> Survey | None:
        """The newest list, while it may be shown."""
        return self._newest if time.monotonic() < self._expires else None

    def is_due(self, link: Link) -> bool:
        """Whether the next list is due over this link; over a new connection it is at once."""
        if link.connects != self._asked_over:  # what was there before is no news of what is there now
            self._newest = None
            self._due = self._due if self._setback else 0.0
        return self._plan.enabled and time.monotonic() >= self._due

    async def survey(self, link: Link, info: ServerInfo, until: float) -> Survey | None:
        """Ask for a list, and return the newest that may be shown.

        No command is begun after `until` (monotonic): giving up in the middle of one costs the connection.

        Raises:
            LinkError: the connection broke; it is closed then.

        """
        now = time.monotonic()
        if link.connects != self._asked_over:
            self._chooser, self._asked_over = _Chooser(), link.connects
        # As if it failed: being cut by the deadline costs the connection, and at the limit the slot.
        self._setback = min(4 * (self._setback or self._plan.interval), _LONGEST_SETBACK_SECONDS)
        self._due = now + max(self._plan.interval, self._setback)
        try:
            take = await self._take(link, info, now, until)
        except LinkError:
            self._answered(now)
            raise
        self._answered(now)
        if take is None:
            return self.newest()
        return await self._work_in(take, info, link.introductions, now)

    def _answered(self, now: float) -> None:
        self._setback = 0.0
        self._due = now + self._plan.interval

    async def _take(self, link: Link, info: ServerInfo, now: float, until: float) -> _Take | None:
        """List the clients, in batches where that is better and holds good; None where it cannot be done."""
        before = await self._list_seconds(link, info)
        take = await self._take_at_all(link, info, now, until)
        after = await self._list_seconds(link, info) if take is not None and before is not None else None
        if take is None or before is None or after is None:
            return take
        share = (after - before) / (sum(take.costs) or 1.0)
        return replace(take, costs=[cost * share for cost in take.costs], by_the_server=True)

    async def _list_seconds(self, link: Link, info: ServerInfo) -> float | None:
        """The server's own account of its time for lists, where that matters.

        It does with many clients, and where our clock, which runs on while we do other things, says that a
        list was above the budget.
        """
        if (info.count(b"connected_clients") or 0) <= _BATCHES_ABOVE and not self._over_budget:
            return None
        reply = await link.ask_if_allowed("info", "INFO", "commandstats")
        return parse_list_seconds(reply) if isinstance(reply, bytes) else None

    async def _take_at_all(self, link: Link, info: ServerInfo, now: float, until: float) -> _Take | None:
        costs: list[float] = []
        if self._chooser.prefers_batches(info, now):
            by = now + _TIME_FOR_BATCHES * (until - now)
            tally = await self._list(link, info, self._chooser.batches(info), by, costs)
            if tally is None:
                self._chooser.count_dear(now)
            elif self._chooser.complete(info, tally.total):
                return _Take(tally, costs, whole=False)
        tally = await self._list(link, info, [()], until, costs)
        return _Take(tally, costs, whole=True) if tally is not None else None

    async def _list(
        self,
        link: Link,
        info: ServerInfo,
        batches: Iterable[tuple[bytes, ...]],
        until: float,
        costs: list[float],
    ) -> Tally | None:
        """Count the clients of all batches, and add what each cost; None where that cannot be done."""
        without_us = (b"SKIPME", b"YES") if info.valkey_version >= _FIRST_THAT_SKIPS_US else ()
        tally = Tally(self._names, self._plan.stale_after, link.own_id, link.own_address)
        for ids in batches:
            cutter = RowCutter()

            def feed(piece: bytes, cutter: RowCutter = cutter) -> None:
                rows = cutter.cut(piece)
                if rows:
                    tally.add(*read_rows(rows))

            command = (b"CLIENT", b"LIST", *without_us, *((b"ID", *ids) if ids else ()))
            if time.monotonic() > until:
                return None
            cost = await link.stream_if_allowed(feed, LIST_COMMAND, *command)
            if cost is None:
                return None
            costs.append(cost)
            if rest := cutter.end():
                tally.add(*read_rows(rest))
            tally.add((), cutter.dropped)
        return tally

    async def _work_in(self, take: _Take, info: ServerInfo, introductions: int, now: float) -> Survey:
        """Make a survey of the counts; each step is short, and the loop may turn between them."""
        await _let_others(take)
        groups, members = take.tally.groups(), take.tally.members()
        await _let_others(take)
        bounded, folded = self._history.bounds.bound(groups, now)
        self._history.compare(members, info, introductions - self._introductions)
        self._introductions = introductions
        await _let_others(take)
        trends = self._history.judge(bounded, members, now)
        await _let_others(take)
        total = sum(take.costs)
        asked = take.costs[-1] if take.whole else total
        self._chooser.learn(info, members.apps, asked, now, whole=take.whole)
        interval = max(self._plan.interval, total / self._plan.server_time_budget)
        was_over, self._over_budget = self._over_budget, interval > self._plan.interval
        if not (was_over or take.by_the_server):  # perhaps we only waited behind another's slow command
            interval = self._plan.interval
        self._due, self._expires = now + interval, now + _PATIENCE * interval
        cost = ListCost(total, max(take.costs), len(take.costs), interval / self._plan.interval)
        at = time.time() - (time.monotonic() - now)
        newest = Survey(at, bounded, trends, self._history.churn.unseen, folded, cost)
        self._newest = newest
        return newest


class _Chooser:
    """Knows who was in the last list, and chooses between one whole list and batches of ids by their cost.

    CLIENT LIST ID came with Redis 6.2; a batch of 250 holds the server 0.15 to 0.25 ms, a whole list of
    10,000 clients 7 to 15 ms. With I/O threads Redis 8 pauses them once per client of a batch.
    """

    def __init__(self) -> None:
        self._ids: list[bytes] = []
        self._received = 0
        self._whole_cost = 0.0
        self._whole_until = 0.0
        self._dear = 0

    def prefers_batches(self, info: ServerInfo, now: float) -> bool:
        """Whether a list of this server is to be taken in batches at a moment (monotonic)."""
        clients = info.count(b"connected_clients") or 0
        return (
            clients > _BATCHES_ABOVE
            and info.version >= _FIRST_WITH_IDS
            and bool(self._ids)
            and now >= self._whole_until
            and 0 <= self._newcomers(info) <= min(_NEWCOMERS_AT_MOST, clients)
        )

    def batches(self, info: ServerInfo) -> Iterator[tuple[bytes, ...]]:
        """The ids of the last list, and those that were given out since."""
        last, newcomers = int(self._ids[-1]), self._newcomers(info) + _SPARE_IDS
        ids = [*self._ids, *(b"%d" % (last + number) for number in range(1, newcomers + 1))]
        for start in range(0, len(ids), _BATCH):
            yield tuple(ids[start : start + _BATCH])

    def complete(self, info: ServerInfo, total: int) -> bool:
        """Whether batches found about as many clients, our own left out, as INFO had counted."""
        told = (info.count(b"connected_clients") or 0) + (info.count(b"connected_slaves") or 0) - 1
        return abs(told - total) <= max(_DRIFT_AT_LEAST, _DRIFT * told)

    def learn(self, info: ServerInfo, ids: Iterable[bytes], cost: float, now: float, *, whole: bool) -> None:
        """Remember who was there, and what asking for each of them cost; `cost` is that of all together."""
        self._ids = sorted(ids, key=int)
        self._received = info.count(b"total_connections_received") or 0
        each = cost / max(1, len(self._ids))
        if whole:
            self._whole_cost = each
        elif each > _DEARER * self._whole_cost:
            self.count_dear(now)
        else:
            self._dear = 0

    def count_dear(self, now: float) -> None:
        """Batches were too dear, or not done in time: after two such lists in a row take whole ones."""
        self._dear += 1
        if self._dear >= _DEAR_IN_A_ROW:
            self._dear, self._whole_until = 0, now + _WHOLE_AGAIN_SECONDS

    def _newcomers(self, info: ServerInfo) -> int:
        return (info.count(b"total_connections_received") or 0) - self._received
