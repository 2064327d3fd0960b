"""One server's lists, one after the other: what only a comparison of them tells."""

from collections import Counter
from collections.abc import Callable, Mapping

from exporter.analyse.bounds import Bounds
from exporter.analyse.churn import Churn
from exporter.analyse.groups import Members
from exporter.analyse.leaks import Leaks
from exporter.analyse.top import OTHER
from exporter.analyse.trends import Trends, count_moved
from exporter.model import AppTrend, ClientGroups, ClientState, ServerInfo

_IDLE = (ClientState.IDLE, ClientState.STALE)


class History:
    """Remembers the last list of a server and what the earlier ones said."""

    def __init__(self, stale_after: float, top: int) -> None:
        self.bounds = Bounds(top)
        self.churn = Churn()
        self._stale_after = stale_after
        self._leaks = Leaks(stale_after)
        self._trends = Trends()
        self._commands: Mapping[bytes, bytes] = {}
        self._uptime, self._run_id = 0, ""

    def compare(self, members: Members, info: ServerInfo, ours: int) -> None:
        """Count what came and went since the last list; `ours` of it were our own connections."""
        uptime, run_id = info.count(b"uptime_in_seconds") or 0, info.texts.get("run_id", "")
        # A clock that is set back takes the uptime with it, so it tells only where there is no run id.
        another_server = run_id != self._run_id or (not run_id and uptime < self._uptime)
        if another_server:  # its ids are other clients
            self._leaks, self._commands = Leaks(self._stale_after), {}
        self.churn.update(
            members.apps,
            self.bounds.label,
            received=info.count(b"total_connections_received"),
            ours=ours,
            another_server=another_server,
        )
        self._uptime, self._run_id = uptime, run_id

    def judge(self, groups: ClientGroups, members: Members, now: float) -> Mapping[str, AppTrend]:
        """What is to be said of each app of the bounded groups, at a moment (monotonic)."""
        label = self.bounds.label
        labels = tuple(groups.apps)
        suspected = _relabel(self._leaks.update(members, now), label)
        moved = _relabel(count_moved(members, self._commands), label)
        self._commands = members.commands
        needed = {
            name: sum(count for state, count in app.states.items() if state not in _IDLE) + moved.get(name, 0)
            for name, app in groups.apps.items()
        }
        self._trends.update(labels, {name: app.total for name, app in groups.apps.items()}, needed, now)
        self.churn.forget(frozenset([*labels, OTHER]))
        return {name: self._trend(name, suspected.get(name, 0)) for name in labels}

    def _trend(self, name: str, suspected: int) -> AppTrend:
        trend = self._trends[name]
        return AppTrend(
            opened=self.churn.opened[name],
            closed=self.churn.closed[name],
            suspected=suspected,
            needed_peak=trend.needed_peak,
            growth=trend.growth,
            busy_growth=trend.busy_growth,
        )


def _relabel(counts: Mapping[str, int], label: Callable[[str], str]) -> Mapping[str, int]:
    bounded: Counter[str] = Counter()
    for app, count in counts.items():
        bounded[label(app)] += count
    return bounded
