"""The metrics of CLIENT LIST: who holds the connections, what they do with them, and what asking costs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from exporter.analyse.groups import AGE_BUCKETS_SECONDS, IDLE_BUCKETS_SECONDS
from exporter.board import Watch
from exporter.metrics.spec import Buckets, Distributed, Family, Kind, Row, Rows
from exporter.model import AppClients, ClientState, Survey

_LISTED = "CLIENT LIST, our own connection left out, every clients.interval."
_ALWAYS = frozenset([ClientState.ACTIVE, ClientState.IDLE, ClientState.STALE])
_APPS, _TRENDS = attrgetter("groups.apps"), attrgetter("trends")


def _survey(watch: Watch) -> Survey | None:
    return watch.reading.clients if watch.reading is not None else None


class _Source(NamedTuple):
    """What feeds a family, and the part of the newest list that alone it is made of."""

    source: Rows | Distributed
    part: Callable[[Survey], object]


def _of(part: Callable[[Survey], Any], rows: Callable[[Any], Iterable[Row]]) -> _Source:
    def made(watch: Watch) -> Iterable[Row]:
        survey = _survey(watch)
        return rows(part(survey)) if survey is not None else ()

    return _Source(made, part)


def _listed(name: str, kind: Kind, meaning: str, source: _Source, labels: tuple[str, ...] = ()) -> Family:
    """A family that the newest list feeds."""
    return Family(name, kind, meaning, source.source, labels, depends_on=_survey, part=source.part)


def _states(apps: Mapping[str, AppClients]) -> Iterator[Row]:
    for name, app in apps.items():
        for state in ClientState:
            count = app.states.get(state, 0)
            if count or state in _ALWAYS:
                yield (name, state), count


def _by_label(path: str) -> _Source:
    """Numbers by a label."""
    return _of(attrgetter(path), lambda counts: (((label,), count) for label, count in counts.items()))


def _alone(path: str) -> _Source:
    """One number."""
    return _of(attrgetter(path), lambda number: [((), number)])


def _per_app(apps: Callable[[Survey], Any], attribute: str) -> _Source:
    """One number of each app, where it is known."""
    choose = attrgetter(attribute)

    def rows(apps: Mapping[str, object]) -> Iterator[Row]:
        for name, app in apps.items():
            number = choose(app)
            if number is not None:
                yield (name,), number

    return _of(apps, rows)


def _distributed(bounds: Sequence[int], path: str) -> _Source:
    """Counts by bucket, and the sum of all values."""
    part = attrgetter(path, f"{path}_sum")

    def buckets(watch: Watch) -> Buckets | None:
        survey = _survey(watch)
        return (bounds, *part(survey)) if survey is not None else None

    return _Source(Distributed(buckets), part)


def _waiting(watch: Watch) -> object:
    if watch.reading is None:
        return None
    count = watch.reading.info.count
    return count(b"blocked_clients"), count(b"clients_in_timeout_table")


def _without_timeout(watch: Watch) -> Iterator[Row]:
    """Blocked clients that are not in the table of timeouts (blocked.c, Redis 6.0)."""
    if watch.reading is not None:
        blocked = watch.reading.info.count(b"blocked_clients")
        with_timeout = watch.reading.info.count(b"clients_in_timeout_table")
        if blocked is not None and with_timeout is not None:
            yield (), max(0, blocked - with_timeout)


def _per_command(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None and (ratio := watch.pulse.opened_per_command) is not None:
        yield (), ratio


def _lifetime(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None and (seconds := watch.pulse.mean_lifetime) is not None:
        yield (), seconds


def _available(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None:
        yield (), int(watch.reading.clients is not None)


CLIENT_FAMILIES: tuple[Family, ...] = (
    _listed(
        "redis_app_connections",
        Kind.GAUGE,
        f"Connections by app and state; each is in one state, and all add up to the clients of {_LISTED}",
        _of(_APPS, _states),
        ("app", "state"),
    ),
    _listed(
        "redis_host_connections",
        Kind.GAUGE,
        f"Connections by the address that they come from. {_LISTED}",
        _by_label("groups.hosts"),
        ("host",),
    ),
    _listed(
        "redis_user_connections",
        Kind.GAUGE,
        f"Connections by ACL user (Redis 6.0, Valkey). {_LISTED}",
        _by_label("groups.users"),
        ("user",),
    ),
    _listed(
        "redis_library_connections",
        Kind.GAUGE,
        f"Connections by client library and its version (Redis 7.2, Valkey). {_LISTED}",
        _of(attrgetter("groups.libraries"), dict.items),
        ("library", "version"),
    ),
    _listed(
        "redis_command_connections",
        Kind.GAUGE,
        f"Connections by their last command; NULL never ran one. {_LISTED}",
        _by_label("groups.commands"),
        ("cmd",),
    ),
    _listed(
        "redis_db_connections",
        Kind.GAUGE,
        f"Connections by selected database. {_LISTED}",
        _by_label("groups.databases"),
        ("db",),
    ),
    _listed(
        "redis_nameless_connections",
        Kind.GAUGE,
        f"Connections without a name (CLIENT SETNAME). {_LISTED}",
        _alone("groups.nameless"),
    ),
    _listed(
        "redis_app_connections_opened_total",
        Kind.COUNTER,
        "Connections of the app that a list saw for the first time; redis_connections_unseen_total counts "
        "those that lived too shortly for that.",
        _per_app(_TRENDS, "opened"),
        ("app",),
    ),
    _listed(
        "redis_app_connections_closed_total",
        Kind.COUNTER,
        "Connections of the app that a list saw and the next one did not.",
        _per_app(_TRENDS, "closed"),
        ("app",),
    ),
    _listed(
        "redis_connections_unseen_total",
        Kind.COUNTER,
        "Connections that came and went between two lists: with redis_app_connections_opened_total and our "
        "own they make up redis_connections_received_total.",
        _alone("unseen"),
    ),
    _listed(
        "redis_app_suspected_leaked_connections",
        Kind.GAUGE,
        "Connections idle longer than clients.stale_after, with evidence that nobody will use them again: "
        "never used, commands counter stands still, or an open transaction or watch.",
        _per_app(_TRENDS, "suspected"),
        ("app",),
    ),
    _listed(
        "redis_app_connections_growth_per_second",
        Kind.GAUGE,
        "Growth of the app's connections over the last hour, in connections per second.",
        _per_app(_TRENDS, "growth"),
        ("app",),
    ),
    _listed(
        "redis_app_needed_connections_growth_per_second",
        Kind.GAUGE,
        "Growth of the app's connections in use over the last hour, in connections per second.",
        _per_app(_TRENDS, "busy_growth"),
        ("app",),
    ),
    _listed(
        "redis_app_needed_connections_peak",
        Kind.GAUGE,
        "Most connections that the app had in use in one list of the last 6 hours: blocked, subscribed, idle "
        "for less than a second, or commands counter moved since the list before.",
        _per_app(_TRENDS, "needed_peak"),
        ("app",),
    ),
    _listed(
        "redis_app_oldest_idle_seconds",
        Kind.GAUGE,
        f"Longest idle time of a connection of the app. {_LISTED}",
        _per_app(_APPS, "oldest_idle_seconds"),
        ("app",),
    ),
    _listed(
        "redis_app_memory_bytes",
        Kind.GAUGE,
        f"Memory that the server holds for the app's connections: tot-mem (Redis 6.0.9, Valkey). {_LISTED}",
        _per_app(_APPS, "memory_bytes"),
        ("app",),
    ),
    _listed(
        "redis_app_output_buffer_bytes",
        Kind.GAUGE,
        f"Memory that the server holds for replies that the app has not read: omem (all versions). {_LISTED}",
        _per_app(_APPS, "output_buffer_bytes"),
        ("app",),
    ),
    _listed(
        "redis_app_subscriptions",
        Kind.GAUGE,
        "Subscriptions of the app to channels, patterns and shard channels: sub + psub + ssub (all "
        f"versions). {_LISTED}",
        _per_app(_APPS, "subscriptions"),
        ("app",),
    ),
    _listed(
        "redis_client_idle_seconds",
        Kind.GAUGE_HISTOGRAM,
        f"Idle times of the clients that are there now. {_LISTED}",
        _distributed(IDLE_BUCKETS_SECONDS, "groups.idle_seconds"),
    ),
    _listed(
        "redis_client_age_seconds",
        Kind.GAUGE_HISTOGRAM,
        f"Ages of the connections that are there now. {_LISTED}",
        _distributed(AGE_BUCKETS_SECONDS, "groups.age_seconds"),
    ),
    _listed(
        "redis_blocked_connections",
        Kind.GAUGE,
        f"Connections that wait in a blocking command, by command. {_LISTED}",
        _by_label("groups.blocked"),
        ("cmd",),
    ),
    _listed(
        "redis_blocked_longest_seconds",
        Kind.GAUGE,
        f"Longest time for which a connection waits in a blocking command by now. {_LISTED}",
        _alone("groups.blocked_longest_seconds"),
    ),
    Family(
        "redis_blocked_clients_without_timeout",
        Kind.GAUGE,
        "Blocked clients that will wait for ever: INFO blocked_clients - clients_in_timeout_table (Redis "
        "6.0, Valkey), polled. Clients held by CLIENT PAUSE are among them.",
        _without_timeout,
        depends_on=_waiting,
    ),
    Family(
        "redis_connections_opened_per_command",
        Kind.GAUGE,
        "Connections opened per command processed over the last 5 minutes; near 1 somebody connects anew "
        "for every command.",
        _per_command,
        depends_on=lambda watch: watch.reading and watch.pulse.opened_per_command,
    ),
    Family(
        "redis_connection_mean_lifetime_seconds",
        Kind.GAUGE,
        "Mean lifetime of a connection by Little's law: clients over connections opened per second, in the "
        "last 5 minutes; absent when none was opened.",
        _lifetime,
        depends_on=lambda watch: watch.reading and watch.pulse.mean_lifetime,
    ),
    Family(
        "redis_connection_exporter_client_list_available",
        Kind.GAUGE,
        "Whether there is a list of the clients (1); 0 where CLIENT LIST is denied, unknown, overdue or off.",
        _available,
        depends_on=lambda watch: watch.reading and watch.reading.clients is not None,
    ),
    _listed(
        "redis_connection_exporter_client_list_timestamp_seconds",
        Kind.GAUGE,
        "Unix time of the newest list of the clients.",
        _alone("at"),
    ),
    _listed(
        "redis_connection_exporter_client_list_server_seconds",
        Kind.GAUGE,
        "Time of the server's main thread that the newest list took, all its commands together.",
        _alone("cost.total"),
    ),
    _listed(
        "redis_connection_exporter_client_list_longest_command_seconds",
        Kind.GAUGE,
        "Time of the server's main thread that the longest command of the newest list took: so long others "
        "waited.",
        _alone("cost.longest"),
    ),
    _listed(
        "redis_connection_exporter_client_list_commands",
        Kind.GAUGE,
        "Commands that the newest list took; more than 1 are batches of CLIENT LIST ID.",
        _alone("cost.commands"),
    ),
    _listed(
        "redis_connection_exporter_client_list_stretch_ratio",
        Kind.GAUGE,
        "How many times longer than clients.interval the time between two lists is, to keep to the budget.",
        _alone("cost.stretch"),
    ),
    _listed(
        "redis_connection_exporter_client_list_unreadable_rows",
        Kind.GAUGE,
        "Rows of the newest list that could not be read, and are counted nowhere else.",
        _alone("groups.unreadable"),
    ),
    _listed(
        "redis_connection_exporter_folded_connections",
        Kind.GAUGE,
        "Connections whose group is folded into other, by cut: of apps, hosts and so on only clients.top "
        "are named.",
        _by_label("folded"),
        ("cut",),
    ),
)
