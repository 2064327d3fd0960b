"""How far the replicas of a server are behind it, by what the server itself tells."""

from exporter.model import ServerInfo


def worst_lag(info: ServerInfo) -> int | None:
    """Seconds since the quietest online replica acknowledged anything; None without one."""
    return max((lag for _, lag in info.replicas), default=None)


def furthest_behind(info: ServerInfo) -> int | None:
    """Bytes of the stream that the slowest online replica has not acknowledged; None without one.

    One that has just come online prints offset 0 until its first acknowledgement, which is due within a
    second (replication.c, replicationCron); it is left out until then.
    """
    written = info.count(b"master_repl_offset")
    if written is None:
        return None
    known = (offset for offset, lag in info.replicas if offset or lag > 1 or not written)
    return max((max(0, written - offset) for offset in known), default=None)
