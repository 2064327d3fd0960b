"""The newest observation of every target, with what must outlive it: counts, peaks and the last reading."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from exporter.analyse.pulse import NO_PULSE, Pulse
from exporter.analyse.slots import Samples, explain_limit, peak, recent, reserve_refuses
from exporter.model import Activity, Observation, Outage, Reading, State, Target

PEAK_WINDOW_SECONDS = 60.0
_NO_ACTIVITY = Activity()

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    """All that is known of one target at one moment.

    `reading` is the newest observation where it is one, because old numbers are never served. `samples` and
    `seen`, the moment of the observation, are in monotonic seconds: a clock that is set right must neither
    hide a peak nor turn every target red. `patience` is how long it may stand. `since` is when the target got
    into its state: Unix time and monotonic seconds.
    """

    target: Target
    now: Observation | None = None
    reading: Reading | None = None
    last_reading: Reading | None = None
    polls: int = 0
    activity: Activity = _NO_ACTIVITY
    failures: Mapping[State, int] = field(default_factory=dict)
    samples: Samples = ()
    pulse: Pulse = NO_PULSE
    seen: float = 0.0
    patience: float = math.inf
    since: tuple[float, float] | None = None

    @property
    def state(self) -> State:
        """The state of the newest observation; UNKNOWN before the first."""
        return self.now.state if self.now is not None else State.UNKNOWN

    @property
    def slots_peak(self) -> float | None:
        """The highest number of used slots among the polls of the last minute."""
        return peak(self.samples)

    def after(self, observation: Observation, activity: Activity, now: float, patience: float) -> "Watch":
        """What is known after one more poll, at a moment and for so many seconds (monotonic)."""
        if isinstance(observation, Outage):
            state = observation.state
            failures = {**self.failures, state: self.failures.get(state, 0) + 1}
            return replace(
                self,
                now=observation,
                reading=None,
                polls=self.polls + 1,
                activity=activity,
                failures=failures,
            )
        if reserve_refuses(self.reading, observation):
            observation = replace(observation, reserve_refuses=True)
        return Watch(  # replace() takes three times as long, and this is done for every poll
            self.target,
            now=observation,
            reading=observation,
            last_reading=observation,
            polls=self.polls + 1,
            activity=activity,
            failures=self.failures,
            pulse=self.pulse.after(observation.info, now),
            samples=recent(self.samples, now, observation.slots.used, PEAK_WINDOW_SECONDS),
            seen=now,
            patience=patience,
            since=self.since,
        )

    def overdue(self) -> "Watch":
        """What is left when the next poll should long have come: no numbers, and no poll that was none."""
        if self.reading is None:
            return self
        old = self.reading
        outage = Outage(old.at, old.took, State.TIMEOUT, "the next poll is overdue", old.steps)
        return replace(self, now=outage, reading=None)


class Board:
    """Holds one Watch per target; each is immutable, so whoever took one keeps a consistent view.

    `edition` is another number once something that was shown must not be shown again.
    """

    def __init__(self) -> None:
        self._watches: dict[str, Watch] = {}
        self.edition = 0

    def __iter__(self) -> Iterator[Watch]:
        """Go through the watches in configured order."""
        return iter(self._watches.values())

    def get(self, name: str) -> Watch | None:
        """Find the watch of a target by its name."""
        return self._watches.get(name)

    @property
    def complete(self) -> bool:
        """Whether every target was tried at least once."""
        return all(watch.now is not None for watch in self._watches.values())

    def set_targets(self, targets: Iterable[Target]) -> None:
        """Watch these targets from now on; a server that was watched keeps all that is known of it."""
        old = {watch.target.access.url.place: watch for watch in self._watches.values()}
        self._watches = {
            target.name: _carried_over(old.get(target.access.url.place), target) for target in targets
        }
        self.edition += 1

    def record(
        self, name: str, observation: Observation, activity: Activity, *, now: float, patience: float
    ) -> None:
        """Take a poll's result, and log when the target's state has changed; for the arguments see Watch."""
        self._replace(self._watches[name].after(observation, activity, now, patience), (observation.at, now))
        if isinstance(observation, Outage):
            fields = {"target": name, "state": observation.state, "detail": observation.detail}
            log.debug("poll failed", extra={"fields": fields})

    def expire(self, now: float, patience: float) -> tuple[str, ...]:
        """Drop readings that are overdue at a moment (monotonic), and name their targets.

        A process that was frozen would otherwise serve old numbers to the first scrape after it. `patience`
        is that of the present pace; where a reading was made at a slower one, that counts until the next.
        """
        overdue = [
            watch
            for watch in self._watches.values()
            if watch.reading is not None and now > watch.seen + max(watch.patience, patience)
        ]
        for watch in overdue:
            at = watch.reading.at if watch.reading is not None else 0.0
            self._replace(watch.overdue(), (at + now - watch.seen, now))
        self.edition += bool(overdue)
        return tuple(watch.target.name for watch in overdue)

    def _replace(self, after: Watch, moment: tuple[float, float]) -> None:
        """Put a watch in the place of its target's last one; `moment` is Unix time and monotonic seconds."""
        name = after.target.name
        before = self._watches[name]
        if after.state is not before.state or before.since is None:
            after = replace(after, since=moment)
        self._watches[name] = after
        if after.state is not before.state:
            _log_change(before, after)
        if after.activity is not before.activity:
            _log_activity(after.target.name, before.activity, after.activity)


def _carried_over(old: Watch | None, target: Target) -> Watch:
    return replace(old, target=target) if old is not None else Watch(target)


def _log_change(before: Watch, after: Watch) -> None:
    fields: dict[str, object] = {"target": after.target.name, "state": after.state, "was": before.state}
    if isinstance(after.now, Outage):
        fields |= {"url": after.target.access.url, "detail": after.now.detail}
    if after.reading is not None:
        fields |= {"used": after.reading.slots.used, "limit": after.reading.slots.limit}
        if limit := explain_limit(after.reading):
            fields["detail"] = limit
    level = logging.INFO if after.state is State.OK else logging.WARNING
    log.log(level, "target state changed", extra={"fields": fields})


def _log_activity(name: str, before: Activity, after: Activity) -> None:
    """Log once what has changed about the connection and the lists of a target."""
    if after.note and after.note != before.note:
        log.warning("connection not changed", extra={"fields": {"target": name, "detail": after.note}})
    if after.address_changes > before.address_changes:
        fields = {"target": name, "address": after.address, "was": before.address}
        log.info("address changed", extra={"fields": fields})
    if after.list_failure is not before.list_failure:
        if after.list_failure is None:
            log.info("client list works again", extra={"fields": {"target": name}})
        else:
            fields = {"target": name, "reason": after.list_failure.value}
            log.warning("client list failed", extra={"fields": fields})
