"""Which connections the server seems to have closed for their idle time (its setting `timeout`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LEAST_SECONDS = 15  # a setting below that closes what is in use, too
_SLACK_SECONDS = (
    2  # whole seconds, and a cron that looks at each client once a second (server.c, clientsCron)
)
_LISTS = 3  # in which it happened, before it is no chance
_KEPT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Band:
    """Between which idle times all closings of an app were, how many, in how many lists, and when last."""

    least: int
    most: int
    closings: float
    lists: int
    at: float


class Reaping:
    """Finds apps whose connections are closed at one idle time, again and again, one after the other."""

    def __init__(self) -> None:
        self._bands: dict[str, _Band] = {}
        self._reaped: dict[str, _Band] = {}

    def update(
        self, closed_after: Mapping[str, Sequence[int]], longest: int, since: float, now: float
    ) -> Mapping[str, int]:
        """Take the pauses (seconds idle at the list before) after which connections of each app were closed.

        `since` is how many seconds ago that list was, `longest` for how long anybody has been idle now: a
        server's timeout spares nobody. Returns by app how many closings of late speak for one.
        """
        self._bands = {app: band for app, band in self._bands.items() if now - band.at < _KEPT_SECONDS}
        for app, told in closed_after.items():
            pauses = [pause for pause in told if pause >= _LEAST_SECONDS]
            if not pauses:
                continue
            # Whoever had been idle for p seconds at the list before was closed at p to p + since.
            new = _Band(max(pauses), min(pauses) + int(since) + _SLACK_SECONDS, len(pauses), 1, now)
            known = self._bands.get(app)
            if known is not None:
                least, most = max(known.least, new.least), min(known.most, new.most)
                if least <= most + _SLACK_SECONDS:
                    new = _Band(
                        least,
                        most,
                        known.closings * math.exp((known.at - now) / _KEPT_SECONDS) + len(pauses),
                        known.lists + 1,
                        now,
                    )
            self._bands[app] = new
        self._reaped = {
            app: band for app, band in self._bands.items() if band.lists >= _LISTS and longest <= band.most
        }
        return {app: round(band.closings) for app, band in self._reaped.items()}

    def timeout(self, app: str) -> float:
        """At which idle time the connections of an app seem to be closed; infinite where none is known."""
        return self._reaped[app].least if app in self._reaped else math.inf
