"""How full a server is, counted as its own admission test counts (networking.c, acceptCommonHandler)."""

from exporter.model import ServerInfo, Slots

# CONFIG SET accepts UINT_MAX, which then overflows inside the server: no limit that means anything.
_NO_LIMIT = 2**32 - 1

Samples = tuple[tuple[float, float], ...]


def count_slots(info: ServerInfo, *, limit: int | None, known_nodes: int | None) -> Slots:
    """Count used slots: clients, replicas (INFO leaves them out of connected_clients) and cluster links.

    `limit` stands in where INFO has no maxclients (before 6.2); `known_nodes` where a cluster node has no
    cluster_connections (6.0): it counts two links per other node (cluster.c, getClusterConnectionsCount).
    """
    links = info.count(b"cluster_connections")
    if links is None:
        links = 2 * (known_nodes - 1) if known_nodes else 0
    used = (info.count(b"connected_clients") or 0) + (info.count(b"connected_slaves") or 0) + links
    told = info.count(b"maxclients") or info.count(b"max_clients") or limit  # Dragonfly says max_clients
    return Slots(used, told if told and told < _NO_LIMIT else None)


def recent(samples: Samples, at: float, value: float, window: float) -> Samples:
    """Add a sample and drop those older than the window (seconds)."""
    return (*(sample for sample in samples if sample[0] > at - window), (at, value))


def peak(samples: Samples) -> float | None:
    """The highest of the samples, or None without any."""
    return max((value for _, value in samples), default=None)
