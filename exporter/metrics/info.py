"""The metrics that copy a field of INFO.

Their names are redis_exporter's where they pass `promtool check metrics`, so that panels and rules people
already have keep working. HELP names the field and the first versions that have it.
"""

from collections.abc import Iterable, Iterator

from exporter.metrics.spec import Family, Field, Kind


def _info(
    kind: Kind, rows: Iterable[tuple[str, str, str, str] | tuple[str, str, str, str, float]]
) -> Iterator[Family]:
    """Families that copy an INFO field: name, field, since which versions, meaning, and a factor if any."""
    for name, field, since, meaning, *factor in rows:
        text = f"{meaning} INFO {field} ({since}), polled."
        yield Family(name, kind, text, Field(field.encode(), *factor))


_ALL = "all versions"
_7_2 = "Redis 7.2, Valkey"
_7_4 = "Redis 7.4, Valkey 8.0"

INFO_FAMILIES: tuple[Family, ...] = (
    *_info(
        Kind.GAUGE,
        (
            ("redis_connected_clients", "connected_clients", _ALL, "Client connections without replicas."),
            ("redis_blocked_clients", "blocked_clients", _ALL, "Clients that wait in a blocking call."),
            (
                "redis_connected_priority_clients",
                "connected_priority_clients",
                "Valkey 9.2",
                "Clients from priority-subnets, which may use the slots of maxclients-reserved.",
            ),
            ("redis_max_clients", "maxclients", "Redis 6.2, Valkey", "The server's limit of connections."),
            ("redis_connected_slaves", "connected_slaves", _ALL, "Connected replicas."),
            (
                "redis_cluster_connections",
                "cluster_connections",
                "Redis 6.2, Valkey",
                "Connections that the cluster bus counts against the limit.",
            ),
            ("redis_tracking_clients", "tracking_clients", "Redis 6.0, Valkey", "Clients with tracking on."),
            (
                "redis_clients_in_timeout_table",
                "clients_in_timeout_table",
                "Redis 6.0, Valkey",
                "Blocked clients that have a timeout.",
            ),
            ("redis_pubsub_clients", "pubsub_clients", _7_4, "Clients in subscribe mode."),
            ("redis_watching_clients", "watching_clients", _7_4, "Clients that watch keys."),
            ("redis_total_watched_keys", "total_watched_keys", _7_4, "Watched keys."),
            ("redis_total_blocking_keys", "total_blocking_keys", _7_2, "Keys that clients block on."),
            (
                "redis_total_blocking_keys_on_nokey",
                "total_blocking_keys_on_nokey",
                _7_2,
                "Keys that clients block on and want to be told of when they are deleted.",
            ),
            (
                "redis_client_recent_max_input_buffer_bytes",
                "client_recent_max_input_buffer",
                _ALL,
                "Largest input buffer of a client of late.",
            ),
            (
                "redis_client_recent_max_output_buffer_bytes",
                "client_recent_max_output_buffer",
                _ALL,
                "Largest output buffer of a client of late.",
            ),
            ("redis_mem_clients_normal", "mem_clients_normal", _ALL, "Bytes held by normal clients."),
            ("redis_mem_clients_slaves", "mem_clients_slaves", _ALL, "Bytes held by replica connections."),
            (
                "redis_mem_cluster_links",
                "mem_cluster_links",
                "Redis 7.0, Valkey",
                "Bytes held by cluster bus links.",
            ),
            (
                "redis_mem_total_replication_buffers_bytes",
                "mem_total_replication_buffers",
                "Redis 7.0, Valkey",
                "Replication buffers.",
            ),
            (
                "redis_clients_paused_seconds",
                "paused_timeout_milliseconds",
                "Valkey 8.1",
                "Time for which CLIENT PAUSE still holds clients.",
                0.001,
            ),
            ("redis_io_threads_active", "io_threads_active", "Redis 6.0, Valkey", "Whether I/O threads run."),
            ("redis_migrate_cached_sockets", "migrate_cached_sockets", _ALL, "Sockets kept for MIGRATE."),
            ("redis_loading_dump_file", "loading", _ALL, "Whether the server is loading its data (1)."),
            ("redis_uptime_in_seconds", "uptime_in_seconds", _ALL, "Seconds since the server started."),
        ),
    ),
    *_info(
        Kind.COUNTER,
        (
            (
                "redis_connections_received_total",
                "total_connections_received",
                _ALL,
                "Accepted connections, refused ones not among them.",
            ),
            (
                "redis_rejected_connections_total",
                "rejected_connections",
                _ALL,
                "Connections refused at maxclients or by protected mode.",
            ),
            (
                "redis_rejected_priority_connections_total",
                "rejected_priority_connections",
                "Valkey 9.2",
                "Refused connections from priority-subnets, a part of redis_rejected_connections_total.",
            ),
            (
                "redis_evicted_clients_total",
                "evicted_clients",
                "Redis 7.0, Valkey",
                "Clients cut for memory.",
            ),
            (
                "redis_client_query_buffer_limit_disconnections_total",
                "client_query_buffer_limit_disconnections",
                _7_4,
                "Clients cut for their input buffer.",
            ),
            (
                "redis_client_output_buffer_limit_disconnections_total",
                "client_output_buffer_limit_disconnections",
                _7_4,
                "Clients cut for their output buffer.",
            ),
            ("redis_acl_access_denied_auth_total", "acl_access_denied_auth", _7_2, "Failed authentications."),
            ("redis_acl_access_denied_cmd_total", "acl_access_denied_cmd", _7_2, "Denied commands."),
            ("redis_acl_access_denied_key_total", "acl_access_denied_key", _7_2, "Denied keys."),
            (
                "redis_acl_access_denied_channel_total",
                "acl_access_denied_channel",
                _7_2,
                "Denied channels.",
            ),
            (
                "redis_acl_access_denied_tls_cert_total",
                "acl_access_denied_tls_cert",
                "Redis 8.6, Valkey 9.0",
                "Denied client certificates.",
            ),
            (
                "redis_acl_access_denied_db_total",
                "acl_access_denied_db",
                "Valkey 9.1",
                "Denied databases.",
            ),
            ("redis_commands_processed_total", "total_commands_processed", _ALL, "Processed commands."),
            ("redis_net_input_bytes_total", "total_net_input_bytes", _ALL, "Bytes read from the network."),
            (
                "redis_net_output_bytes_total",
                "total_net_output_bytes",
                _ALL,
                "Bytes written to the network.",
            ),
            (
                "redis_io_threaded_accepts_processed_total",
                "io_threaded_accept_processed",
                "Valkey 8.1",
                "Connections accepted by I/O threads.",
            ),
            ("redis_eventloop_cycles_total", "eventloop_cycles", _7_2, "Cycles of the main thread's loop."),
            (
                "redis_eventloop_duration_seconds_total",
                "eventloop_duration_sum",
                _7_2,
                "Time the main thread was busy: its rate is the share of one core.",
                1e-6,
            ),
            (
                "redis_eventloop_commands_duration_seconds_total",
                "eventloop_duration_cmd_sum",
                _7_2,
                "Time the main thread executed commands.",
                1e-6,
            ),
            (
                "redis_cpu_sys_main_thread_seconds_total",
                "used_cpu_sys_main_thread",
                "Redis 6.2, Valkey",
                "System CPU time of the main thread.",
            ),
            (
                "redis_cpu_user_main_thread_seconds_total",
                "used_cpu_user_main_thread",
                "Redis 6.2, Valkey",
                "User CPU time of the main thread.",
            ),
            ("redis_cpu_sys_seconds_total", "used_cpu_sys", _ALL, "System CPU time of the server."),
            ("redis_cpu_user_seconds_total", "used_cpu_user", _ALL, "User CPU time of the server."),
            (
                "redis_active_time_main_thread_seconds_total",
                "used_active_time_main_thread",
                "Valkey 9.1",
                "Time the main thread was active.",
            ),
        ),
    ),
)
