"""Rows of CLIENT LIST to counts: who holds the connections, and what they do with them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporter.analyse.apps import clean_label, host_of, name_app, name_app_by_host
from exporter.model import AppClients, AppRules, ClientGroups, ClientState
from exporter.parse.clients import Row, read_identity

IDLE_BUCKETS_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 21600, 86400)
AGE_BUCKETS_SECONDS = (1, 10, 60, 300, 900, 3600, 21600, 86400, 604800)

_MAX_REMEMBERED = 20_000

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

_POSITION = {state: position for position, state in enumerate(ClientState)}
_IDLE, _STALE, _BLOCKED = (
    _POSITION[state] for state in (ClientState.IDLE, ClientState.STALE, ClientState.BLOCKED)
)
_HELD = len(ClientState)  # idle in a transaction or with a watch for longer than stale_after
_QUIET = frozenset([_IDLE, _STALE, _HELD])
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
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            found = self._known[name, identity] = name_app(self._rules, name, user, library), labels
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
    """Counts of one app while a list is read; `states` by position in ClientState, then the held ones."""

    __slots__ = ("memory", "name", "oldest_idle", "states")

    def __init__(self, name: str) -> None:
        self.name = name
        self.states = [0] * (len(ClientState) + 1)
        self.memory = 0
        self.oldest_idle = 0


class Tally:
    """Counts the rows of one list, block by block, and gives the counts at its end.

    Whatever many rows share is counted as it was sent, and read once at the end. Our own connection is told
    by its id, or where that is not known (empty) by its address, and left out.
    """

    def __init__(
        self, names: AppNames, stale_after: float, own_id: bytes = b"", own_address: bytes = b""
    ) -> None:
        self._names = names
        self._stale_after = stale_after
        self._own = (0, own_id) if own_id else (1, own_address)
        self._apps: dict[str, _App] = {}
        self._apps_by_name: dict[tuple[bytes, bytes], _App | None] = {}
        self._apps_by_place: dict[bytes, _App] = {}
        self._states: dict[tuple[bytes, bytes, bytes], int] = {}
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
        """Count the rows of a block, and how many of it could not be read."""
        self._unreadable += unreadable
        column, own = self._own
        if own:
            rows = [row for row in rows if row[column] != own]
        if not rows:
            return
        ids, addresses, names, ages, idles, flags, databases, watches, memories, identities, commands = zip(
            *rows, strict=True
        )
        all_who = tuple(zip(names, identities, strict=True))
        places = [address.rpartition(b":")[0] for address in addresses]
        kinds = zip(flags, watches, idles, strict=True)
        self._who.update(all_who)
        self._places.update(places)
        self._databases.update(databases)
        self._idle.update(idles)
        self._age.update(ages)
        self._commands.update(zip(ids, commands, strict=True))
        apps, states, members = self._apps_by_name, self._states, self._members
        for position, (client_id, who, kind, memory) in enumerate(
            zip(ids, all_who, kinds, memories, strict=True)
        ):
            app = apps[who] if who in apps else self._find(who)
            if app is None:
                app = self._find_by_place(places[position])
            state = states[kind] if kind in states else self._judge(kind)
            app.states[state] += 1
            members[client_id] = app.name
            seconds = int(kind[2])
            if seconds > app.oldest_idle:  # noqa: PLR1730  max() takes twice as long, and this is the hot loop
                app.oldest_idle = seconds
            if memory:
                app.memory += int(memory)
            if state in _QUIET:
                self._note_quiet(client_id, app.name, state, rows[position])
            elif state == _BLOCKED:
                self._blocked[who] += 1
                self._longest = max(self._longest, seconds)
        self._tells_memory = self._tells_memory or any(memories)

    def _note_quiet(self, client_id: bytes, app: str, state: int, row: Row) -> None:
        commands = row[10]
        if commands:
            self._quiet[client_id] = app, commands
        if state == _HELD:
            self._suspected[client_id] = app
        elif state == _STALE:
            if row[9].startswith(b"cmd=NULL") or int(row[3]) - int(row[4]) <= _HANDSHAKE_SECONDS:
                self._suspected[client_id] = app
            elif commands:
                self._stale[client_id] = app, commands

    def _app(self, name: str) -> _App:
        found = self._apps.get(name)
        if found is None:
            found = self._apps[name] = _App(name)
        return found

    def _find(self, who: tuple[bytes, bytes]) -> _App | None:
        name = self._names.find(*who)[0]
        found = self._apps_by_name[who] = None if name is None else self._app(name)
        return found

    def _find_by_place(self, place: bytes) -> _App:
        found = self._apps_by_place.get(place)
        if found is None:
            found = self._apps_by_place[place] = self._app(self._names.find_host(place)[1])
        return found

    def _judge(self, kind: tuple[bytes, bytes, bytes]) -> int:
        flags, watch, idle = kind
        state = _POSITION[state_of(flags, watch, int(idle), self._stale_after)]
        if state == _IDLE and int(idle) > self._stale_after:
            state = _HELD
        self._states[kind] = state
        return state

    @property
    def total(self) -> int:
        """How many clients were counted."""
        return len(self._members)

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
        states = {state: count for state, count in zip(ClientState, counts, strict=True) if count}
        return AppClients(states, app.memory if self._tells_memory else None, app.oldest_idle)


def _buckets(counts: Mapping[bytes, int], bounds: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Counts per bucket (each up to its bound, the last without one), and the sum of all values."""
    buckets, total = [0] * (len(bounds) + 1), 0
    for digits, count in counts.items():
        buckets[bisect_left(bounds, int(digits))] += count
        total += int(digits) * count
    return tuple(buckets), total
