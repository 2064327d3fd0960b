"""How full a server is, counted as its own admission test counts (networking.c, acceptCommonHandler)."""

from exporter.model import Reading, ServerInfo, Slots, State

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


def reserve_refuses(before: Reading | None, after: Reading) -> bool:
    """Whether between two polls in a row the server refused newcomers though it had slots for them.

    So does a reserve that nobody tells (Valkey 9.2). Protected mode counts its refusals in the same field and
    cannot be told from it, nor a spike that came and went between the polls, unless priority clients were
    refused too: these are at the limit only. Servers that know no priority clients have no reserve.
    """
    if before is None or before.slots.full or after.slots.full or after.slots.reserved == 0:
        return False
    if after.slots.limit is None or after.info.count(b"connected_priority_clients") is None:
        return False
    same = after.info.texts.get("run_id") == before.info.texts.get("run_id")
    return (
        same
        and _rise(before.info, after.info, b"rejected_connections") > 0
        and _rise(before.info, after.info, b"rejected_priority_connections") == 0
    )


def _rise(before: ServerInfo, after: ServerInfo, name: bytes) -> int:
    """How much a counter rose; 0 where one of both does not tell it."""
    first, last = before.count(name), after.count(name)
    return last - first if first is not None and last is not None else 0


def explain_limit(reading: Reading) -> str:
    """Say whom a server at its limit refuses, and why; empty where it is not there."""
    if reading.state is not State.AT_LIMIT or reading.slots.limit is None:
        return ""
    free = reading.slots.limit - reading.slots.used
    if free <= 0:
        reason = "the server refuses newcomers"
    elif reading.slots.full:
        reason = f"the server refuses ordinary newcomers: the {free} free slots are its reserve"
    else:
        since = f"since the last poll it refused newcomers while {free} slots were free"
        reason = f"{since}: its reserve for priority clients, or protected mode"
    return f"{reason}; our own connection still answers"


def recent(samples: Samples, at: float, value: float, window: float) -> Samples:
    """Add a sample; of the earlier ones keep those of the window (seconds) that may still be the peak."""
    kept = (sample for sample in samples if sample[0] > at - window and sample[1] > value)
    return (*kept, (at, value))


def peak(samples: Samples) -> float | None:
    """The highest of the samples that `recent` kept, or None without any."""
    return samples[0][1] if samples else None
