"""One word for what an app does with its connections, from a few numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.verdicts import Evidence, Verdict, Window

_STEEP_PER_SECOND = 0.01  # a connection in 100 s
_STEEP_CONNECTIONS = 5  # and so many in the window
_NEEDED_SHARE = 0.25  # of growth, or of what was opened, that is in use where it is traffic
MANY_OPENED = 10  # by one instance in five minutes
_OVERSIZED_AT_LEAST = 10
_OVERSIZED_TIMES = 3  # as many connections as were ever needed
_KNOWN_AFTER_SECONDS = 150.0  # half of the shortest window
_PEAK_KNOWN_AFTER_SECONDS = 600.0
_CHURN_TIMES = 5  # as many opened in five minutes as there are
_CHURN_AT_LEAST = 60
_CHURN_GOES_ON = 0.1  # of these, in the last minute


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an app: `watched` for how many seconds; `came` counts what five minutes opened."""

    total: int
    blocked: int
    needed_peak: int
    watched: float
    came: int
    came_just_now: int
    growth: Mapping[Window, float]
    evidence: Mapping[Evidence, int]


def judge(facts: Facts) -> Verdict:
    """Say what an app does: the first that fits, the worst first."""
    told = facts.evidence
    oversized = facts.total >= max(_OVERSIZED_AT_LEAST, _OVERSIZED_TIMES * facts.needed_peak)
    churns = facts.came >= max(_CHURN_AT_LEAST, _CHURN_TIMES * facts.total) and (
        facts.came_just_now >= _CHURN_GOES_ON * facts.came  # not a batch that has ended
    )
    fits = (
        (Verdict.LEAKING, Evidence.LEFT_BEHIND in told or Evidence.HELD_TRANSACTION in told),
        (Verdict.CHURNING, churns),
        (Verdict.UNKNOWN, Evidence.OPENED_AND_UNUSED in told or Evidence.GROWTH_WITHOUT_NEED in told),
        (Verdict.GROWING, steepest(facts.growth) is not None),
        (Verdict.WAITING, facts.total > 0 and 2 * facts.blocked >= facts.total),
        (Verdict.UNKNOWN, facts.watched < _KNOWN_AFTER_SECONDS),
        (Verdict.OVERSIZED, oversized and facts.watched >= _PEAK_KNOWN_AFTER_SECONDS),
    )
    return next((verdict for verdict, does_fit in fits if does_fit), Verdict.HEALTHY)


def opened_and_unused(opened: int, used: int) -> int:
    """How many connections were opened while few were in use; 0 where that is ordinary."""
    return opened if opened >= MANY_OPENED and used < _NEEDED_SHARE * opened else 0


def growth_without_need(
    growth: Mapping[Window, float], busy_growth: Mapping[Window, float], widest_growth: Mapping[Window, float]
) -> int:
    """By how many connections an app grew in the shortest window that is steep, if use did not grow too.

    Nor is it growth without need where only the number of instances grows, and the widest does not.
    """
    window = steepest(growth)
    if window is None or busy_growth.get(window, 0.0) >= _NEEDED_SHARE * growth[window]:
        return 0
    return round(growth[window] * window.seconds) if steepest(widest_growth) is not None else 0


def steepest(growth: Mapping[Window, float]) -> Window | None:
    """The shortest window in which there is growth to speak of, if it goes on in all that are shorter."""
    for window in Window:
        slope = growth.get(window, 0.0)
        if slope >= _STEEP_PER_SECOND and slope * window.seconds >= _STEEP_CONNECTIONS:
            return window
        if slope <= 0:
            return None
    return None
