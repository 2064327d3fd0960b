"""Replication as its two ends tell it. No label names a replica: its address changes with every failover."""

from collections.abc import Callable, Iterator

from exporter.analyse.replication import furthest_behind, worst_lag
from exporter.board import Watch
from exporter.metrics.spec import Family, Field, Kind, Row, Rows
from exporter.model import ServerInfo

_ONLINE = "INFO slaveN (all versions), polled; absent without an online replica."


def _worst(choose: Callable[[ServerInfo], int | None]) -> Rows:
    def rows(watch: Watch) -> Iterator[Row]:
        if watch.reading is not None and (number := choose(watch.reading.info)) is not None:
            yield (), number

    return rows


def _replicas(watch: Watch) -> object:
    """What both are made of; without a replica neither depends on how much is written."""
    info = watch.reading.info if watch.reading is not None else None
    return (
        (info.replicas, info.numbers.get(b"master_repl_offset")) if info is not None and info.replicas else ()
    )


REPLICATION_FAMILIES: tuple[Family, ...] = (
    Family(
        "redis_connected_replica_lag_seconds",
        Kind.GAUGE,
        f"On a primary, seconds since its quietest replica acknowledged anything. {_ONLINE}",
        _worst(worst_lag),
        depends_on=_replicas,
    ),
    Family(
        "redis_connected_replica_offset_lag_bytes",
        Kind.GAUGE,
        "On a primary, bytes that its slowest replica has not acknowledged: master_repl_offset - offset. "
        f"{_ONLINE}",
        _worst(furthest_behind),
        depends_on=_replicas,
    ),
    Family(
        "redis_master_last_io_seconds_ago",
        Kind.GAUGE,
        "On a replica, seconds since its primary sent anything; absent while the link is down. INFO "
        "master_last_io_seconds_ago (all versions), polled.",
        Field(b"master_last_io_seconds_ago"),
    ),
    Family(
        "redis_slave_repl_offset",
        Kind.GAUGE,
        "On a replica, bytes of the replication stream that it has processed. INFO slave_repl_offset (all "
        "versions), polled.",
        Field(b"slave_repl_offset"),
    ),
    Family(
        "redis_master_repl_offset",
        Kind.GAUGE,
        "Bytes of the replication stream that the server has written or, on a replica, passed on. INFO "
        "master_repl_offset (all versions), polled.",
        Field(b"master_repl_offset"),
    ),
)
