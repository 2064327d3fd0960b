"""Lists one server's clients at its own pace, and keeps what the lists said."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import names_by
from exporter.connection.errors import LinkError
from exporter.connection.session import Session
from exporter.model import ClientPlan, ListCost, ListFailure, ServerInfo, Survey
from exporter.parse.info import parse_list_seconds
from exporter.poll.listing.batches import BATCHES_ABOVE, BatchPlan
from exporter.poll.listing.counting import Counting
from exporter.poll.listing.schedule import ListSchedule
from exporter.poll.steps import Steps

LIST_COMMAND = "client|list"

_FIRST_THAT_SKIPS_US = (8, 1)  # of Valkey: the one filter that helps where all clients are wanted
_TIME_FOR_BATCHES = 0.75  # of what is left; the rest is kept for one whole list
_INTERVALS_SHOWN = 2.0  # for which a list may be shown
_CUT_SECONDS = 0.5  # after a list: who is cut for its length is cut within one turn of the server's cron
_UNREADABLE = 0.05  # a reply of which more rows than this share cannot be read is no list


class _OutOfTimeError(TimeoutError):
    """There is no time for the next command."""


@dataclass(frozen=True, slots=True)
class _Take:
    """One list: its counts, and the server's seconds for each command that it took."""

    tally: Tally
    costs: Sequence[float]
    whole: bool
    told_by_server: bool = False


def _outcome(take: _Take | None) -> str:
    """What came of asking, in words."""
    if take is None:
        return "refused"
    commands = "" if len(take.costs) == 1 else f" in {len(take.costs)} commands"
    return f"{take.tally.total} clients{commands}"


async def _let_others(take: _Take) -> None:
    """Yield to the event loop between steps when the list is large."""
    if take.tally.total > BATCHES_ABOVE:
        await asyncio.sleep(0)


