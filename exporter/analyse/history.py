"""One server's lists, one after the other: what only a comparison of them tells."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from exporter.analyse import verdict
from exporter.analyse.bounds import Bounds
from exporter.analyse.churn import Churn
from exporter.analyse.evidence import Findings, look
from exporter.analyse.groups import Tally
from exporter.analyse.holders import Instances
from exporter.analyse.lives import Lives
from exporter.analyse.members import Members
from exporter.analyse.reaping import Reaping
from exporter.analyse.top import OTHER
from exporter.analyse.trends import RECENT_SECONDS, Sample, Trends
from exporter.limits import LARGEST_APPS_SHOWN, LEAKING_APPS_SHOWN
from exporter.model import AppClients, ClientGroups, ClientState, ServerInfo
from exporter.verdicts import AppTrend, Evidence, Instance, Verdict

_QUIET_SECONDS = 30.0  # after which a connection may be lost; a shorter stale_after makes it less
_QUIET_AT_FIRST_SECONDS = 60.0
_SHARE_THAT_TELLS = 0.5  # of the connections that were opened
_NEARLY = 0.8
_NO_EVIDENCE: Mapping[Evidence, int] = {}  # of most apps
_JUST_NOW_SECONDS = 120.0  # samples are a minute apart


class History:
    """Remembers the last list of a server and what the earlier ones said.

    `groups` are the bounded groups of the newest list, `folded` how many connections of each cut are in its
    other, `trends` what is to be said of each app, `suspected` the positions in it of who may be lost.
    """

    def __init__(self, stale_after: float, top: int) -> None:
        self.bounds = Bounds(top)
        self.churn = Churn()
        self.groups: ClientGroups
        self.folded: Mapping[str, int] = {}
        self.trends: Mapping[str, AppTrend] = {}
        self.suspected: Collection[int] = ()
        self._stale_after = stale_after
        self._lives = Lives()
        self._trends = Trends()
        self._reaping = Reaping()
        self._instances = Instances()
        self._uptime, self._run_id = 0, ""
        self._begun_at: float | None = None
        self._worst_before: Mapping[str, str] = {}

    @property
    def ids(self) -> Sequence[bytes]:
        """The client ids of the newest list."""
        return self._lives.members.ids

    def apps_by_id(self) -> Iterator[tuple[bytes, str]]:
        """The client ids of the newest list, each with the label of its app."""
        members = self._lives.members
        for client, app in zip(members.ids, members.apps, strict=True):
            yield client, self.bounds.label(app)

    def take(self, tally: Tally, info: ServerInfo, ours: int, now: float) -> Iterator[None]:
        """Take the next list, made at a moment (monotonic), in short steps; `ours` are our new connections.

        At the end `groups`, `folded` and `trends` are of that list.
        """
        groups = tally.groups()
        members = tally.members()
        yield
        self.groups, self.folded = self.bounds.bound(groups, now)
        yield
        yield from self._compare(members, info, ours, now)
        yield from self._judge(self.groups, members, now)

    def _compare(self, members: Members, info: ServerInfo, ours: int, now: float) -> Iterator[None]:
        """Count what came and went since the last list."""
        uptime, run_id = info.count(b"uptime_in_seconds") or 0, info.texts.get("run_id", "")
        # A clock that is set back takes the uptime with it, so it tells only where there is no run id.
        if run_id != self._run_id or (not run_id and uptime < self._uptime):  # its ids are other clients
            self.churn.start_anew(self._lives.apps, self.bounds.label)
            self._lives, self._reaping = Lives(), Reaping()
        self._uptime, self._run_id = uptime, run_id
        yield from self._lives.follow(members, now)
        self.churn.update(
            self._lives.apps_that_came if self._begun_at is not None else (),
            self._lives.apps_that_went,
            self.bounds.label,
            newborn=self._lives.newborn,
            received=info.count(b"total_connections_received"),
            ours=ours,
            now=now,
        )
        self._begun_at = now if self._begun_at is None else self._begun_at
        yield

    def _judge(self, groups: ClientGroups, members: Members, now: float) -> Iterator[None]:
        """Find what is to be said of each app of the bounded groups."""
        label, labels = self.bounds.label, tuple(groups.apps)
        found = Findings()
        quiet = partial(self._quiet_seconds, now)
        begun = now if self._begun_at is None else self._begun_at
        recent = min(RECENT_SECONDS, now - begun + members.since)  # before, nobody saw what was used
        yield from look(found, self._lives, label, quiet=quiet, recent=recent)
        yield
        needed = _relabel(members.needed, label)
        samples = {
            name: Sample(app.total, needed.get(name, 0), found.widest(name), self.churn.opened[name])
            for name, app in groups.apps.items()
        }
        self._trends.update(samples, now)
        self.churn.forget(frozenset([*labels, OTHER]))
        yield
        closed, longest = self._lives.closed_after(label), members.longest_idle
        for name, count in self._reaping.update(closed, longest, members.since, now).items():
            found.count(name, Evidence.REAPED_BY_TIMEOUT, count)
        trends = {name: self._trend(name, groups.apps[name], found, now) for name in labels}
        yield
        self.suspected = found.suspected
        self.trends = self._with_instances(trends, groups, found)
        self._lives.let_go()

    def _trend(self, name: str, app: AppClients, found: Findings, now: float) -> AppTrend:
        trend = self._trends[name]
        watched = now - trend.since
        gained = min(found.opened[name], trend.gained(RECENT_SECONDS))
        unused = verdict.opened_and_unused(gained, trend.needed_recently)
        growth = trend.growth if trend.grows else {}
        needless = verdict.growth_without_need(growth, trend.busy_growth, trend.widest_growth)
        found.count(name, Evidence.OPENED_AND_UNUSED, unused)
        found.count(name, Evidence.GROWTH_WITHOUT_NEED, needless)
        evidence: Mapping[Evidence, int] = found.evidence.get(name, {})
        facts = verdict.Facts(
            total=app.total,
            blocked=app.states.get(ClientState.BLOCKED, 0),
            needed_peak=trend.needed_peak,
            watched=watched,
            came=trend.opened_since(now - RECENT_SECONDS) if self._sees_churn() else 0,
            came_just_now=trend.opened_since(now - _JUST_NOW_SECONDS),
            growth=growth,
            evidence=evidence,
        )
        return AppTrend(
            opened=self.churn.opened[name],
            closed=self.churn.closed[name],
            suspected=found.suspected_of[name],
            needed=trend.needed,
            needed_peak=trend.needed_peak,
            growth=trend.growth,
            busy_growth=trend.busy_growth,
            verdict=verdict.judge(facts) if name != OTHER else None,
            evidence={kind: evidence[kind] for kind in Evidence if kind in evidence} or _NO_EVIDENCE,
            recent=min(RECENT_SECONDS, watched + self._lives.members.since),
            opened_recently=gained,
            needed_recently=trend.needed_recently,
            pool=found.pools.get(name),
        )

    def _quiet_seconds(self, now: float, app: str) -> float:
        """For how long a connection of an app may at least be quiet.

        Longer, until its habits are known; a quarter of the server's timeout, where that closes them.
        """
        label = self.bounds.label(app)
        known = self._trends.watched(label, now) >= RECENT_SECONDS
        least = _QUIET_SECONDS if known else _QUIET_AT_FIRST_SECONDS
        return min(self._stale_after, least, self._reaping.timeout(label) / 4)

    def _sees_churn(self) -> bool:
        """Whether enough of the openings were seen to say whose they are."""
        return (self.churn.share_seen or 0.0) >= _SHARE_THAT_TELLS

    def _with_instances(
        self, trends: Mapping[str, AppTrend], groups: ClientGroups, found: Findings
    ) -> Mapping[str, AppTrend]:
        """Add the instances of the largest apps, and of those that leak."""
        by_size = sorted(trends, key=lambda name: (-groups.apps[name].total, name))
        leaking = [name for name in by_size if trends[name].verdict is Verdict.LEAKING and name != OTHER]
        leaking.sort(key=lambda name: -trends[name].suspected)
        shown = dict.fromkeys([*leaking[:LEAKING_APPS_SHOWN], *by_size[:LARGEST_APPS_SHOWN]])
        described = self._instances.describe(
            self._lives, {name: found.origins.get(name, ()) for name in shown}, found.suspected
        )
        worst = {name: self._worst(name, described[name]) for name in leaking[:LEAKING_APPS_SHOWN]}
        self._worst_before = {name: label for name, (label, _) in worst.items()}
        return {
            name: replace(trend, instances=described[name], worst=worst.get(name))
            if name in described
            else trend
            for name, trend in trends.items()
        }

    def _worst(self, name: str, instances: Sequence[Instance]) -> tuple[str, int]:
        """The instance that has lost most; the one of the last list, while it is nearly as bad."""
        before = self._worst_before.get(name)
        most = max(each.suspected for each in instances)
        near = [each for each in instances if each.suspected >= _NEARLY * most]
        chosen = next((each for each in near if each.label == before), None)
        chosen = chosen or max(near, key=lambda each: (each.suspected, each.open))
        return chosen.label, chosen.open


def _relabel(counts: Mapping[str, int], label: Callable[[str], str]) -> Mapping[str, int]:
    bounded: Counter[str] = Counter()
    for app, count in counts.items():
        bounded[label(app)] += count
    return bounded
