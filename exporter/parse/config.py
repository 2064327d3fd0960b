"""CONFIG GET: names and values in turn."""

import re
from collections.abc import Iterator, Sequence

from exporter.limits import CONFIG_VALUE_BYTES
from exporter.model import BufferLimit, ServerConfig

# CONFIG GET shows passwords as well, so these are all that is ever asked for.
MAX_CLIENTS, RESERVED = "maxclients", "maxclients-reserved"  # the second since Valkey 9.2
BUFFER_LIMITS = "client-output-buffer-limit"

_CLASSES = {b"normal": "normal", b"slave": "replica", b"replica": "replica", b"pubsub": "pubsub"}
_LIMIT = re.compile(rb"[0-9]{1,10}")
_NUMBER = re.compile(rb"[0-9]{1,19}")


def parse_config(reply: Sequence[object]) -> ServerConfig:
    """Read what one or more replies tell, one after the other; what cannot be read is not told."""
    told = {
        name.decode(errors="replace"): value
        for name, value in zip(reply[::2], reply[1::2], strict=False)
        if isinstance(name, bytes) and isinstance(value, bytes) and len(value) <= CONFIG_VALUE_BYTES
    }
    return ServerConfig(
        _limit(told.get(MAX_CLIENTS, b"")),
        _limit(told.get(RESERVED, b"")),
        dict(_buffer_limits(told.get(BUFFER_LIMITS, b""))),
    )


def _limit(value: bytes) -> int | None:
    return int(value) if _LIMIT.fullmatch(value) else None


def _buffer_limits(value: bytes) -> Iterator[tuple[str, BufferLimit]]:
    """For each class of clients its name, hard limit, soft limit and seconds (config.c)."""
    words = iter(value.split())
    for name, *numbers in zip(words, words, words, words, strict=False):
        if name in _CLASSES and all(map(_NUMBER.fullmatch, numbers)):
            yield _CLASSES[name], BufferLimit(*map(int, numbers))
