"""The values that flow through the exporter. Frozen; times in seconds; an absent field is None."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from exporter.settings.kinds import RedisUrl
from exporter.settings.tree import Tls


class State(StrEnum):
    """What a target is to us; every value but OK and AT_LIMIT is also a reason why a poll failed."""

    OK = "ok"
    AT_LIMIT = "at_limit"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    DNS = "dns"
    AUTH = "auth"
    TLS = "tls"
    NOPERM = "noperm"
    LOADING = "loading"
    BUSY = "busy"
    PROTOCOL = "protocol"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one server and who to be there. Its password never shows in a repr."""

    url: RedisUrl
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    tls: Tls = field(default_factory=Tls)


@dataclass(frozen=True, slots=True)
class Target:
    """One server to watch, under the name that its series carry."""

    name: str
    access: Access
    labels: tuple[tuple[str, str], ...] = ()
    max_clients: int | None = None


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The fields of one INFO reply that can be trusted to be what they look like.

    `numbers` holds the digits as the server sent them, checked; `texts` a few known fields, printable.
    """

    numbers: Mapping[bytes, bytes]
    texts: Mapping[str, str]
    io_thread_clients: tuple[int, ...] = ()

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Redis that the server says it is compatible with; empty where it does not say."""
        parts = self.texts.get("redis_version", "").split(".")
        return tuple(int(part) for part in parts if part.isdigit())

    def count(self, name: bytes) -> int | None:
        """One whole number, or None where this server does not tell it."""
        digits = self.numbers.get(name)
        return int(digits) if digits is not None and digits.isdigit() else None


@dataclass(frozen=True, slots=True)
class Slots:
    """Connections as the server's own admission test counts them; the limit is None where nobody tells it."""

    used: int
    limit: int | None

    @property
    def utilization(self) -> float | None:
        """Used over limit; above 1 when the limit was lowered under the clients."""
        return self.used / self.limit if self.limit else None

    @property
    def full(self) -> bool:
        """Whether the server would refuse the next client (networking.c, acceptCommonHandler)."""
        return self.limit is not None and self.used >= self.limit


@dataclass(frozen=True, slots=True)
class Reading:
    """One successful poll. `at` is Unix time, `took` seconds; `denied` are commands this user may not run."""

    at: float
    took: float
    info: ServerInfo
    slots: Slots
    denied: frozenset[str] = frozenset()

    @property
    def state(self) -> State:
        """OK, LOADING, or AT_LIMIT when only connections that were there before can still get through."""
        if self.slots.full:
            return State.AT_LIMIT
        return State.LOADING if self.info.count(b"loading") else State.OK


@dataclass(frozen=True, slots=True)
class Outage:
    """One failed poll and why; `detail` is for people, printable, and free of secrets."""

    at: float
    took: float
    state: State
    detail: str


Observation = Reading | Outage
