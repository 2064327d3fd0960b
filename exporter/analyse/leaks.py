"""Which stale connections are suspected to be leaked, by what several lists tell."""

from collections import Counter
from collections.abc import Mapping

from exporter.analyse.groups import Members


class Leaks:
    """Remembers since when a connection is stale, and its commands counter then.

    The counter (`tot-cmds`, Redis 8.2 and Valkey 8.0) tells a connection on which nothing runs from one
    that a keep-alive keeps young in `idle`; where it stood still for another `stale_after`, that is evidence.
    """

    def __init__(self, stale_after: float) -> None:
        self._stale_after = stale_after
        self._since: dict[bytes, tuple[float, bytes]] = {}

    def update(self, members: Members, now: float) -> Mapping[str, int]:
        """Suspected connections by app after a list, at a moment (monotonic)."""
        suspected = Counter(members.suspected.values())
        since: dict[bytes, tuple[float, bytes]] = {}
        for client_id, (app, commands) in members.stale.items():
            first = self._since.get(client_id)
            since[client_id] = first if first is not None and first[1] == commands else (now, commands)
            if now - since[client_id][0] >= self._stale_after:
                suspected[app] += 1
        self._since = since
        return suspected
