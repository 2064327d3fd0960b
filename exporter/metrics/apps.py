"""The metrics of CLIENT LIST by app: who holds the connections, what they do, and whether they leak."""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter

from exporter.metrics.listed import LISTED, Source, listed, of, per_app
from exporter.metrics.spec import Family, Kind, Row
from exporter.model import AppClients, ClientState
from exporter.verdicts import AppTrend, Window

_ALWAYS = frozenset([ClientState.ACTIVE, ClientState.IDLE, ClientState.STALE])
_APPS, _TRENDS = attrgetter("groups.apps"), attrgetter("trends")


def _states(apps: Mapping[str, AppClients]) -> Iterator[Row]:
    for name, app in apps.items():
        for state in ClientState:
            count = app.states.get(state, 0)
            if count or state in _ALWAYS:
                yield (name, state), count


def _verdicts(trends: Mapping[str, AppTrend]) -> Iterator[Row]:
    for name, trend in trends.items():
        if trend.verdict is not None:
            yield (name, trend.verdict), 1


def _evidence(trends: Mapping[str, AppTrend]) -> Iterator[Row]:
    for name, trend in trends.items():
        for evidence, number in trend.evidence.items():
            yield (name, evidence), number


def _worst(trends: Mapping[str, AppTrend]) -> Iterator[Row]:
    for name, trend in trends.items():
        if trend.worst is not None:
            yield (name, trend.worst[0]), trend.worst[1]


def _growth(attribute: str) -> Source:
    choose: Callable[[AppTrend], Mapping[Window, float]] = attrgetter(attribute)

    def rows(trends: Mapping[str, AppTrend]) -> Iterator[Row]:
        for name, trend in trends.items():
            for window, growth in choose(trend).items():
                yield (name, window), growth

    return of(_TRENDS, rows)


APP_FAMILIES: tuple[Family, ...] = (
    listed(
        "redis_app_connections",
        Kind.GAUGE,
        f"Connections by app and state; each is in one state, and all add up to the clients of {LISTED}",
        of(_APPS, _states),
        ("app", "state"),
    ),
    listed(
        "redis_app_connections_opened_total",
        Kind.COUNTER,
        "Connections of the app that a list saw for the first time; redis_connections_unseen_total counts "
        "those that lived too shortly for that.",
        per_app(_TRENDS, "opened"),
        ("app",),
    ),
    listed(
        "redis_app_connections_closed_total",
        Kind.COUNTER,
        "Connections of the app that a list saw and the next one did not.",
        per_app(_TRENDS, "closed"),
        ("app",),
    ),
    listed(
        "redis_app_suspected_leaked_connections",
        Kind.GAUGE,
        "Connections with evidence that nobody will use them again: left behind (quiet, while their process "
        "opened others one after the other), or held in an open transaction or watch for longer than "
        "clients.stale_after.",
        per_app(_TRENDS, "suspected"),
        ("app",),
    ),
    listed(
        "redis_app_verdict",
        Kind.GAUGE,
        "What the app does with its connections (1 for the present verdict): healthy, oversized, leaking, "
        "growing, churning, waiting, or unknown while too little was seen, or what speaks for a leak is no "
        "proof yet.",
        of(_TRENDS, _verdicts),
        ("app", "verdict"),
    ),
    listed(
        "redis_app_leak_evidence_connections",
        Kind.GAUGE,
        "Connections that speak for a leak, by evidence, where there is any; redis_app_verdict says what "
        "follows from it.",
        of(_TRENDS, _evidence),
        ("app", "evidence"),
    ),
    listed(
        "redis_app_worst_instance_connections",
        Kind.GAUGE,
        "Connections of the instance (client name, or host of nameless clients) with the most suspected "
        "leaks, of at most 5 leaking apps. Prometheus calls its label exported_instance, unless "
        "honor_labels is set.",
        of(_TRENDS, _worst),
        ("app", "instance"),
    ),
    listed(
        "redis_app_pool_max_connections",
        Kind.GAUGE,
        "Size of the app's pools together, where its clients' names tell it (orders@pool=20).",
        per_app(_TRENDS, "pool"),
        ("app",),
    ),
    listed(
        "redis_app_connections_growth_per_second",
        Kind.GAUGE,
        "Growth of the app's connections over a window, in connections per second; from when it is half "
        "full.",
        _growth("growth"),
        ("app", "window"),
    ),
    listed(
        "redis_app_needed_connections_growth_per_second",
        Kind.GAUGE,
        "Growth of the app's connections in use over a window, in connections per second; from when it is "
        "half full.",
        _growth("busy_growth"),
        ("app", "window"),
    ),
    listed(
        "redis_app_needed_connections_peak",
        Kind.GAUGE,
        "Most connections that the app had in use in one list of the last 6 hours: blocked, subscribed, or "
        "used since the list before; pings, handshakes, INFO and CLIENT are no use.",
        per_app(_TRENDS, "needed_peak"),
        ("app",),
    ),
    listed(
        "redis_app_oldest_idle_seconds",
        Kind.GAUGE,
        f"Longest idle time of a connection of the app. {LISTED}",
        per_app(_APPS, "oldest_idle_seconds"),
        ("app",),
    ),
    listed(
        "redis_app_memory_bytes",
        Kind.GAUGE,
        f"Memory that the server holds for the app's connections: tot-mem (Redis 6.0.9, Valkey). {LISTED}",
        per_app(_APPS, "memory_bytes"),
        ("app",),
    ),
    listed(
        "redis_app_output_buffer_bytes",
        Kind.GAUGE,
        f"Memory that the server holds for replies that the app has not read: omem (all versions); absent "
        f"where there are none. {LISTED}",
        per_app(_APPS, "output_buffer_bytes", least=1),
        ("app",),
    ),
    listed(
        "redis_app_subscriptions",
        Kind.GAUGE,
        "Subscriptions of the app to channels, patterns and shard channels: sub + psub + ssub (all "
        f"versions); absent where there are none. {LISTED}",
        per_app(_APPS, "subscriptions", least=1),
        ("app",),
    ),
)
