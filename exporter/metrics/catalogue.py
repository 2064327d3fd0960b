"""Every metric of a target, in the order of the page, each with what feeds it.

Here stand the state of a target, its slots and its polls; info.py has what INFO tells, replication.py its
section on replicas, buffers.py what CONFIG GET tells, clients.py what CLIENT LIST tells.
"""

from collections.abc import Iterator

from exporter.board import Watch
from exporter.metrics.apps import APP_FAMILIES
from exporter.metrics.buffers import BUFFER_FAMILIES
from exporter.metrics.clients import CLIENT_FAMILIES
from exporter.metrics.info import INFO_FAMILIES
from exporter.metrics.replication import REPLICATION_FAMILIES
from exporter.metrics.spec import Family, Kind, Row
from exporter.model import ListFailure, State

_FAILURE_REASONS = tuple(state for state in State if state is not State.OK)


def _is_up(watch: Watch) -> object:
    return watch.reading is not None


def _fullness(watch: Watch) -> object:
    return watch.reading and watch.reading.slots


def _attempts(watch: Watch) -> object:
    activity = watch.activity
    return activity.connects, activity.refused, activity.address_changes


def _texts(watch: Watch) -> object:
    return watch.reading and watch.reading.info.texts


def _up(watch: Watch) -> Iterator[Row]:
    yield (), int(watch.reading is not None)


def _state(watch: Watch) -> Iterator[Row]:
    for state in State:
        yield (state,), int(watch.state is state)


