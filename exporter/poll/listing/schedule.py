"""When the next list of a server's clients is due. Pure: moments are monotonic seconds that others tell."""

from dataclasses import dataclass, replace

_LONGEST_SECONDS = (
    600.0  # neither a setback nor the budget makes an interval longer, unless it is configured so
)
_SETBACK_FACTOR = 4.0
_TOO_FULL_TO_RISK = 0.95  # of the limit: a list that is cut costs the slot


@dataclass(frozen=True, slots=True)
class ListSchedule:
    """The pace of one server's lists; it outlives the connections that they are asked over.

    `interval` is configured, `budget` the share of the server's main thread that lists may take. `stretched`
    is the interval in force after the last list, `setback` the one after failures (0 without). `over` says
    that the last list was over the budget by our clock alone, `cut` that the server cut the last one off.
    """

    interval: float
    budget: float
    due: float = 0.0
    stretched: float = 0.0
    setback: float = 0.0
    over: bool = False
    cut: bool = False

    def is_due(self, now: float, utilization: float | None = None) -> bool:
        """Whether to list now; after a list that was cut not while the server is nearly full."""
        too_risky = self.cut and utilization is not None and utilization > _TOO_FULL_TO_RISK
        return now >= self.due and not too_risky

    def at_once(self) -> "ListSchedule":
        """List as soon as possible: another server answers now, or a right may have been given."""
        return replace(self, due=0.0)

    def after_success(self, now: float, cost: float, *, told_by_server: bool) -> "ListSchedule":
        """Keep to the budget after a list begun at a moment, which took the server `cost` seconds.

        One cost by our own clock is not believed: perhaps we only waited behind another's slow command.
        """
        wanted = self._within_budget(cost)
        believed = wanted if self.over or told_by_server else self.interval
        return replace(
            self,
            due=now + believed,
            stretched=believed,
            setback=0.0,
            over=wanted > self.interval,
            cut=False,
        )

    def after_refusal(self, now: float) -> "ListSchedule":
        """An error reply costs nothing and is no setback."""
        return replace(self, due=now + self.interval, setback=0.0)

    def after_timeout(self, now: float, cost: float = 0.0) -> "ListSchedule":
        """Wait longer after each list that was not done in time; `cost` is what is known of its own."""
        longest = max(self.interval, _LONGEST_SECONDS)
        setback = min(_SETBACK_FACTOR * (self.setback or self.interval), longest)
        return replace(self, due=now + max(setback, self._within_budget(cost)), setback=setback)

    def after_break(self, now: float, cost: float = 0.0) -> "ListSchedule":
        """Wait longer, as after a timeout, and remember that the server ended the connection over a list."""
        return replace(self.after_timeout(now, cost), cut=True)

    def _within_budget(self, cost: float) -> float:
        return max(self.interval, min(cost / self.budget, _LONGEST_SECONDS))
