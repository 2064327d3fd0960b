"""What a soak measured, what did not hold, and both in words."""

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.soak.members import AGE_ALLOWED
from tests.soak.watch import Holdings

MEMORY_GROWTH_ALLOWED = 0.05
MEMORY_ALLOWED = 200e6  # bytes, for 180 targets or less
_GROWN_UP, _LONG_ENOUGH = 240.0, 480.0  # seconds: from the fourth minute on, in a soak as long as that
_AROUND = 15.0
_FAILURES_SHOWN = 40


@dataclass
class Report:
    """Seconds since the start, bytes and counts. `failures` is empty when everything held."""

    seed: int
    seconds: float
    targets: int
    failures: list[tuple[float, str]] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)
    worst_age: tuple[float, str, float] = (0.0, "", 0.0)
    ages_measured: int = 0
    slowest_page: float = 0.0
    slowest_turn: float = 0.0
    stalls: list[float] = field(default_factory=list)
    full_stalls: int = 0
    resets: int = 0
    losses: int = 0
    slowest_return: float = 0.0
    refused: int = 0
    slowest_move: float = 0.0
    moves_followed: int = 0
    before: Holdings | None = None
    after: Holdings | None = None
    recovery: float = math.nan
    messages: Counter[str] = field(default_factory=Counter)

    def fail(self, at: float, text: str) -> None:
        """Note what did not hold, and when."""
        self.failures.append((at, text))

    @property
    def quarters(self) -> tuple[float, ...]:
        """The medians of memory in the quarters of the time; not a number where there is no sample."""
        return quarter_medians(self.memory, self.seconds)

    @property
    def growth_since_minute_four(self) -> float:
        """Of memory until the end, as a share; not a number where the soak is too short for it."""
        if self.seconds < _LONG_ENOUGH:
            return math.nan
        then, now = (_median_around(self.memory, at) for at in (_GROWN_UP, self.seconds - _AROUND))
        return now / then - 1

    def judge(self) -> None:
        """Hold the quarters of memory against each other, and see that the soak was one."""
        if self.full_stalls == 0:
            self.fail(self.seconds, "the full server never was full when it stalled")
        if not abs(_growth(self.quarters)) <= MEMORY_GROWTH_ALLOWED:
            self.fail(self.seconds, f"memory in the second half changed by {_growth(self.quarters):+.1%}")
        if abs(self.growth_since_minute_four) > MEMORY_GROWTH_ALLOWED:  # never, if it is not a number
            self.fail(self.seconds, f"memory since minute 4 changed by {self.growth_since_minute_four:+.1%}")
        if (most := max(size for _, size in self.memory)) > MEMORY_ALLOWED:
            self.fail(self.seconds, f"memory was {most / 1e6:.0f} MB of {MEMORY_ALLOWED / 1e6:.0f} allowed")

    def lines(self) -> Iterator[str]:
        """The report for people."""
        yield f"soak of {self.seconds:g} s, {self.targets} targets, SOAK_SEED={self.seed}"
        happened = ", ".join(f"{count} {what}" for what, count in sorted(self.happened.items()))
        yield f"  happened          {happened}"
        age, name, at = self.worst_age
        yield (
            f"  worst age         {age:.2f} s of {AGE_ALLOWED:g} allowed: {name} at {at:.0f} s "
            f"({self.ages_measured} ages of healthy targets)"
        )
        yield (
            f"  full server       {len(self.stalls)} stalls (longest {max(self.stalls, default=0):.1f} s, "
            f"{self.full_stalls} without a free slot; {self.refused} clients refused in all), "
            f"slot lost {self.losses} times, reset by the proxy {self.resets} times, back within "
            f"{self.slowest_return:.1f} s"
        )
        yield f"  name that moves   followed {self.moves_followed} times, within {self.slowest_move:.1f} s"
        memory = ", ".join(f"{median / 1e6:.1f}" for median in self.quarters)
        yield f"  memory, quarters  {memory} MB, {_growth(self.quarters):+.1%} in the second half"
        if not math.isnan(self.growth_since_minute_four):
            yield f"  since minute 4    {self.growth_since_minute_four:+.1%}"
        yield f"  after warm-up     {self.before}"
        yield f"  at the end        {self.after}, all targets ok {self.recovery:.1f} s after the last fault"
        yield f"  slowest page      {self.slowest_page:.2f} s; slowest look {self.slowest_turn:.2f} s late"
        for message, count in self.messages.most_common():
            yield f"  log {count:6d}        {message}"
        for moment, text in self.failures[:_FAILURES_SHOWN]:
            yield f"  FAILED at {moment:5.1f} s  {text}"
        if len(self.failures) > _FAILURES_SHOWN:
            yield f"  and {len(self.failures) - _FAILURES_SHOWN} failures more"
        yield "everything held" if not self.failures else f"{len(self.failures)} failures"


def quarter_medians(samples: Sequence[tuple[float, float]], seconds: float) -> tuple[float, ...]:
    """The median of the samples (second, value) in each quarter of the time; not a number without one."""
    quarters = ([value for at, value in samples if int(4 * at / seconds) == number] for number in range(4))
    return tuple(statistics.median(values or [math.nan]) for values in quarters)


def _median_around(samples: Sequence[tuple[float, float]], moment: float) -> float:
    near = [value for at, value in samples if abs(at - moment) <= _AROUND]
    return statistics.median(near or [math.nan])


def _growth(quarters: Sequence[float]) -> float:
    return quarters[3] / quarters[2] - 1
