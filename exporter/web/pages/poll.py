"""What the last poll of a target did, step by step, as plain text."""

from collections.abc import Iterator
from datetime import UTC, datetime

from exporter.board import Watch
from exporter.model import Outage, PollStep


def render_poll(watch: Watch, at: float, now: float) -> str:
    """Write it for a moment (Unix time and monotonic seconds)."""
    return "\n".join(_lines(watch, at, now)) + "\n"


def _lines(watch: Watch, at: float, now: float) -> Iterator[str]:
    yield f"Target:     {watch.target.name}, {watch.target.access.url}"
    since = f" since {_time(watch.since[0])} ({_seconds(now - watch.since[1])})" if watch.since else ""
    yield f"State:      {watch.state}{since}"
    last = watch.now
    if last is None:
        yield "Last poll:  none yet"
        return
    yield f"Last poll:  began {_time(last.at)}, {_seconds(at - last.at)} ago, took {_milliseconds(last.took)}"
    yield f"Outcome:    {_outcome(watch)}"
    yield f"Next poll:  {_next(watch.activity.due - now)}"
    if watch.reading is not None and watch.reading.clients is not None:
        yield f"List:       {_seconds(at - watch.reading.clients.at)} old"
    if watch.activity.list_failure is not None:
        yield f"List:       the last attempt failed: {watch.activity.list_failure}"
    yield ""
    if last.steps:
        yield f"{'began after':>14}  {'took':>12}  step"
        yield from map(_step, last.steps)
    else:
        yield "No step of it is known."


def _outcome(watch: Watch) -> str:
    if isinstance(watch.now, Outage):
        return f"failed, {watch.now.state}: {watch.now.detail}"
    return "succeeded"


def _next(seconds: float) -> str:
    return f"due in {_seconds(seconds)}" if seconds >= 0 else f"due {_seconds(-seconds)} ago"


def _step(step: PollStep) -> str:
    name = f"{step.name}: {step.outcome}" if step.outcome else step.name
    return f"{_milliseconds(step.offset):>14}  {_milliseconds(step.took):>12}  {name}"


def _time(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _seconds(seconds: float) -> str:
    return f"{max(0.0, seconds):.1f} s"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
