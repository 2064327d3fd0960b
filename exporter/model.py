"""The values that flow through the exporter. Frozen; times in seconds; an absent field is None."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from exporter.verdicts import AppTrend

# Of the connections that a server allows; the default threshold of the warning.
NEAR_LIMIT = 0.8


class State(StrEnum):
    """What a target is to us; every value but OK is also a reason why a poll failed."""

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
class RedisUrl:
    """Where a server listens: host and port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False
    scheme: str = "redis"

    def __str__(self) -> str:
        """Write it as the URL it was read from; it never holds credentials."""
        return f"unix://{quote(self.path)}" if self.path else f"{self.scheme}://{self.place}"

    @property
    def place(self) -> str:
        """`host:port` or the socket's path: what two URLs of one server have in common."""
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host.lower()}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tls:
    """How to verify a server, and the certificate to show it."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one server and who to be there. Its password never shows in a repr."""

    url: RedisUrl
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    tls: Tls = Tls()


@dataclass(frozen=True, slots=True)
class Target:
    """One server to watch, under the name that its series carry.

    `max_clients` is its limit where it does not tell it, `max_clients_reserved` its reserve.
    """

    name: str
    access: Access
    labels: tuple[tuple[str, str], ...] = ()
    max_clients: int | None = None
    max_clients_reserved: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two polls of a target, the deadline of one, and how long a connection is given.

    `connect_timeout` bounds one attempt to connect, which may span several polls. `keep_waiting` is how long
    a held connection may owe a reply without a byte before it is given up. `grid` is how far apart moments
    are at which polls begin.
    """

    interval: float
    timeout: float
    connect_timeout: float = 10.0
    keep_waiting: float = 60.0
    grid: float = 0.0

    def due(self, started: float, chance: float) -> float:
        """When the poll after one that started at a moment is due (monotonic), for a chance from 0 to 1.

        Polls of all targets are due together on a grid, because waking up costs as much as a poll.
        """
        grid = min(self.grid, self.timeout / 4)
        due = started + self.gap(chance)
        return math.ceil(due / grid) * grid if grid else due

    def gap(self, chance: float) -> float:
        """Seconds between the starts of two polls, for a chance drawn from 0 to 1.

        The jitter only ever lengthens the interval, so there is at most one attempt per interval; and by no
        more than half the timeout, so an observation of a server that answers within the other half is never
        older than interval + timeout.
        """
        return self.interval + chance * min(0.1 * self.interval, 0.5 * self.timeout)

    @property
    def patience(self) -> float:
        """Seconds after which an observation should long have been replaced."""
        return 2 * (self.interval + self.timeout)


@dataclass(frozen=True, slots=True)
class Rename:
    r"""A rule of the settings: where RE2 finds `match`, the app is called `to`; \1 is the first group."""

    match: str
    to: str


@dataclass(frozen=True, slots=True)
class AppRules:
    """How connections are told apart: the first of these that a connection has, renamed."""

    sources: tuple[str, ...] = ("name", "user", "library", "host")
    rename: tuple[Rename, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """Whether and how often CLIENT LIST is asked (seconds), and what is made of it.

    `server_time_budget` is the share of a server's main thread that it may take, `top` the number of groups
    of each kind that are named.
    """

    enabled: bool = True
    interval: float = 15.0
    server_time_budget: float = 0.002
    stale_after: float = 300.0
    top: int = 20
    rules: AppRules = AppRules()


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of the targets an exporter watches, counted from 0; each target belongs to one of them."""

    index: int = 0
    count: int = 1

    def owns(self, name: str) -> bool:
        """Whether the target of this name is ours: rendezvous hashing, the shard with the highest hash wins.

        One more shard therefore takes 1/count of the targets, and no target moves between the others.
        """
        return self.index == max(range(self.count), key=lambda index: _weight(index, name))


