"""How much output a client may leave unread before the server cuts it off, by CONFIG GET."""

from collections.abc import Iterator, Mapping

from exporter.board import Watch
from exporter.metrics.spec import Family, Kind, Row
from exporter.model import BufferLimit

# A limit of 0 is none, and absent: whatever is compared with 0 would be above it.
_ASKED = (
    "CONFIG GET client-output-buffer-limit (all versions), once a minute; absent where there is no such "
    "limit, and where CONFIG GET is denied or not asked."
)


def _limits(watch: Watch) -> Mapping[str, BufferLimit]:
    return watch.reading.config.buffer_limits if watch.reading is not None else {}


def _bytes(watch: Watch) -> Iterator[Row]:
    for name, limit in _limits(watch).items():
        for kind, size in (("hard", limit.hard_bytes), ("soft", limit.soft_bytes)):
            if size:
                yield (name, kind), size


def _seconds(watch: Watch) -> Iterator[Row]:
    for name, limit in _limits(watch).items():
        if limit.soft_bytes:
            yield (name,), limit.soft_seconds


BUFFER_FAMILIES: tuple[Family, ...] = (
    Family(
        "redis_client_output_buffer_limit_bytes",
        Kind.GAUGE,
        "Unread output at which the server cuts a client off, by class of clients: hard at once, soft after "
        f"redis_client_output_buffer_limit_soft_seconds above it. {_ASKED}",
        _bytes,
        ("class", "kind"),
        depends_on=_limits,
    ),
    Family(
        "redis_client_output_buffer_limit_soft_seconds",
        Kind.GAUGE,
        f"Time for which a client may be above its soft limit of unread output. {_ASKED}",
        _seconds,
        ("class",),
        depends_on=_limits,
    ),
)
