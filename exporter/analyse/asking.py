"""Which parameters CONFIG GET is asked for, and when it is not asked at all."""

from collections.abc import Iterator, Sequence

from exporter.model import ServerInfo
from exporter.parse.config import BUFFER_LIMITS, MAX_CLIENTS, RESERVED

_FIRST_WITH_SEVERAL = (7, 0)  # parameters in one CONFIG GET
_DEFAULT_USER = (None, "default")


def parameters_to_ask(info: ServerInfo, username: str | None, *, fresh: bool) -> tuple[str, ...]:
    """Name the parameters to ask for at a poll; `fresh` is whether the last answers may still be used.

    The limit is needed where INFO does not tell it (before Redis 6.2), and asked for at every poll: in an
    incident it is raised. All else is asked for where that is done anyway, or where the exporter is the
    default user: a user made for it should not have the right, because CONFIG GET shows passwords, and each
    question would write into the server's ACL LOG. A Sentinel has no CONFIG.
    """
    tells_limit = info.count(b"maxclients") is not None or info.count(b"max_clients") is not None
    needed = () if tells_limit else (MAX_CLIENTS,)
    if fresh or not (needed or (username in _DEFAULT_USER and info.mode != "sentinel")):
        return needed
    reserves = info.count(b"connected_priority_clients") is not None
    return (*needed, *((RESERVED,) if reserves else ()), BUFFER_LIMITS)


def in_commands(parameters: Sequence[str], version: tuple[int, ...]) -> Iterator[Sequence[str]]:
    """Spread parameters over as many commands as this version of Redis needs."""
    if version < _FIRST_WITH_SEVERAL:
        yield from ((name,) for name in parameters)
    elif parameters:
        yield parameters
