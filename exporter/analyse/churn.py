"""Connections opened and closed per app, from the client ids of one list and the next."""

from collections import Counter, deque
from collections.abc import Callable, Iterable

Label = Callable[[str], str]

_SHARE_SECONDS = 300.0
_STEP_SECONDS = 30.0


class Churn:
    """Counts per label of an app. What came and went between two lists is in neither: that is `unseen`.

    Client ids are never given twice while a server runs (server.c, next_client_id).
    """

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.unseen = 0
        self._received: int | None = None
        self._balance = 0
        self._newborn = 0
        # Moments, and how many connections were seen and unseen until then.
        self._steps: deque[tuple[float, int, int]] = deque(maxlen=int(_SHARE_SECONDS / _STEP_SECONDS) + 1)
        self._seen = 0

    def start_anew(self, closed: Iterable[str], label: Label) -> None:
        """Take note that another server answers: whatever was open, of these apps, is closed."""
        self.closed.update(map(label, closed))
        self._received, self._balance, self._newborn = None, 0, 0

    def update(  # noqa: PLR0913  what a list and INFO tell
        self,
        came: Iterable[str],
        gone: Iterable[str],
        label: Label,
        *,
        newborn: int,
        received: int | None,
        ours: int,
        now: float,
    ) -> None:
        """Take the next list: the apps of the connections that came and went, and INFO's counter of all.

        `newborn` have come too, but are counted when they have had the time to say their names; `ours` is how
        many of those that came are our own, `now` the moment of the list (monotonic).
        """
        opened = Counter(map(label, came))
        self.opened.update(opened)
        self.closed.update(map(label, gone))
        self._reconcile(opened.total() + newborn - self._newborn + ours, received)
        self._newborn = newborn
        self._received = received
        self._seen += opened.total()
        if not self._steps or now - self._steps[-1][0] >= _STEP_SECONDS:
            self._steps.append((now, self._seen, self.unseen))

    @property
    def share_seen(self) -> float | None:
        """Of the connections opened in the last five minutes, the share that a list saw; None of none."""
        if not self._steps:
            return None
        _, seen, unseen = self._steps[0]
        came, missed = self._seen - seen, self.unseen - unseen
        return came / (came + missed) if came + missed else None

    def _reconcile(self, known: int, received: int | None) -> None:
        """Find how many connections no list saw; what a list saw before INFO counted it is set off later."""
        if received is None or self._received is None or received < self._received:  # CONFIG RESETSTAT
            self._balance = 0
            return
        self._balance += received - self._received - known
        if self._balance > 0:
            self.unseen += self._balance
            self._balance = 0

    def forget(self, labels: frozenset[str]) -> None:
        """Keep the counts of these labels only: a label that has lost its slot starts anew."""
        for counts in (self.opened, self.closed):
            for label in counts.keys() - labels:
                del counts[label]
