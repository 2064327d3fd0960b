"""Connections opened and closed per app, from the client ids of one list and the next."""

from collections import Counter
from collections.abc import Callable, Mapping

Label = Callable[[str], str]


class Churn:
    """Counts per label of an app. What came and went between two lists is in neither: that is `unseen`.

    Client ids are never given twice while a server runs (server.c, next_client_id).
    """

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        self.closed: Counter[str] = Counter()
        self.unseen = 0
        self._apps: Mapping[bytes, str] | None = None
        self._received: int | None = None
        self._balance = 0

    def update(
        self,
        apps: Mapping[bytes, str],
        label: Label,
        *,
        received: int | None,
        ours: int,
        another_server: bool,
    ) -> None:
        """Take the next list: the app of each client id, and INFO's total_connections_received.

        `ours` is how many of those were our own since the last list. After a restart or a failover nothing
        that was open then is open now. The first list only sets the start.
        """
        if self._apps is not None:
            # Quicker than a difference of keys, which makes a set of all of them first.
            before: Mapping[bytes, str] = {} if another_server else self._apps
            after: Mapping[bytes, str] = {} if another_server else apps
            came = [each for each in apps if each not in before]
            gone = [each for each in self._apps if each not in after]
            self.opened.update(label(apps[each]) for each in came)
            self.closed.update(label(self._apps[each]) for each in gone)
            self._reconcile(len(came) + ours, None if another_server else received)
        self._apps, self._received = apps, received

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