def _weight(index: int, name: str) -> bytes:
    return hashlib.blake2b(f"{index}:{name}".encode(), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where the exporter's HTTP server listens; an empty host means every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as it was read."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the settings: where it stands, and what to write instead."""

    where: str
    message: str

    def __str__(self) -> str:
        """`exporter.yaml:3: poll.interval: too short: write 1s or more`."""
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Config:
    """All that the daemon needs to know; `shown` is the page that shows it, with its secrets masked.

    `targets` are those of its own shard, `ignored` what looked like a setting and is none.
    """

    targets: tuple[Target, ...]
    pace: Pace
    listen: tuple[ListenAddress, ...]
    clients: ClientPlan = ClientPlan()
    shard: Shard = Shard()
    telemetry_path: str = "/metrics"
    lifecycle: bool = False
    allowed_hosts: tuple[str, ...] = ()
    log_level: str = "info"
    log_format: str = "logfmt"
    shown: str = ""
    ignored: tuple[Fault, ...] = ()


class ConfigError(Exception):
    """The settings are not usable; holds every fault that was found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The fields of one INFO reply that can be trusted to be what they look like.

    `numbers` holds the digits as the server sent them, checked; `texts` a few known fields, printable.
    `replicas` are those online, each with the offset (bytes) that it has acknowledged and its lag (seconds).
    """

    numbers: Mapping[bytes, bytes]
    texts: Mapping[str, str]
    io_thread_clients: tuple[int, ...] = ()
    replicas: tuple[tuple[int, int], ...] = ()

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Redis that the server says it is compatible with; empty where it does not say."""
        return _numbers(self.texts.get("redis_version", ""))

    @property
    def mode(self) -> str:
        """What it is: standalone, cluster or sentinel; Valkey 8 and Redict have names of their own for it."""
        told = (self.texts.get(name) for name in ("redis_mode", "server_mode", "redict_mode"))
        return next(filter(None, told), "")

    @property
    def valkey_version(self) -> tuple[int, ...]:
        """The version of Valkey; empty for any other server."""
        return _numbers(self.texts.get("valkey_version", ""))

    def count(self, name: bytes) -> int | None:
        """One whole number, or None where this server does not tell it."""
        digits = self.numbers.get(name)
        return int(digits) if digits is not None and digits.isdigit() else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@dataclass(frozen=True, slots=True)
class BufferLimit:
    """Unread output at which a server cuts a client off, at once or after some seconds; 0 bytes: never."""

    hard_bytes: int
    soft_bytes: int
    soft_seconds: int


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What CONFIG GET told; None or empty where it was not asked, or not answered.

    `buffer_limits` are by class of clients: normal, replica, pubsub.
    """

    max_clients: int | None = None
    reserved: int | None = None
    buffer_limits: Mapping[str, BufferLimit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slots:
    """Connections as the server's own admission test counts them; the limit is None where nobody tells it.

    Of the limit, `reserved` are for priority clients (Valkey 9.2, maxclients-reserved), of whom there are
    `priority`; None where it is not known whether there is a reserve.
    """

    used: int
    limit: int | None
    reserved: int | None = None
    priority: int = 0

    @property
    def ordinary_used(self) -> int:
        """What the clients outside of the reserve take: all, where no reserve is known."""
        return max(0, self.used - self.priority) if self.reserved else self.used

    @property
    def ordinary_limit(self) -> int | None:
        """What the reserve leaves them, and the priority clients where these are more than the reserve."""
        if self.limit is None or not self.reserved:
            return self.limit
        return max(0, self.limit - max(self.reserved, self.priority))

    @property
    def utilization(self) -> float | None:
        """How full the server is for ordinary clients: used over limit where no reserve is known.

        It is above 1 when the limit was lowered under the clients, and 1 where the reserve leaves nothing.
        """
        limit = self.ordinary_limit
        if limit is None:
            return None
        return self.ordinary_used / limit if limit else 1.0

    @property
    def near_limit(self) -> bool:
        """Whether a connection that is lost now may not be had back."""
        return (self.utilization or 0.0) >= NEAR_LIMIT

    @property
    def full(self) -> bool:
        """Whether the server would refuse the next ordinary client (networking.c, acceptCommonHandler)."""
        return self.ordinary_limit is not None and self.ordinary_used >= self.ordinary_limit


class ClientState(StrEnum):
    """What one connection is doing; each is in exactly one state."""

    ACTIVE = "active"
    IDLE = "idle"
    STALE = "stale"
    BLOCKED = "blocked"
    PUBSUB = "pubsub"
    MONITOR = "monitor"
    REPLICA = "replica"
    PRIMARY = "primary"


@dataclass(frozen=True, slots=True)
class AppClients:
    """The connections of one app in one list; None is what the server does not tell.

    Of the memory, output buffers are the replies that clients have not read yet (omem).
    """

    states: Mapping[ClientState, int]
    memory_bytes: int | None
    oldest_idle_seconds: int
    subscriptions: int | None = None
    output_buffer_bytes: int | None = None

    @property
    def total(self) -> int:
        """All its connections."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class ClientGroups:
    """One CLIENT LIST, counted, our own connection left out: each mapping adds up to `total`.

    A library is its name and version. `idle_seconds` and `age_seconds` count the clients per bucket of
    analyse/groups.py, the last of which has no upper bound; `blocked` is by command, and a part of the total.
    """

    total: int
    unreadable: int
    nameless: int
    apps: Mapping[str, AppClients]
    hosts: Mapping[str, int]
    users: Mapping[str, int]
    libraries: Mapping[tuple[str, str], int]
    commands: Mapping[str, int]
    databases: Mapping[str, int]
    idle_seconds: tuple[int, ...]
    idle_seconds_sum: int
    age_seconds: tuple[int, ...]
    age_seconds_sum: int
    blocked: Mapping[str, int]
    blocked_longest_seconds: int


@dataclass(frozen=True, slots=True)
class ListCost:
    """What asking for the clients took of the server's main thread (seconds), and how often that is done.

    `stretch` is how many times longer than configured the interval is to keep to the budget.
    """

    total: float
    longest: float
    commands: int
    stretch: float


class ListFailure(StrEnum):
    """Why an attempt to list the clients of a server failed."""

    TIMEOUT = "timeout"
    CUT_OFF = "cut_off"
    REFUSED = "refused"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Activity:
    """What the exporter did for one target since it is watched; it outlives every failed poll.

    `refused` are attempts to connect that the server turned away at its limit. `address` is where the
    connection leads to, one of as many `addresses` as the name has. `list_failure` is why the newest attempt
    to list the clients failed. `note` is a sentence for people about the connection, mostly empty. `crashes`
    counts bugs of the exporter in what it did for the target. `due` is when the next poll is due (monotonic).
    """

    connects: int = 0
    refused: int = 0
    address_changes: int = 0
    address: str = ""
    addresses: int = 0
    list_failure: ListFailure | None = None
    list_failures: Mapping[ListFailure, int] = field(default_factory=dict)
    note: str = ""
    crashes: int = 0
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class Survey:
    """The clients of a server at one moment (Unix time), in bounded groups; OTHER holds the rest of each.

    `trends` has the same apps as the groups; `unseen` counts connections that no list saw, `share_seen` is
    the share of those opened of late that one did see; `folded` is how many connections of each cut are in
    its OTHER.
    """

    at: float
    groups: ClientGroups
    trends: Mapping[str, AppTrend]
    unseen: int
    folded: Mapping[str, int]
    cost: ListCost
    share_seen: float | None = None


@dataclass(frozen=True, slots=True)
class PollStep:
    """A part of a poll: when it began after the poll did, and how long it took (seconds).

    `outcome` is for people, printable and free of secrets; empty where there is nothing to say.
    """

    name: str
    offset: float
    took: float
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One successful poll. `at` is Unix time, `took` seconds; `denied` are commands this user may not run.

    `clients` is the newest list that may still be shown; it is as old as its own `at` says.
    `reserve_refuses` is what the poll before tells of this one (analyse/slots.py).
    """

    at: float
    took: float
    info: ServerInfo
    slots: Slots
    denied: frozenset[str] = frozenset()
    clients: Survey | None = None
    config: ServerConfig = ServerConfig()
    reserve_refuses: bool = False
    steps: tuple[PollStep, ...] = ()

    @property
    def state(self) -> State:
        """OK, LOADING, or AT_LIMIT when only connections that were there before can still get through."""
        if self.slots.full or self.reserve_refuses:
            return State.AT_LIMIT
        return State.LOADING if self.info.count(b"loading") else State.OK


@dataclass(frozen=True, slots=True)
class Outage:
    """One failed poll and why; `detail` is for people, printable, and free of secrets."""

    at: float
    took: float
    state: State
    detail: str
    steps: tuple[PollStep, ...] = ()


Observation = Reading | Outage
