"""Rows of CLIENT LIST to counts: who holds the connections, and what they do with them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from exporter.analyse.apps import clean_label, host_of, name_app, name_app_by_host
from exporter.model import AppClients, AppRules, ClientGroups, ClientState
from exporter.parse.clients import Row, read_identity

IDLE_BUCKETS_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 21600, 86400)
AGE_BUCKETS_SECONDS = (1, 10, 60, 300, 900, 3600, 21600, 86400, 604800)

_MAX_REMEMBERED = 20_000
_MAX_REMEMBERED_BYTES = 1000

# The first flag of these decides (networking.c, catClientInfoString). Redis 8.4 marks the two ends of a slot
# migration with g and o, Valkey 9 with E and i, and Redis 8.0 the second link of a syncing replica with C.
# I is not among them: an internal connection to Redis 8, an import source to Valkey, a plain client to both.
_STATES_OF_FLAGS = (
    (b"SCgE", ClientState.REPLICA),
    (b"Moi", ClientState.PRIMARY),
    (b"O", ClientState.MONITOR),
    (b"b", ClientState.BLOCKED),
    (b"P", ClientState.PUBSUB),
)
_IN_TRANSACTION = b"xd"

# Positions of the states in a list of counts; those of which single clients are looked at come last.
_ORDER = (
    ClientState.ACTIVE,
    ClientState.PUBSUB,
    ClientState.MONITOR,
    ClientState.REPLICA,
    ClientState.PRIMARY,
    ClientState.IDLE,
    ClientState.BLOCKED,
    ClientState.STALE,
)
_POSITION = {state: position for position, state in enumerate(_ORDER)}
_IDLE, _STALE, _BLOCKED = (
    _POSITION[state] for state in (ClientState.IDLE, ClientState.STALE, ClientState.BLOCKED)
)
_HELD = len(_ORDER)  # idle in a transaction or with a watch for longer than stale_after
_HANDSHAKE_SECONDS = 1  # AUTH and CLIENT SETNAME, and whole seconds rounded down


def state_of(flags: bytes, watch: bytes, idle: int, stale_after: float) -> ClientState:
    """The one state of a connection; stale is only a plain client without a transaction or a watch."""
    for marks, state in _STATES_OF_FLAGS:
        if any(mark in flags for mark in marks):
            return state
    if idle == 0:
        return ClientState.ACTIVE
    in_transaction = any(mark in flags for mark in _IN_TRANSACTION) or watch not in (b"", b"0")
    return ClientState.STALE if idle > stale_after and not in_transaction else ClientState.IDLE


_Kind = tuple[bytes, bytes, bytes]  # flags, watch, idle
Labels = tuple[str, str, tuple[str, str]]


class AppNames:
    """Remembers what a name and an identity mean, and a host: most clients of a list share theirs."""

    def __init__(self, rules: AppRules) -> None:
        self._rules = rules
        self._known: dict[tuple[bytes, bytes], tuple[str | None, Labels]] = {}
        self._hosts: dict[bytes, tuple[str, str]] = {}

    def find(self, name: bytes, identity: bytes) -> tuple[str | None, Labels]:
        """The app, None where only the host can tell; and command, user and library with its version."""
        found = self._known.get((name, identity))
        if found is None:
            command, user, library, version = read_identity(identity)
            labels = clean_label(command), clean_label(user), (clean_label(library), clean_label(version))
            found = name_app(self._rules, name, user, library), labels
            if len(name) + len(identity) <= _MAX_REMEMBERED_BYTES:  # a name may be as long as a tenant likes
                if len(self._known) >= _MAX_REMEMBERED:
                    self._known.clear()
                self._known[name, identity] = found
        return found

    def find_host(self, place: bytes) -> tuple[str, str]:
        """The host of an address without its port, and the app of those whom nothing else names."""
        found = self._hosts.get(place)
        if found is None:
            host = host_of(place + b":0")
            if len(self._hosts) >= _MAX_REMEMBERED:
                self._hosts.clear()
            found = self._hosts[place] = host, name_app_by_host(self._rules, host)
        return found


@dataclass(frozen=True, slots=True)
class Members:
    """Who was in a list, by client id: what the next lists are compared with.

    `quiet` are those that do nothing now, `stale` the stale ones among them, both with their app and their
    commands counter (empty before Redis 8.2 and Valkey 8.0). `suspected` are leaks by this list alone: stale
    and never used, or idle for as long as that in a transaction or with a watch.
    """

    apps: Mapping[bytes, str]
    commands: Mapping[bytes, bytes]
    quiet: Mapping[bytes, tuple[str, bytes]]
    stale: Mapping[bytes, tuple[str, bytes]]
    suspected: Mapping[bytes, str]


class _App:
    """Counts of one app while a list is read; `states` by position, the held ones last."""

    __slots__ = ("memory", "name", "oldest_idle", "states")

    def __init__(self, name: str) -> None:
        self.name = name
        self.states = [0] * (len(_ORDER) + 1)
        self.memory = 0
        self.oldest_idle = 0


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Remembered(dict[_Key, _Value]):
    """A dict that asks a function once for each key that it does not have."""

    def __init__(self, find: Callable[[_Key], _Value]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, key: _Key) -> _Value:
        found = self[key] = self._find(key)
        return found


class Tally:
    """Counts the rows of one list, block by block, and gives the counts at its end.

    Whatever many rows share is counted as it was sent, and read once at the end. Our own connection is told
    by its id, or where that is not known (empty) by its address, and left out.
    """

    def __init__(
        self, names: AppNames, stale_after: float, own_id: bytes = b"", own_address: bytes = b""
    ) -> None:
        self._names = names
        self._own = (0, own_id) if own_id else (1, own_address)
        # None of these knows the tally: a cycle would keep its ten thousand ids until a full collection.
        self._apps = apps = _Remembered[str, _App](_App)

        def find(who: tuple[bytes, bytes]) -> _App | None:
            name = names.find(*who)[0]
            return None if name is None else apps[name]

        self._apps_by_name = _Remembered(find)
        self._apps_by_place = _Remembered[bytes, _App](lambda place: apps[names.find_host(place)[1]])
        self._states = _Remembered[_Kind, tuple[int, int]](lambda kind: _judge(kind, stale_after))
        self._who: Counter[tuple[bytes, bytes]] = Counter()
        self._places: Counter[bytes] = Counter()
        self._databases: Counter[bytes] = Counter()
        self._idle: Counter[bytes] = Counter()
        self._age: Counter[bytes] = Counter()
        self._blocked: Counter[tuple[bytes, bytes]] = Counter()
        self._longest = self._unreadable = 0
        self._tells_memory = False
        self._members: dict[bytes, str] = {}
        self._commands: dict[bytes, bytes] = {}
        self._quiet: dict[bytes, tuple[str, bytes]] = {}
        self._stale: dict[bytes, tuple[str, bytes]] = {}
        self._suspected: dict[bytes, str] = {}

    def add(self, rows: Sequence[Row], unreadable: int = 0) -> None:
        """Count the rows of a block, and how many of it could not be read.

        Whole columns are counted at once, because that runs in C; only what differs from client to client is
        looked at one by one.
        """
        self._unreadable += unreadable
        column, own = self._own
        if own:
            rows = [row for row in rows if row[column] != own]
        if not rows:
            return
        ids, addresses, names, ages, idles, flags, databases, watches, memories, identities, commands = zip(
            *rows, strict=True
        )
        who = tuple(zip(names, identities, strict=True))
        places = [address.rpartition(b":")[0] for address in addresses]
        self._who.update(who)
        self._places.update(places)
        self._databases.update(databases)
        self._idle.update(idles)
        self._age.update(ages)
        named = map(self._apps_by_name.__getitem__, who)
        apps = [app or self._apps_by_place[place] for app, place in zip(named, places, strict=True)]
        kinds = tuple(zip(flags, watches, idles, strict=True))
        states = list(map(self._states.__getitem__, kinds))
        for app, (state, seconds), memory in zip(apps, states, memories, strict=True):
            app.states[state] += 1
            if seconds > app.oldest_idle:  # noqa: PLR1730  max() takes twice as long
                app.oldest_idle = seconds
            if memory:
                app.memory += int(memory)
        self._tells_memory = self._tells_memory or any(memories)
        self._members.update(zip(ids, [app.name for app in apps], strict=True))
        counts_commands = any(commands)
        if counts_commands:
            self._commands.update(zip(ids, commands, strict=True))
        first_to_note = _IDLE if counts_commands else _BLOCKED
        for position, (state, seconds) in enumerate(states):
            if state >= first_to_note:
                self._note(rows[position], apps[position].name, state, seconds)

    def _note(self, row: Row, app: str, state: int, seconds: int) -> None:
        """Note what is to be said of one client, or compared with the next list."""
        client_id, commands = row[0], row[10]
        if state == _BLOCKED:
            self._blocked[row[2], row[9]] += 1
            self._longest = max(self._longest, seconds)
            return
        if commands:
            self._quiet[client_id] = app, commands
        if state == _HELD:
            self._suspected[client_id] = app
        elif state == _STALE:
            if row[9].startswith(b"cmd=NULL") or int(row[3]) - seconds <= _HANDSHAKE_SECONDS:
                self._suspected[client_id] = app
            elif commands:
                self._stale[client_id] = app, commands

    @property
    def total(self) -> int:
        """How many clients were counted."""
        return len(self._members)

    @property
    def unreadable(self) -> int:
        """How many rows could not be read."""
        return self._unreadable

    def members(self) -> Members:
        """Who was there."""
        return Members(self._members, self._commands, self._quiet, self._stale, self._suspected)

    def groups(self) -> ClientGroups:
        """All that was counted."""
        commands: Counter[str] = Counter()
        users: Counter[str] = Counter()
        libraries: Counter[tuple[str, str]] = Counter()
        blocked: Counter[str] = Counter()
        for who, count in self._who.items():
            command, user, library = self._names.find(*who)[1]
            commands[command] += count
            users[user] += count
            libraries[library] += count
            if who in self._blocked:
                blocked[command] += self._blocked[who]
        hosts: Counter[str] = Counter()
        for place, count in self._places.items():
            hosts[self._names.find_host(place)[0]] += count
        idle, idle_sum = _buckets(self._idle, IDLE_BUCKETS_SECONDS)
        age, age_sum = _buckets(self._age, AGE_BUCKETS_SECONDS)
        return ClientGroups(
            total=self._places.total(),
            unreadable=self._unreadable,
            nameless=sum(count for (name, _), count in self._who.items() if not name),
            apps={name: self._freeze(app) for name, app in self._apps.items()},
            hosts=dict(hosts),
            users=dict(users),
            libraries=dict(libraries),
            commands=dict(commands),
            databases={number.decode(): count for number, count in self._databases.items()},
            idle_seconds=idle,
            idle_seconds_sum=idle_sum,
            age_seconds=age,
            age_seconds_sum=age_sum,
            blocked=dict(blocked),
            blocked_longest_seconds=self._longest,
        )

    def _freeze(self, app: _App) -> AppClients:
        *counts, held = app.states
        counts[_IDLE] += held
        states = {state: count for state, count in zip(_ORDER, counts, strict=True) if count}
        return AppClients(states, app.memory if self._tells_memory else None, app.oldest_idle)


def _judge(kind: _Kind, stale_after: float) -> tuple[int, int]:
    """The state, by its position, and the seconds idle."""
    flags, watch, idle = kind
    seconds = int(idle)
    state = _POSITION[state_of(flags, watch, seconds, stale_after)]
    return (_HELD if state == _IDLE and seconds > stale_after else state), seconds


def _buckets(counts: Mapping[bytes, int], bounds: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Counts per bucket (each up to its bound, the last without one), and the sum of all values."""
    buckets, total = [0] * (len(bounds) + 1), 0
    for digits, count in counts.items():
        buckets[bisect_left(bounds, int(digits))] += count
        total += int(digits) * count
    return tuple(buckets), total
