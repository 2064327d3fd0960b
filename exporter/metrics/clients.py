"""The metrics of CLIENT LIST: hosts, users, commands and times of all clients, and what asking costs."""

from collections.abc import Iterator
from operator import attrgetter

from exporter.analyse.groups import AGE_BUCKETS_SECONDS, IDLE_BUCKETS_SECONDS
from exporter.board import Watch
from exporter.metrics.listed import LISTED, alone, by_label, distributed, listed, of
from exporter.metrics.spec import Family, Kind, Row


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


def _mean_lifetime(watch: Watch) -> float | None:
    """Little's law knows a mean of a few minutes only: nothing lives longer than its server."""
    if watch.reading is None or (seconds := watch.pulse.mean_lifetime) is None:
        return None
    uptime = watch.reading.info.count(b"uptime_in_seconds")
    return seconds if uptime is None else min(seconds, uptime)


def _lifetime(watch: Watch) -> Iterator[Row]:
    if (seconds := _mean_lifetime(watch)) is not None:
        yield (), seconds


def _available(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None:
        yield (), int(watch.reading.clients is not None)


CLIENT_FAMILIES: tuple[Family, ...] = (
    listed(
        "redis_host_connections",
        Kind.GAUGE,
        f"Connections by the address that they come from. {LISTED}",
        by_label("groups.hosts"),
        ("host",),
    ),
    listed(
        "redis_user_connections",
        Kind.GAUGE,
        f"Connections by ACL user (Redis 6.0, Valkey). {LISTED}",
        by_label("groups.users"),
        ("user",),
    ),
    listed(
        "redis_library_connections",
        Kind.GAUGE,
        f"Connections by client library and its version (Redis 7.2, Valkey). {LISTED}",
        of(attrgetter("groups.libraries"), dict.items),
        ("library", "version"),
    ),
    listed(
        "redis_command_connections",
        Kind.GAUGE,
        f"Connections by their last command; NULL never ran one. {LISTED}",
        by_label("groups.commands"),
        ("cmd",),
    ),
    listed(
        "redis_db_connections",
        Kind.GAUGE,
        f"Connections by selected database. {LISTED}",
        by_label("groups.databases"),
        ("db",),
    ),
    listed(
        "redis_nameless_connections",
        Kind.GAUGE,
        f"Connections without a name (CLIENT SETNAME). {LISTED}",
        alone("groups.nameless"),
    ),
    listed(
        "redis_connections_unseen_total",
        Kind.COUNTER,
        "Connections that came and went between two lists: with redis_app_connections_opened_total and our "
        "own they make up redis_connections_received_total.",
        alone("unseen"),
    ),
    listed(
        "redis_connections_seen_ratio",
        Kind.GAUGE,
        "Share of the connections opened in the last 5 minutes that a list saw; where it is small, opened "
        "connections by app do not tell who opens them. Absent when none was opened.",
        of(attrgetter("share_seen"), lambda share: [] if share is None else [((), share)]),
    ),
    listed(
        "redis_client_idle_seconds",
        Kind.GAUGE_HISTOGRAM,
        f"Idle times of the clients that are there now. {LISTED}",
        distributed(IDLE_BUCKETS_SECONDS, "groups.idle_seconds"),
    ),
    listed(
        "redis_client_age_seconds",
        Kind.GAUGE_HISTOGRAM,
        f"Ages of the connections that are there now. {LISTED}",
        distributed(AGE_BUCKETS_SECONDS, "groups.age_seconds"),
    ),
    listed(
        "redis_blocked_connections",
        Kind.GAUGE,
        f"Connections that wait in a blocking command, by command. {LISTED}",
        by_label("groups.blocked"),
        ("cmd",),
    ),
    listed(
        "redis_blocked_longest_seconds",
        Kind.GAUGE,
        f"Longest time for which a connection waits in a blocking command by now. {LISTED}",
        alone("groups.blocked_longest_seconds"),
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
        "last 5 minutes, and at most the server's uptime; absent when none was opened.",
        _lifetime,
        depends_on=_mean_lifetime,
    ),
    Family(
        "redis_connection_exporter_client_list_available",
        Kind.GAUGE,
        "Whether there is a list of the clients (1); 0 where CLIENT LIST is denied, unknown, overdue or off.",
        _available,
        depends_on=lambda watch: watch.reading and watch.reading.clients is not None,
    ),
    listed(
        "redis_connection_exporter_client_list_timestamp_seconds",
        Kind.GAUGE,
        "Unix time of the newest list of the clients.",
        alone("at"),
    ),
    listed(
        "redis_connection_exporter_client_list_server_seconds",
        Kind.GAUGE,
        "Time of the server's main thread that the newest list took, all its commands together.",
        alone("cost.total"),
    ),
    listed(
        "redis_connection_exporter_client_list_longest_command_seconds",
        Kind.GAUGE,
        "Time of the server's main thread that the longest command of the newest list took: so long others "
        "waited.",
        alone("cost.longest"),
    ),
    listed(
        "redis_connection_exporter_client_list_commands",
        Kind.GAUGE,
        "Commands that the newest list took; more than 1 are batches of CLIENT LIST ID.",
        alone("cost.commands"),
    ),
    listed(
        "redis_connection_exporter_client_list_stretch_ratio",
        Kind.GAUGE,
        "How many times longer than clients.interval the time between two lists is, to keep to the budget.",
        alone("cost.stretch"),
    ),
    listed(
        "redis_connection_exporter_client_list_unreadable_rows",
        Kind.GAUGE,
        "Rows of the newest list that could not be read, and are counted nowhere else.",
        alone("groups.unreadable"),
    ),
    listed(
        "redis_connection_exporter_folded_connections",
        Kind.GAUGE,
        "Connections whose group is folded into other, by cut: of apps, hosts and so on only clients.top "
        "are named.",
        by_label("folded"),
        ("cut",),
    ),
)
