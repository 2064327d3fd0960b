"""The verdict on an app as a sentence for people."""

from collections.abc import Iterator

from exporter.model import AppClients, ClientState
from exporter.verdicts import AppTrend, Evidence, Verdict, Window


def explain(name: str, app: AppClients, trend: AppTrend) -> str:
    """Say what an app does with its connections, and why we think so; empty without a verdict."""
    if trend.verdict is None:
        return ""
    text = ", ".join(_reasons(name, app, trend))
    return f"{trend.verdict}: {text}" if text else str(trend.verdict)


def _reasons(name: str, app: AppClients, trend: AppTrend) -> Iterator[str]:
    match trend.verdict:
        case Verdict.LEAKING:
            yield from _leaks(name, app, trend)
        case Verdict.CHURNING:
            yield "opens new connections all the time and keeps few"
        case Verdict.GROWING:
            yield from _growth(trend)
        case Verdict.WAITING:
            yield f"{app.states.get(ClientState.BLOCKED, 0)} of {app.total} blocked"
        case Verdict.OVERSIZED:
            yield f"{app.total} open, in use at most {trend.needed_peak}"
        case Verdict.UNKNOWN:
            yield from _doubts(trend)
        case Verdict.HEALTHY:
            yield f"in use at most {trend.needed_peak} of {app.total}"


def _leaks(name: str, app: AppClients, trend: AppTrend) -> Iterator[str]:
    left = trend.evidence.get(Evidence.LEFT_BEHIND, 0)
    if left:
        yield f"{left} of {app.total} left behind"
    if held := trend.evidence.get(Evidence.HELD_TRANSACTION, 0):
        yield f"{held} held in a transaction" if left else f"{held} of {app.total} held in a transaction"
    if trend.worst is not None and trend.worst[0] != name:
        yield f"worst {trend.worst[0]}"


def _growth(trend: AppTrend) -> Iterator[str]:
    rising = [slope for window in Window if (slope := trend.growth.get(window, 0.0)) > 0]
    if rising:
        yield f"{60 * rising[0]:.1f} more per minute"


def _doubts(trend: AppTrend) -> Iterator[str]:
    if trend.evidence.get(Evidence.OPENED_AND_UNUSED):
        yield f"opened {trend.opened_recently} in {trend.recent:.0f} s"
        yield f"in use at most {trend.needed_recently}"
    elif more := trend.evidence.get(Evidence.GROWTH_WITHOUT_NEED):
        yield f"{more} more, and no more in use"
    else:
        yield "too little seen so far"
