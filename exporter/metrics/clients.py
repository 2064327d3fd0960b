"""The metrics of CLIENT LIST: who holds the connections, what they do with them, and what asking costs."""

from collections.abc import Callable, Iterator, Mapping

from exporter.analyse.groups import AGE_BUCKETS_SECONDS, IDLE_BUCKETS_SECONDS
from exporter.board import Watch
from exporter.metrics.spec import Buckets, Distributed, Family, Kind, Row, Rows
from exporter.model import AppClients, AppTrend, ClientGroups, ClientState, Survey

_LISTED = "CLIENT LIST, our own connection left out, every clients.interval."
_ALWAYS = frozenset([ClientState.ACTIVE, ClientState.IDLE, ClientState.STALE])


def _survey(watch: Watch) -> Survey | None:
    return watch.reading.clients if watch.reading is not None else None


def _app_connections(watch: Watch) -> Iterator[Row]:
    survey = _survey(watch)
    for name, app in survey.groups.apps.items() if survey is not None else ():
        for state in ClientState:
            count = app.states.get(state, 0)
            if count or state in _ALWAYS:
                yield (name, state), count


def _cut(choose: Callable[[ClientGroups], Mapping[str, int]]) -> Rows:
    def rows(watch: Watch) -> Iterator[Row]:
        survey = _survey(watch)
        for label, count in choose(survey.groups).items() if survey is not None else ():
            yield (label,), count

    return rows


def _libraries(watch: Watch) -> Iterator[Row]:
    survey = _survey(watch)
    if survey is not None:
        yield from survey.groups.libraries.items()


def _number(choose: Callable[[Survey], float | None]) -> Rows:
    def rows(watch: Watch) -> Iterator[Row]:
        survey = _survey(watch)
        if survey is not None and (number := choose(survey)) is not None:
            yield (), number

    return rows


def _per_app(choose: Callable[[AppClients], int | None]) -> Rows:
    def rows(watch: Watch) -> Iterator[Row]:
        survey = _survey(watch)
        for name, app in survey.groups.apps.items() if survey is not None else ():
            number = choose(app)
            if number is not None:
                yield (name,), number

    return rows


def _trend(choose: Callable[[AppTrend], float | None]) -> Rows:
    def rows(watch: Watch) -> Iterator[Row]:
        survey = _survey(watch)
        for name, trend in survey.trends.items() if survey is not None else ():
            number = choose(trend)
            if number is not None:
                yield (name,), number

    return rows


def _idle_seconds(watch: Watch) -> Buckets | None:
    survey = _survey(watch)
    if survey is None:
        return None
    return IDLE_BUCKETS_SECONDS, survey.groups.idle_seconds, survey.groups.idle_seconds_sum


def _age_seconds(watch: Watch) -> Buckets | None:
    survey = _survey(watch)
    if survey is None:
        return None
    return AGE_BUCKETS_SECONDS, survey.groups.age_seconds, survey.groups.age_seconds_sum


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


def _folded(watch: Watch) -> Iterator[Row]:
    survey = _survey(watch)
    for cut, count in survey.folded.items() if survey is not None else ():
        yield (cut,), count