class Lister:
    """Keeps the newest list of one server, and why the last attempt failed if it did."""

    def __init__(self, plan: ClientPlan) -> None:
        self._plan = plan
        self._names = names_by(plan.rules)
        self._history = History(plan.stale_after, plan.top)
        self._newest: Survey | None = None
        self._expires = self._counted_at = 0.0
        self._schedule = ListSchedule(plan.interval, plan.server_time_budget)
        self._batches = BatchPlan()
        self._session: Session | None = None
        self._run_id = ""
        self._accepted = 0
        # The session of the last list, its end, and the schedule before; until it is known to have survived.
        self._listed: tuple[Session, float, ListSchedule] | None = None
        self.failure: ListFailure | None = None
        self.failures: Mapping[ListFailure, int] = {}

    def newest(self) -> Survey | None:
        """The newest list, while it may be shown."""
        return self._newest if time.monotonic() < self._expires else None

    def ask_rights_again(self) -> None:
        """A right may have been given: a list that was refused is tried at once."""
        if self.failure is ListFailure.REFUSED:
            self._schedule = self._schedule.at_once()

    def is_due(self, session: Session, info: ServerInfo, utilization: float | None) -> bool:
        """Whether to list now. Another server than the last one is listed at once."""
        self._see_what_the_last_list_did(session)
        run_id = info.texts.get("run_id", "")
        if run_id != self._run_id:
            self._run_id, self._newest = run_id, None
            self._schedule = self._schedule if self._schedule.setback else self._schedule.at_once()
        return (
            self._plan.enabled
            and LIST_COMMAND not in session.denied
            and self._schedule.is_due(time.monotonic(), utilization)
        )

    def _see_what_the_last_list_did(self, session: Session) -> None:
        """A server may send a whole list, and end the connection for its length all the same."""
        if self._listed is None:
            return
        (listed, ended, before), self._listed = self._listed, None
        if session is not listed and listed.opened.connection.lost_at - ended < _CUT_SECONDS:
            self._schedule = before.after_break(time.monotonic())
            self._note(ListFailure.CUT_OFF)
        else:
            self.failure = None

    async def list_clients(
        self,
        session: Session,
        info: ServerInfo,
        accepted: int,
        deadline: float,
        steps: Steps | None = None,
    ) -> Survey | None:
        """Ask for a list, and be done with it by a moment (monotonic).

        `accepted` counts our own connections to the server so far; `steps` notes what is done. Returns the
        list; None where `failure` tells why there is none.
        """
        try:
            return await self._list_clients(
                session, info, accepted, deadline, steps or Steps(time.monotonic())
            )
        except Exception:  # a bug, which need not cost the next polls too
            self._schedule = self._schedule.after_timeout(time.monotonic())
            raise

    async def _list_clients(
        self, session: Session, info: ServerInfo, accepted: int, deadline: float, steps: Steps
    ) -> Survey | None:
        now = time.monotonic()
        if session is not self._session:  # ids are asked for only where one connection saw them
            self._session, self._batches = session, BatchPlan(whole_until=self._batches.whole_until)
        costs: list[float] = []  # also of an attempt that comes to nothing
        try:
            with steps.step("CLIENT LIST"):
                async with asyncio.timeout(deadline - now):
                    take = await self._take(session, info, costs, deadline)
        except TimeoutError:
            self._schedule = self._schedule.after_timeout(now, sum(costs))
            self._note(ListFailure.TIMEOUT)
        except LinkError as error:
            spent = time.monotonic() - now  # it may all have been the server's
            self._schedule = self._schedule.after_break(now, spent)
            self._note(ListFailure.CUT_OFF if error.closed else ListFailure.UNREADABLE)
        else:
            ended, before = time.monotonic(), self._schedule
            steps.say(_outcome(take))
            with steps.step("compare and judge"):
                survey = await self._use(take, info, accepted, now)
            if survey is not None:
                self._newest, self._listed = survey, (session, ended, before)
            return survey
        return None

    def _note(self, failure: ListFailure) -> None:
        self.failure = failure
        self.failures = {**self.failures, failure: self.failures.get(failure, 0) + 1}

    async def _use(self, take: _Take | None, info: ServerInfo, accepted: int, now: float) -> Survey | None:
        if take is None:
            self._schedule = self._schedule.after_refusal(now)
            self._note(ListFailure.REFUSED)
        elif take.tally.unreadable > _UNREADABLE * (take.tally.total + take.tally.unreadable):
            self._schedule = self._schedule.after_timeout(now, sum(take.costs))
            self._note(ListFailure.UNREADABLE)
        else:
            return await self._work_in(take, info, accepted, now)
        return None

    async def _take(
        self, session: Session, info: ServerInfo, costs: list[float], deadline: float
    ) -> _Take | None:
        """List the clients, in batches where that is better and holds good; None where that is refused."""
        before = await self._list_seconds(session, info)
        take = await self._take_at_all(session, info, costs, deadline)
        after = await self._list_seconds(session, info) if take is not None and before is not None else None
        if take is None or before is None or after is None:
            return take
        told, timed = after - before, sum(take.costs)
        costs = [cost * told / timed if timed else told / len(take.costs) for cost in take.costs]
        return replace(take, costs=costs, told_by_server=True)

    async def _list_seconds(self, session: Session, info: ServerInfo) -> float | None:
        """The server's own account of its time for lists, where that matters.

        It does with many clients, and where our clock, which runs on while we do other things, says that a
        list was above the budget.
        """
        if (info.count(b"connected_clients") or 0) <= BATCHES_ABOVE and not self._schedule.over:
            return None
        reply = await session.ask_if_allowed("info", "INFO", "commandstats")
        return parse_list_seconds(reply) if isinstance(reply, bytes) else None

    async def _take_at_all(
        self, session: Session, info: ServerInfo, costs: list[float], deadline: float
    ) -> _Take | None:
        now = time.monotonic()
        if self._batches.prefers_batches(info, now):
            until = now + _TIME_FOR_BATCHES * (deadline - now)
            try:
                tally = await self._list(session, info, self._batches.batches(info), until, costs)
            except _OutOfTimeError:
                tally = None
            if tally is None:
                self._batches = self._batches.after_dear_batches(now)
            elif self._batches.is_complete(info, tally.total):
                return _Take(tally, costs, whole=False)
        tally = await self._list(session, info, [()], deadline, costs)
        return _Take(tally, costs, whole=True) if tally is not None else None

    async def _list(
        self,
        session: Session,
        info: ServerInfo,
        batches: Iterable[tuple[bytes, ...]],
        until: float,
        costs: list[float],
    ) -> Tally | None:
        """Count the clients of all batches, and add what each cost; None where one is refused."""
        without_us = (b"SKIPME", b"YES") if info.valkey_version >= _FIRST_THAT_SKIPS_US else ()
        since = time.monotonic() - self._counted_at if self._counted_at else self._plan.interval
        tally = Tally(self._names, self._plan.stale_after, session.own_id, session.own_address, since=since)
        counting = Counting(tally)
        for ids in batches:
            command = (b"CLIENT", b"LIST", *without_us, *((b"ID", *ids) if ids else ()))
            if time.monotonic() > until:
                raise _OutOfTimeError
            cost = await session.stream_if_allowed(counting.take, LIST_COMMAND, *command)
            if cost is None:
                return None
            costs.append(cost)
            counting.end_reply()
        counting.count()
        return tally

    async def _work_in(self, take: _Take, info: ServerInfo, accepted: int, now: float) -> Survey:
        """Make a survey of the counts; each step is short, and the loop may turn between them."""
        took = time.monotonic() - now
        history = self._history
        for _ in history.take(take.tally, info, accepted - self._accepted, now):
            await _let_others(take)
        self._accepted = accepted
        self._counted_at = now
        ids = history.ids
        total = sum(take.costs)
        if take.whole:
            self._batches = self._batches.after_whole(info, ids, take.costs[-1], now)
        else:
            self._batches = self._batches.after_batches(info, ids, total, now, took)
        self._schedule = self._schedule.after_success(now, total, told_by_server=take.told_by_server)
        self._expires = now + _INTERVALS_SHOWN * self._schedule.stretched
        stretch = self._schedule.stretched / self._plan.interval
        cost = ListCost(total, max(take.costs), len(take.costs), stretch)
        at = time.time() - (time.monotonic() - now)
        churn = history.churn
        return Survey(
            at, history.groups, history.trends, churn.unseen, history.folded, cost, churn.share_seen
        )