def _slots_used(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None:
        yield (), watch.reading.slots.used


def _slots_limit(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None and watch.reading.slots.limit is not None:
        yield (), watch.reading.slots.limit


def _slots_reserved(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None and watch.reading.slots.reserved is not None:
        yield (), watch.reading.slots.reserved


def _utilization(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None and watch.reading.slots.utilization is not None:
        yield (), watch.reading.slots.utilization


def _slots_peak(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None and watch.slots_peak is not None:
        yield (), watch.slots_peak


def _instance_info(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None:
        info = watch.reading.info
        role, redis, valkey, redict = (
            info.texts.get(name, "") for name in ("role", "redis_version", "valkey_version", "redict_version")
        )
        yield (role, redis, valkey, info.mode, redict), 1


def _master_link_up(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None and (status := watch.reading.info.texts.get("master_link_status")):
        yield (), int(status == "up")


def _start_time(watch: Watch) -> Iterator[Row]:
    if watch.reading is not None and (uptime := watch.reading.info.count(b"uptime_in_seconds")) is not None:
        microseconds = watch.reading.info.count(b"server_time_usec")
        now = watch.reading.at if microseconds is None else microseconds / 1e6
        yield (), int(now - uptime)


def _io_thread_clients(watch: Watch) -> Iterator[Row]:
    for number, clients in enumerate(watch.reading.info.io_thread_clients if watch.reading else ()):
        yield (str(number),), clients


def _polls(watch: Watch) -> Iterator[Row]:
    yield (), watch.polls


def _poll_failures(watch: Watch) -> Iterator[Row]:
    for reason in _FAILURE_REASONS:
        yield (reason,), watch.failures.get(reason, 0)


def _poll_duration(watch: Watch) -> Iterator[Row]:
    if watch.now is not None:
        yield (), watch.now.took


def _last_poll(watch: Watch) -> Iterator[Row]:
    if watch.now is not None:
        yield (), watch.now.at


def _last_success(watch: Watch) -> Iterator[Row]:
    if watch.last_reading is not None:
        yield (), watch.last_reading.at


def _connects(watch: Watch) -> Iterator[Row]:
    yield (), watch.activity.connects


def _connects_refused(watch: Watch) -> Iterator[Row]:
    yield (), watch.activity.refused


def _address_changes(watch: Watch) -> Iterator[Row]:
    yield (), watch.activity.address_changes


def _crashes(watch: Watch) -> Iterator[Row]:
    yield (), watch.activity.crashes


def _list_failures(watch: Watch) -> Iterator[Row]:
    for reason in ListFailure:
        yield (reason,), watch.activity.list_failures.get(reason, 0)


def _denied(watch: Watch) -> Iterator[Row]:
    for command in sorted(watch.reading.denied) if watch.reading is not None else ():
        yield (command,), 1


CATALOGUE: tuple[Family, ...] = (
    Family(
        "redis_up",
        Kind.GAUGE,
        "Whether the last poll of the server succeeded (1) or not (0).",
        _up,
        depends_on=_is_up,
    ),
    Family(
        "redis_target_state",
        Kind.GAUGE,
        "What the target is to the exporter: exactly one state is 1. at_limit: the server refuses newcomers.",
        _state,
        ("state",),
        depends_on=lambda watch: watch.state,
    ),
    Family(
        "redis_connection_slots_used",
        Kind.GAUGE,
        "Connections as the server counts them against maxclients: connected_clients + connected_slaves + "
        "cluster_connections, polled.",
        _slots_used,
        depends_on=_fullness,
    ),
    Family(
        "redis_connection_slots_limit",
        Kind.GAUGE,
        "Effective maxclients: from INFO, else CONFIG GET, else the configured max_clients.",
        _slots_limit,
        depends_on=_fullness,
    ),
    Family(
        "redis_connection_slots_reserved",
        Kind.GAUGE,
        "Connection slots of the limit that only clients from priority-subnets may take (Valkey 9.2): the "
        "configured max_clients_reserved, else maxclients-reserved of CONFIG GET; absent where unknown.",
        _slots_reserved,
        depends_on=lambda watch: watch.reading and watch.reading.slots.reserved,
    ),
    Family(
        "redis_connection_utilization_ratio",
        Kind.GAUGE,
        "Used over limit of the connection slots; at 1 and above the server refuses newcomers. With a known "
        "reserve (Valkey 9.2): (used - priority clients) / (limit - reserved), where more priority clients "
        "than reserved slots count in place of these.",
        _utilization,
        depends_on=_fullness,
    ),
    Family(
        "redis_connection_slots_used_peak",
        Kind.GAUGE,
        "Highest number of used connection slots among the polls of the last minute.",
        _slots_peak,
    ),
    *INFO_FAMILIES,
    Family(
        "redis_instance_info",
        Kind.GAUGE,
        "Role, versions and mode of the server, always 1.",
        _instance_info,
        ("role", "redis_version", "valkey_version", "redis_mode", "redict_version"),
        depends_on=_texts,
    ),
    Family(
        "redis_master_link_up",
        Kind.GAUGE,
        "On a replica, whether its link to the primary is up (1). INFO master_link_status, polled.",
        _master_link_up,
        depends_on=_texts,
    ),
    *REPLICATION_FAMILIES,
    Family(
        "redis_start_time_seconds",
        Kind.GAUGE,
        "Unix time at which the server started, by its own clock.",
        _start_time,
    ),
    Family(
        "redis_io_thread_clients",
        Kind.GAUGE,
        "Clients served by each I/O thread; 0 is the main thread. INFO io_thread_N (Redis 8.0), polled.",
        _io_thread_clients,
        ("thread",),
        depends_on=lambda watch: watch.reading and watch.reading.info.io_thread_clients,
    ),
    *BUFFER_FAMILIES,
    *APP_FAMILIES,
    *CLIENT_FAMILIES,
    Family(
        "redis_connection_exporter_polls_total",
        Kind.COUNTER,
        "Polls of the target since it is watched, failed ones among them.",
        _polls,
    ),
    Family(
        "redis_connection_exporter_poll_failures_total",
        Kind.COUNTER,
        "Failed polls of the target by reason; the reasons are the states of redis_target_state.",
        _poll_failures,
        ("reason",),
        depends_on=lambda watch: watch.failures,
    ),
    Family(
        "redis_connection_exporter_poll_duration_seconds",
        Kind.GAUGE,
        "Duration of the last poll of the target, connecting included.",
        _poll_duration,
    ),
    Family(
        "redis_connection_exporter_last_poll_timestamp_seconds",
        Kind.GAUGE,
        "Unix time at which the last poll of the target began.",
        _last_poll,
    ),
    Family(
        "redis_connection_exporter_last_success_timestamp_seconds",
        Kind.GAUGE,
        "Unix time at which the last successful poll of the target began.",
        _last_success,
    ),
    Family(
        "redis_connection_exporter_connects_total",
        Kind.COUNTER,
        "Attempts of the exporter to connect to the target: its own share of the server's churn.",
        _connects,
        depends_on=_attempts,
    ),
    Family(
        "redis_connection_exporter_connects_refused_total",
        Kind.COUNTER,
        "Attempts of the exporter to connect to the target that it refused at its limit: they count in "
        "redis_rejected_connections_total too.",
        _connects_refused,
        depends_on=_attempts,
    ),
    Family(
        "redis_connection_exporter_address_changes_total",
        Kind.COUNTER,
        "Times that the exporter moved to another address because the target's name no longer resolves to "
        "the one in use.",
        _address_changes,
        depends_on=_attempts,
    ),
    Family(
        "redis_connection_exporter_poller_crashes_total",
        Kind.COUNTER,
        "Bugs of the exporter in what it did for the target, each logged with its traceback; the state is "
        "unknown until a poll succeeds.",
        _crashes,
        depends_on=lambda watch: watch.activity.crashes,
    ),
    Family(
        "redis_connection_exporter_client_list_failures_total",
        Kind.COUNTER,
        "Failed attempts to list the target's clients by reason: timeout, cut_off (the server closed the "
        "connection), refused (an error reply), unreadable.",
        _list_failures,
        ("reason",),
        depends_on=lambda watch: watch.activity.list_failures,
    ),
    Family(
        "redis_connection_exporter_command_denied",
        Kind.GAUGE,
        "Commands that this user may not run or this server does not know; what needs them is missing.",
        _denied,
        ("command",),
        depends_on=lambda watch: watch.reading and watch.reading.denied,
    ),
)
