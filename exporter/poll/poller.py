"""One target's loop."""

import asyncio
import random
import time
from collections.abc import Callable

from exporter.connection.link import Link
from exporter.model import Activity, ClientPlan, Observation, Pace, Target
from exporter.poll.listing.lister import Lister
from exporter.poll.redis import poll_once

_TICK_SECONDS = 0.001  # of uvloop's timers, which may be early by less than one
_ASK_RIGHTS_SECONDS = 600.0


class Poller:
    """Polls one target for ever over one link, and hands itself and each observation to `report`.

    Target, pace and plan may be changed while it runs.
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
        self._rights_asked = time.monotonic()

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
        """Poll until cancelled; anything but a LinkError or ReplyError is a bug and ends the process."""
        try:
            await asyncio.sleep(first_delay)
            while True:
                started = time.monotonic()
                self._ask_rights_again(started)
                place = self.target.access.url.place
                observation = await poll_once(self.target, self._link, self.pace.timeout, self._lister)
                if self.target.access.url.place == place:  # else it is of what the settings named before
                    self._report(self, observation)
                await self._rest(started)
        finally:
            self._link.close()

    def _ask_rights_again(self, now: float) -> None:
        if now - self._rights_asked >= _ASK_RIGHTS_SECONDS:
            self._rights_asked = now
            self._link.ask_rights_again()
            self._lister.ask_rights_again()

    async def _rest(self, started: float) -> None:
        """Wait until the next poll is due, by the pace that is in force then."""
        chance = random.random()  # noqa: S311  no secret
        while (left := self.pace.due(started, chance) - time.monotonic()) > 0:
            self._changed.clear()
            alarm = asyncio.get_running_loop().call_later(left + _TICK_SECONDS, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                alarm.cancel()
