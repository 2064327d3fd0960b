"""How an app's connections develop over hours: the slopes of their number, and the peak of those in use."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exporter.limits import APP_PEAKS, APP_SAMPLES
from exporter.verdicts import Window

_SAMPLE_SECONDS = 60.0
SLOPE_WINDOW_SECONDS = APP_SAMPLES * _SAMPLE_SECONDS
_PEAK_STEP_SECONDS = 600.0
PEAK_WINDOW_SECONDS = APP_PEAKS * _PEAK_STEP_SECONDS
RECENT_SECONDS = 300.0
_GROWS_SECONDS = 120.0
_RECENT_SAMPLES = 7  # a minute apart, and the newest


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Change per second: the median of the slopes between each sample and the one half a series later.

    That is Theil's incomplete estimator (1950); a deploy or an outage that disturbs less than a quarter of
    the samples does not bend it, as it would a least-squares line.
    """
    half = len(times) // 2
    pairs = zip(times, times[half:], values, values[half:], strict=False)
    slopes = sorted((later - earlier) / (end - start) for start, end, earlier, later in pairs)
    return slopes[len(slopes) // 2]


# Most apps do not grow; they share what says so, by how many windows are known.
_SHARED_GROWTH: dict[tuple[float, ...], dict[Window, float]] = {}


class Sample(NamedTuple):
    """What a list says of an app: connections, those in use, those of its widest instance, all that came."""

    total: int
    needed: int
    widest: int
    opened: int


class Moments:
    """When the lists of a server were: each minute of the last hour, and the newest; its apps share them."""

    def __init__(self) -> None:
        self.told = array("d")

    def take(self, now: float) -> bool:
        """Take the moment of the next list (monotonic); whether it replaces the last one."""
        told = self.told
        replaces = len(told) > 1 and told[-1] < told[-2] + _SAMPLE_SECONDS
        if replaces:
            told.pop()
        del told[: bisect_right(told, now - SLOPE_WINDOW_SECONDS)]
        told.append(now)
        return replaces


class Trend:
    """One app: a sample each minute of the last hour, and the highest of each ten minutes of the last six.

    The numbers are packed (1.7 KB when all are there), because there is one of these per app and server.
    Growth is by window, from when that is half full.
    """

    __slots__ = (
        "_busy",
        "_lately",
        "_moments",
        "_needed_before",
        "_needed_lately",
        "_peaks",
        "_recent_step",
        "_step",
        "_totals",
        "busy_growth",
        "growth",
        "since",
    )

    def __init__(self, moments: Moments) -> None:
        self.since = moments.told[-1]
        self._moments = moments
        self._totals, self._busy = array("I"), array("I")
        self._lately = array("Q")  # of the last minutes: the widest instance and all that came, in turn
        self._peaks = array("I")  # of one step each, the last one that of `_step`
        self._step = -1
        self._needed_before = self._needed_lately = (
            0  # the most, in the five minutes before these and in these
        )
        self._recent_step = -1
        self.growth: Mapping[Window, float] = {}
        self.busy_growth: Mapping[Window, float] = {}

    def update(self, sample: Sample, *, replaces: bool) -> None:
        """Take what the list of the newest moment says; whether that replaces the last one."""
        now, needed = self._moments.told[-1], sample.needed
        self._note_peak(needed, int(now // _PEAK_STEP_SECONDS))
        self._note_recent(needed, int(now // RECENT_SECONDS))
        kept = len(self._moments.told)
        if replaces and self._totals:
            del self._totals[-1:], self._busy[-1:], self._lately[-2:]
        self._totals.append(sample.total)
        self._busy.append(needed)
        self._lately.extend((sample.widest, sample.opened))
        del self._totals[:-kept], self._busy[:-kept], self._lately[: -2 * min(kept, _RECENT_SAMPLES)]
        self.growth = self._growth(self._totals, now, self.growth)
        self.busy_growth = self._growth(self._busy, now, self.busy_growth)

    @property
    def _times(self) -> "array[float]":
        """The moments of its samples: the last of the server's, where it has not been there all the time."""
        told = self._moments.told
        return told if len(told) == len(self._totals) else told[-len(self._totals) :]

    def _growth(
        self, values: Sequence[int], now: float, known: Mapping[Window, float]
    ) -> dict[Window, float]:
        """The slope of each window that is half full; the long ones are reckoned anew each minute."""
        growth: dict[Window, float] = {}
        times = self._times
        is_new = len(times) == 1 or now >= times[-2] + _SAMPLE_SECONDS
        for window in Window:
            if now - times[0] < window.seconds / 2:
                break
            if window in known and window is not Window.SHORT and not is_new:
                growth[window] = known[window]
            else:
                first = bisect_left(times, now - window.seconds)
                if len(times) - first > 1:
                    growth[window] = slope(times[first:], values[first:])
        return (
            _SHARED_GROWTH.setdefault(tuple(growth.values()), growth) if not any(growth.values()) else growth
        )

    def _note_peak(self, needed: int, step: int) -> None:
        """Let the steps without a list have a peak of 0, and the oldest go."""
        passed = min(step - self._step, APP_PEAKS)
        self._peaks.extend([0] * passed)
        del self._peaks[:-APP_PEAKS]
        self._peaks[-1] = max(needed, self._peaks[-1])
        self._step = step

    def _note_recent(self, needed: int, step: int) -> None:
        if step != self._recent_step:
            self._needed_before = self._needed_lately if step == self._recent_step + 1 else 0
            self._needed_lately, self._recent_step = 0, step
        self._needed_lately = max(self._needed_lately, needed)

    @property
    def samples(self) -> int:
        """How many samples are kept."""
        return len(self._times)

    @property
    def needed(self) -> int:
        """How many connections were in use in the newest list."""
        return self._busy[-1]

    @property
    def needed_peak(self) -> int:
        """The most connections that were in use in one list."""
        return max(self._peaks, default=0)

    @property
    def needed_recently(self) -> int:
        """The most that were in use in one list of the last five to ten minutes."""
        return max(self._needed_before, self._needed_lately)

    @property
    def grows(self) -> bool:
        """Whether there are more connections than a while ago: one step long ago is no growth."""
        times = self._times
        a_while_ago = bisect_left(times, times[-1] - _GROWS_SECONDS)
        return self._totals[-1] > self._totals[a_while_ago]

    def gained(self, seconds: float) -> int:
        """How many connections there are more than so many seconds ago; all, where nobody looked then."""
        times = self._times
        first = bisect_right(times, times[-1] - seconds)
        return self._totals[-1] - (self._totals[first - 1] if first else 0)

    @property
    def widest_growth(self) -> Mapping[Window, float]:
        """Growth of the widest instance, over the shortest window."""
        widest = self._lately[::2]
        times = self._times[-len(widest) :]
        if times[-1] - times[0] < Window.SHORT.seconds / 2 or len(times) == 1:
            return {}
        return {Window.SHORT: slope(times, widest)}

    def opened_since(self, moment: float) -> int:
        """How many connections came since a moment of the last minutes, as far as lists saw them."""
        times = self._times
        first = bisect_left(times, moment) - len(times)
        opened = self._lately[1::2]
        return opened[-1] - opened[max(first, -len(opened))] if first < 0 else 0


class Trends:
    """The trend of each label that has a slot."""

    def __init__(self) -> None:
        self._trends: dict[str, Trend] = {}
        self._moments = Moments()

    def update(self, labels: Mapping[str, Sample], now: float) -> None:
        """Take what a list says of each label; one that is not there any more is forgotten."""
        replaces = self._moments.take(now)
        self._trends = {label: self._trends.get(label) or Trend(self._moments) for label in labels}
        for label, sample in labels.items():
            self._trends[label].update(sample, replaces=replaces)

    def watched(self, label: str, now: float) -> float:
        """For how long a label has been watched at a moment (monotonic)."""
        return now - self._trends[label].since if label in self._trends else 0.0

    def __getitem__(self, label: str) -> Trend:
        return self._trends[label]
