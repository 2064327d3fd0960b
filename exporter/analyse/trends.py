"""How an app's connections develop over hours: the slope of their number, and the peak of those in use."""

from collections.abc import Iterable, Mapping, Sequence

from exporter.analyse.groups import Members
from exporter.analyse.states import is_quiet

SLOPE_WINDOW_SECONDS = 3600.0
PEAK_WINDOW_SECONDS = 6 * 3600.0

_SAMPLE_SECONDS = 60.0
_LEAST_SLOPE_SECONDS = 600.0
_PEAK_STEP_SECONDS = 600.0

Sample = tuple[float, int, int]


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
    """One app: a sample each minute of the last hour, and the highest of each ten minutes of the last six."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._peaks: dict[int, int] = {}
        self.growth: float | None = None
        self.busy_growth: float | None = None

    def update(self, total: int, needed: int, now: float) -> None:
        """Take what a list says, at a moment (monotonic)."""
        step = int(now // _PEAK_STEP_SECONDS)
        oldest = int((now - PEAK_WINDOW_SECONDS) // _PEAK_STEP_SECONDS)
        self._peaks = {at: peak for at, peak in self._peaks.items() if at > oldest}
        self._peaks[step] = max(needed, self._peaks.get(step, 0))
        if self._samples and now < self._samples[-1][0] + _SAMPLE_SECONDS:
            return
        self._samples = [each for each in self._samples if each[0] > now - SLOPE_WINDOW_SECONDS]
        self._samples.append((now, total, needed))
        if now - self._samples[0][0] >= _LEAST_SLOPE_SECONDS:
            times, totals, busy = zip(*self._samples, strict=True)
            self.growth, self.busy_growth = slope(times, totals), slope(times, busy)
        else:
            self.growth = self.busy_growth = None

    @property
    def needed_peak(self) -> int:
        """The most connections that were in use in one list."""
        return max(self._peaks.values(), default=0)


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
