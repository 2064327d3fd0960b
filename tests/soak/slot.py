"""The exporter's slot at the full server, as the server itself tells it over a connection of ours."""

from collections.abc import Iterator

import redis

from tests.soak.members import FULL, MEMBERS, SHORT_GRACE
from tests.soak.watch import Glance

# The next poll connects, and there is room for it; one more may have been under way.
BACK_ALLOWED = SHORT_GRACE + 2.0
(_MEMBER,) = (member for member in MEMBERS if member.name == FULL)


class Slot:
    """Which of the server's clients is the exporter, and whether it still is the same.

    `vacant`: the exporter has no slot now, because the proxy reset it or, which is a failure, it lost it.
    """

    def __init__(self, control: redis.Redis) -> None:
        self._control = control
        self._id = ""
        self._gone_since = 0.0
        self._taken_at = 0.0
        self._connects: tuple[str, float] | None = None
        self._overdue = False
        self.vacant = True
        self.resets = self.losses = 0
        self.slowest_return = 0.0

    def was_reset(self, moment: float) -> None:
        """Expect another client from now on (monotonic)."""
        self.resets += 1
        self._leave(moment)

    def look(self, seen: Glance) -> Iterator[str]:
        """Ask the server, which must not be stalled, and say what is wrong."""
        rows = self._control.client_list()
        ids = {row["id"] for row in rows if row["user"] == _MEMBER.user}
        if self.vacant:
            yield from self._look_for_another(ids, seen)
        elif self._id not in ids:
            self.losses += 1
            self._leave(seen.moment)
            yield f"the slot at the full server is lost: client {self._id} is gone, and nobody reset it"
        else:
            yield from self._count_attempts(seen)

    def _leave(self, moment: float) -> None:
        self.vacant, self._overdue = True, False
        self._gone_since = moment

    def _look_for_another(self, ids: set[str], seen: Glance) -> Iterator[str]:
        waited = seen.moment - self._gone_since
        others = sorted(ids - {self._id}, key=int)
        if others:
            if self._id:
                self.slowest_return = max(self.slowest_return, waited)
            self._id, self._taken_at, self._connects = others[-1], seen.now, None
            self.vacant = False
        elif self._id and waited > BACK_ALLOWED and not self._overdue:
            self._overdue = True
            yield f"the exporter is not back at the full server, which has room, after {waited:.1f} s"

    def _count_attempts(self, seen: Glance) -> Iterator[str]:
        """Say when it tried to connect although it is connected; a new name may begin to count anew."""
        for name in _MEMBER.names:
            if seen.success.get(name, 0.0) <= self._taken_at:
                continue
            now = seen.connects.get(name, 0.0)
            if self._connects is not None and self._connects[0] == name and now > self._connects[1]:
                more = now - self._connects[1]
                yield f"{more:g} attempts to connect to the full server while the exporter has its slot there"
            self._connects = name, now
