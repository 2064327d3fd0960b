"""One target's loop, and the boundary that keeps a bug within it."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from exporter.connection.link import Link
from exporter.model import Activity, ClientPlan, Observation, Outage, Pace, State, Target
from exporter.poll import bugs
from exporter.poll.listing.lister import Lister
from exporter.poll.redis import poll_once

_TICK_SECONDS = 0.001  # of uvloop's timers, which may be early by less than one
_ASK_RIGHTS_SECONDS = 600.0
_LONGEST_PAUSE_SECONDS = 60.0  # after a bug
_TELL_AGAIN_SECONDS = 3600.0  # of the same one
_LATE_SHARE = 0.1  # of the interval: what the jitter may be

log = logging.getLogger(__name__)


class Poller:
    """Polls one target for ever over one link, and hands itself and each observation to `report`.

    Target, pace and plan may be changed while it runs. Whatever else runs for the target tells `crashed` of
    its bugs. `due` is when the next poll is to begin (monotonic), and `late` how long after such a moment the
    last one began (seconds).
    """

    def __init__(
        self,
        target: Target,
        pace: Pace,
        plan: ClientPlan,
        report: Callable[["Poller", Observation], None],
    ) -> None:
        self.target = target
        self.pace = pace
        self._link = Link(target.access, pace)
        self._plan = plan
        self._lister = Lister(plan)
        self._report = report
        self._changed = asyncio.Event()
        self._rights_asked = self.due = time.monotonic()
        self._crashes = 0
        self._pause = 0.0  # seconds, after the last bug
        self._told: tuple[str, float] = "", 0.0  # the last bug that was logged, and when
        self.late = 0.0

    def is_overdue(self, now: float) -> bool:
        """Whether a poll began, or has not begun, more than a tenth of the interval after it was due."""
        return max(self.late, now - self.due) > _LATE_SHARE * self.pace.interval

    @property
    def activity(self) -> Activity:
        """What was done for the target so far."""
        link, lister = self._link, self._lister
        return Activity(
            connects=link.connects,
            refused=link.refused,
            address_changes=link.address_changes,
            address=link.address,
            addresses=link.addresses,
            list_failure=lister.failure,
            list_failures=lister.failures,
            note=link.note,
            crashes=self._crashes,
            due=self.due,
        )

    def change(self, target: Target, pace: Pace, plan: ClientPlan) -> None:
        """Go on with other settings from now on, over the same connection where that is possible.

        Another plan makes other groups of the clients, so their history begins anew.
        """
        self.target = target
        self.pace = self._link.pace = pace
        self._link.change(target.access)
        if plan != self._plan:
            self._plan, self._lister = plan, Lister(plan)
        self._lister.ask_rights_again()
        self._rights_asked = time.monotonic()
        self._changed.set()

    async def run(self, first_delay: float) -> None:
        """Poll until cancelled; a bug costs a pause, which doubles up to a minute, and no other target."""
        try:
            self.due = time.monotonic() + first_delay
            await asyncio.sleep(first_delay)
            while True:
                try:
                    await self._poll_and_rest()
                    self._pause = 0.0
                except asyncio.CancelledError as error:
                    ourselves = asyncio.current_task()
                    if ourselves is None or ourselves.cancelling():
                        raise
                    await self._pause_after(error)  # nobody has cancelled us: something has leaked
                except Exception as error:  # noqa: BLE001  the boundary
                    await self._pause_after(error)
        finally:
            self._close()

    def crashed(self, error: BaseException) -> None:
        """Count a bug in what runs for this target, log it once, and show it.

        The connection is kept: it knows which replies it is owed.
        """
        if bugs.are_raised():
            raise error
        self._crashes += 1
        self._pause = max(self.pace.interval, min(2 * self._pause, _LONGEST_PAUSE_SECONDS))
        what, now = bugs.explain_bug(error), time.monotonic()
        if what != self._told[0] or now - self._told[1] > _TELL_AGAIN_SECONDS:
            self._told = what, now
            trace = bugs.traceback_of(error, self._link.secrets)
            fields = {"target": self.target.name, "detail": what, "traceback": trace}
            log.error("poller crashed", extra={"fields": fields})
        try:
            self._report(self, Outage(time.time(), 0.0, State.UNKNOWN, what))
        except Exception as again:  # noqa: BLE001  it is shown as far as it goes
            fields = {"target": self.target.name, "traceback": bugs.traceback_of(again, self._link.secrets)}
            log.error("bug not shown", extra={"fields": fields})  # noqa: TRY400  without secrets

    async def _pause_after(self, error: BaseException) -> None:
        """Wait after a bug, or until the settings change."""
        self.crashed(error)
        self.due = time.monotonic() + self._pause
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._changed.wait()

    async def _poll_and_rest(self) -> None:
        started = self._begin()
        self._ask_rights_again(started)
        place = self.target.access.url.place
        observation = await poll_once(self.target, self._link, self.pace.timeout, self._lister)
        chance = random.random()  # noqa: S311  no secret
        self.due = self.pace.due(started, chance)
        if self.target.access.url.place == place:  # else it is of what the settings named before
            self._report(self, observation)
        await self._rest(started, chance)

    def _close(self) -> None:
        try:
            self._link.close()
        except Exception as error:  # the target is gone, and so is who would be told
            if bugs.are_raised():
                raise
            fields = {"target": self.target.name, "traceback": bugs.traceback_of(error, self._link.secrets)}
            log.error("connection not closed", extra={"fields": fields})  # noqa: TRY400  as above

    def _begin(self) -> float:
        """Take note of how late a poll begins, which is now."""
        now = time.monotonic()
        self.late, self.due = max(0.0, now - self.due), now + self.pace.interval
        return now

    def _ask_rights_again(self, now: float) -> None:
        if now - self._rights_asked >= _ASK_RIGHTS_SECONDS:
            self._rights_asked = now
            self._link.ask_rights_again()
            self._lister.ask_rights_again()

    async def _rest(self, started: float, chance: float) -> None:
        """Wait until the next poll is due, by the pace that is in force then."""
        pace, self.due = self.pace, self.pace.due(started, chance)
        while (left := self.due - time.monotonic()) > 0:
            self._changed.clear()
            alarm = asyncio.get_running_loop().call_later(left + _TICK_SECONDS, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                alarm.cancel()
            if self.pace != pace:  # by the new one it may have been due before that came
                pace, self.due = self.pace, max(self.pace.due(started, chance), time.monotonic())
