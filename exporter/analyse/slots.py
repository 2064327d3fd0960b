"""How full a server is, counted as its own admission test counts (networking.c, acceptCommonHandler)."""

from exporter.model import ServerInfo, Slots

# CONFIG SET accepts UINT_MAX, which then overflows inside the server: no limit that means anything.
_NO_LIMIT = 2**32 - 1

Samples = tuple[tuple[float, float], ...]


def count_slots(
    info: ServerInfo, *, limit: int | None, known_nodes: int | None, reserved: int | None = None
) -> Slots:
    """Count used slots: clients, replicas (INFO leaves them out of connected_clients) and cluster links.

    `limit` stands in where INFO has no maxclients (before 6.2); `known_nodes` where a cluster node has no
    cluster_connections (6.0): it counts two links per other node (cluster.c, getClusterConnectionsCount).
    `reserved` counts only where the server tells of priority clients (Valkey 9.2); no other has a reserve.
    """
    links = info.count(b"cluster_connections")
    if links is None:
        links = 2 * (known_nodes - 1) if known_nodes else 0
    used = (info.count(b"connected_clients") or 0) + (info.count(b"connected_slaves") or 0) + links
    told = info.count(b"maxclients") or info.count(b"max_clients") or limit  # Dragonfly says max_clients
    effective = told if told and told < _NO_LIMIT else None
    priority = info.count(b"connected_priority_clients")
    return Slots(used, effective) if priority is None else Slots(used, effective, reserved, priority)


def explain_full(slots: Slots) -> str:
    """Say whom a server that is full refuses, and why; empty where it is not."""
    if not slots.full or slots.limit is None:
        return ""
    free = slots.limit - slots.used
    if free <= 0:
        return "the server refuses newcomers; our own connection still answers"
    return (
        f"the server refuses ordinary newcomers: the {free} free slots are its reserve for priority clients; "
        "our own connection still answers"
    )


def recent(samples: Samples, at: float, value: float, window: float) -> Samples:
    """Add a sample and drop those older than the window (seconds)."""
    return (*(sample for sample in samples if sample[0] > at - window), (at, value))


def peak(samples: Samples) -> float | None:
    """The highest of the samples, or None without any."""
    return max((value for _, value in samples), default=None)
