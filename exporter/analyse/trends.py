"""How an app's connections develop over hours: the slope of their number, and the peak of those in use."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from exporter.analyse.groups import Members
from exporter.analyse.states import is_quiet
from exporter.limits import APP_PEAKS, APP_SAMPLES

_SAMPLE_SECONDS = 60.0
SLOPE_WINDOW_SECONDS = APP_SAMPLES * _SAMPLE_SECONDS
_LEAST_SLOPE_SECONDS = 600.0
_PEAK_STEP_SECONDS = 600.0
PEAK_WINDOW_SECONDS = APP_PEAKS * _PEAK_STEP_SECONDS


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Change per second: the median of the slopes between each sample and the one half a series later.

    That is Theil's incomplete estimator (1950); a deploy or an outage that disturbs less than a quarter of
    the samples does not bend it, as it would a least-squares line.
    """
    half = len(times) // 2
    pairs = zip(times, times[half:], values, values[half:], strict=False)
    slopes = sorted((later - earlier) / (end - start) for start, end, earlier, later in pairs)
    return slopes[len(slopes) // 2]


class Trend:
    """One app: a sample each minute of the last hour, and the highest of each ten minutes of the last six.

    The numbers are packed (1.4 KB when all are there), because there is one of these per app and server.
    """

    __slots__ = ("_busy", "_peaks", "_step", "_times", "_totals", "busy_growth", "growth")

    def __init__(self) -> None:
        self._times = array("d")
        self._totals, self._busy = array("I"), array("I")
        self._peaks = array("I")  # of one step each, the last one that of `_step`
        self._step = -1
        self.growth: float | None = None
        self.busy_growth: float | None = None

    def update(self, total: int, needed: int, now: float) -> None:
        """Take what a list says, at a moment (monotonic)."""
        self._note_peak(needed, int(now // _PEAK_STEP_SECONDS))
        if self._times and now < self._times[-1] + _SAMPLE_SECONDS:
            return
        gone = bisect_right(self._times, now - SLOPE_WINDOW_SECONDS)
        del self._times[:gone], self._totals[:gone], self._busy[:gone]
        self._times.append(now)
        self._totals.append(total)
        self._busy.append(needed)
        if now - self._times[0] >= _LEAST_SLOPE_SECONDS:
            self.growth, self.busy_growth = slope(self._times, self._totals), slope(self._times, self._busy)
        else:
            self.growth = self.busy_growth = None

    def _note_peak(self, needed: int, step: int) -> None:
        """Let the steps without a list have a peak of 0, and the oldest go."""
        passed = min(step - self._step, APP_PEAKS)
        self._peaks.extend([0] * passed)
        del self._peaks[:-APP_PEAKS]
        self._peaks[-1] = max(needed, self._peaks[-1])
        self._step = step

    @property
    def needed_peak(self) -> int:
        """The most connections that were in use in one list."""
        return max(self._peaks, default=0)


class Trends:
    """The trend of each label that has a slot."""

    def __init__(self) -> None:
        self._trends: dict[str, Trend] = {}

    def update(
        self, labels: Iterable[str], totals: Mapping[str, int], needed: Mapping[str, int], now: float
    ) -> None:
        """Take what a list says of each label; one that is not there any more is forgotten."""
        self._trends = {label: self._trends.get(label) or Trend() for label in labels}
        for label, trend in self._trends.items():
            trend.update(totals.get(label, 0), needed.get(label, 0), now)

    def __getitem__(self, label: str) -> Trend:
        return self._trends[label]


def count_moved(members: Members, before: Mapping[bytes, bytes]) -> Mapping[str, int]:
    """By app, the quiet connections whose commands counter moved since the last list."""
    moved: dict[str, int] = {}
    for client_id, commands in members.commands.items():
        if before.get(client_id, commands) != commands and is_quiet(members.doing[client_id][0]):
            app = members.apps[client_id]
            moved[app] = moved.get(app, 0) + 1
    return moved