def _available(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None:
        yield (), int(watch.reading.clients is not None)


CLIENT_FAMILIES: tuple[Family, ...] = (
    Family(
        "redis_app_connections",
        Kind.GAUGE,
        f"Connections by app and state; each is in one state, and all add up to the clients of {_LISTED}",
        _app_connections,
        ("app", "state"),
        depends_on=_survey,
    ),
    Family(
        "redis_host_connections",
        Kind.GAUGE,
        f"Connections by the address that they come from. {_LISTED}",
        _cut(lambda groups: groups.hosts),
        ("host",),
        depends_on=_survey,
    ),
    Family(
        "redis_user_connections",
        Kind.GAUGE,
        f"Connections by ACL user (Redis 6.0, Valkey). {_LISTED}",
        _cut(lambda groups: groups.users),
        ("user",),
        depends_on=_survey,
    ),
    Family(
        "redis_library_connections",
        Kind.GAUGE,
        f"Connections by client library and its version (Redis 7.2, Valkey). {_LISTED}",
        _libraries,
        ("library", "version"),
        depends_on=_survey,
    ),
    Family(
        "redis_command_connections",
        Kind.GAUGE,
        f"Connections by their last command; NULL never ran one. {_LISTED}",
        _cut(lambda groups: groups.commands),
        ("cmd",),
        depends_on=_survey,
    ),
    Family(
        "redis_db_connections",
        Kind.GAUGE,
        f"Connections by selected database. {_LISTED}",
        _cut(lambda groups: groups.databases),
        ("db",),
        depends_on=_survey,
    ),
    Family(
        "redis_nameless_connections",
        Kind.GAUGE,
        f"Connections without a name (CLIENT SETNAME). {_LISTED}",
        _number(lambda survey: survey.groups.nameless),
        depends_on=_survey,
    ),
    Family(
        "redis_app_connections_opened_total",
        Kind.COUNTER,
        "Connections of the app that a list saw for the first time; redis_connections_unseen_total counts "
        "those that lived too shortly for that.",
        _trend(lambda trend: trend.opened),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_app_connections_closed_total",
        Kind.COUNTER,
        "Connections of the app that a list saw and the next one did not.",
        _trend(lambda trend: trend.closed),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_connections_unseen_total",
        Kind.COUNTER,
        "Connections that came and went between two lists: with redis_app_connections_opened_total and our "
        "own they make up redis_connections_received_total.",
        _number(lambda survey: survey.unseen),
        depends_on=_survey,
    ),
    Family(
        "redis_app_suspected_leaked_connections",
        Kind.GAUGE,
        "Connections idle longer than clients.stale_after, with evidence that nobody will use them again: "
        "never used, commands counter stands still, or an open transaction or watch.",
        _trend(lambda trend: trend.suspected),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_app_connections_growth_per_second",
        Kind.GAUGE,
        "Growth of the app's connections over the last hour, in connections per second.",
        _trend(lambda trend: trend.growth),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_app_needed_connections_growth_per_second",
        Kind.GAUGE,
        "Growth of the app's connections in use over the last hour, in connections per second.",
        _trend(lambda trend: trend.busy_growth),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_app_needed_connections_peak",
        Kind.GAUGE,
        "Most connections that the app had in use in one list of the last 6 hours: blocked, subscribed, idle "
        "for less than a second, or commands counter moved since the list before.",
        _trend(lambda trend: trend.needed_peak),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_app_oldest_idle_seconds",
        Kind.GAUGE,
        f"Longest idle time of a connection of the app. {_LISTED}",
        _per_app(lambda app: app.oldest_idle_seconds),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_app_memory_bytes",
        Kind.GAUGE,
        f"Memory that the server holds for the app's connections: tot-mem (Redis 6.0.9, Valkey). {_LISTED}",
        _per_app(lambda app: app.memory_bytes),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_app_output_buffer_bytes",
        Kind.GAUGE,
        f"Memory that the server holds for replies that the app has not read: omem (all versions). {_LISTED}",
        _per_app(lambda app: app.output_buffer_bytes),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_app_subscriptions",
        Kind.GAUGE,
        "Subscriptions of the app to channels, patterns and shard channels: sub + psub + ssub (all "
        f"versions). {_LISTED}",
        _per_app(lambda app: app.subscriptions),
        ("app",),
        depends_on=_survey,
    ),
    Family(
        "redis_client_idle_seconds",
        Kind.GAUGE_HISTOGRAM,
        f"Idle times of the clients that are there now. {_LISTED}",
        Distributed(_idle_seconds),
        depends_on=_survey,
    ),
    Family(
        "redis_client_age_seconds",
        Kind.GAUGE_HISTOGRAM,
        f"Ages of the connections that are there now. {_LISTED}",
        Distributed(_age_seconds),
        depends_on=_survey,
    ),
    Family(
        "redis_blocked_connections",
        Kind.GAUGE,
        f"Connections that wait in a blocking command, by command. {_LISTED}",
        _cut(lambda groups: groups.blocked),
        ("cmd",),
        depends_on=_survey,
    ),
    Family(
        "redis_blocked_longest_seconds",
        Kind.GAUGE,
        f"Longest time for which a connection waits in a blocking command by now. {_LISTED}",
        _number(lambda survey: survey.groups.blocked_longest_seconds),
        depends_on=_survey,
    ),
    Family(
        "redis_blocked_clients_without_timeout",
        Kind.GAUGE,
        "Blocked clients that will wait for ever: INFO blocked_clients - clients_in_timeout_table (Redis "
        "6.0, Valkey), polled. Clients held by CLIENT PAUSE are among them.",
        _without_timeout,
    ),
    Family(
        "redis_connections_opened_per_command",
        Kind.GAUGE,
        "Connections opened per command processed over the last 5 minutes; near 1 somebody connects anew "
        "for every command.",
        _per_command,
    ),
    Family(
        "redis_connection_mean_lifetime_seconds",
        Kind.GAUGE,
        "Mean lifetime of a connection by Little's law: clients over connections opened per second, in the "
        "last 5 minutes; absent when none was opened.",
        _lifetime,
    ),
    Family(
        "redis_connection_exporter_client_list_available",
        Kind.GAUGE,
        "Whether there is a list of the clients (1); 0 where CLIENT LIST is denied, unknown, overdue or off.",
        _available,
    ),
    Family(
        "redis_connection_exporter_client_list_timestamp_seconds",
        Kind.GAUGE,
        "Unix time of the newest list of the clients.",
        _number(lambda survey: survey.at),
        depends_on=_survey,
    ),
    Family(
        "redis_connection_exporter_client_list_server_seconds",
        Kind.GAUGE,
        "Time of the server's main thread that the newest list took, all its commands together.",
        _number(lambda survey: survey.cost.total),
        depends_on=_survey,
    ),
    Family(
        "redis_connection_exporter_client_list_longest_command_seconds",
        Kind.GAUGE,
        "Time of the server's main thread that the longest command of the newest list took: so long others "
        "waited.",
        _number(lambda survey: survey.cost.longest),
        depends_on=_survey,
    ),
    Family(
        "redis_connection_exporter_client_list_commands",
        Kind.GAUGE,
        "Commands that the newest list took; more than 1 are batches of CLIENT LIST ID.",
        _number(lambda survey: survey.cost.commands),
        depends_on=_survey,
    ),
    Family(
        "redis_connection_exporter_client_list_stretch_ratio",
        Kind.GAUGE,
        "How many times longer than clients.interval the time between two lists is, to keep to the budget.",
        _number(lambda survey: survey.cost.stretch),
        depends_on=_survey,
    ),
    Family(
        "redis_connection_exporter_client_list_unreadable_rows",
        Kind.GAUGE,
        "Rows of the newest list that could not be read, and are counted nowhere else.",
        _number(lambda survey: survey.groups.unreadable),
        depends_on=_survey,
    ),
    Family(
        "redis_connection_exporter_folded_connections",
        Kind.GAUGE,
        "Connections whose group is folded into other, by cut: of apps, hosts and so on only clients.top "
        "are named.",
        _folded,
        ("cut",),
        depends_on=_survey,
    ),
)
