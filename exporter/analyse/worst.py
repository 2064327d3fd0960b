"""The worst value of the last minute, of values that come often."""

from exporter.analyse.slots import Samples, recent

WINDOW_SECONDS = 60.0
_COARSE_SECONDS = 1.0  # within which only the worst value is kept


class Worst:
    """Seconds of delay, each noted at a moment (monotonic)."""

    def __init__(self) -> None:
        self._samples: Samples = ()
        self._newest = (-WINDOW_SECONDS, 0.0)

    def note(self, now: float, delay: float) -> None:
        """Take one more; of a thousand a second nearly all go the short way."""
        at, most = self._newest
        if delay <= most and now < at + _COARSE_SECONDS:
            return
        self._newest = (now, delay)
        self._samples = recent(self._samples, now, delay, WINDOW_SECONDS)

    def of_last_minute(self, now: float) -> float:
        """The longest delay of the last minute; 0 without any."""
        return max((delay for at, delay in self._samples if at > now - WINDOW_SECONDS), default=0.0)
