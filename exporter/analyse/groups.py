"""Rows of CLIENT LIST to counts: who holds the connections, and what they do with them."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from exporter.analyse.apps import AppRules, clean_label, host_of, name_app, name_app_by_host
from exporter.model import AppClients, ClientGroups, ClientState
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


class _App:
    """Counts of one app while a list is read."""

    __slots__ = ("memory", "oldest_idle", "states")

    def __init__(self) -> None:
        self.states: Counter[ClientState] = Counter()
        self.memory = 0
        self.oldest_idle = 0


class Tally:
    """Counts the rows of one list, block by block, and gives the counts at its end."""

    def __init__(self, names: AppNames, stale_after: float, own_ids: Collection[bytes] = ()) -> None:
        self._names = names
        self._stale_after = stale_after
        self._own_ids = own_ids
        self._apps: defaultdict[str, _App] = defaultdict(_App)
        self._hosts: Counter[str] = Counter()
        self._labels: Counter[Labels] = Counter()
        self._databases: Counter[str] = Counter()
        self._idle = [0] * (len(IDLE_BUCKETS_SECONDS) + 1)
        self._age = [0] * (len(AGE_BUCKETS_SECONDS) + 1)
        self._idle_sum = self._age_sum = self._nameless = self._unreadable = self._longest = 0
        self._tells_memory = False
        self._blocked: Counter[str] = Counter()

    def add(self, rows: Iterable[Row], unreadable: int = 0) -> None:
        """Count the rows of a block, and how many of it could not be read."""
        self._unreadable += unreadable
        for client_id, address, name, age, idle, flags, db, watch, memory, identity, _ in rows:
            if client_id in self._own_ids:
                continue
            app_name, labels = self._names.find(name, identity)
            host, host_app = self._names.find_host(address.rpartition(b":")[0])
            app = self._apps[host_app if app_name is None else app_name]
            idle_seconds, age_seconds = int(idle), int(age)
            state = state_of(flags, watch, idle_seconds, self._stale_after)
            app.states[state] += 1
            app.oldest_idle = max(app.oldest_idle, idle_seconds)
            if memory:
                app.memory += int(memory)
                self._tells_memory = True
            self._hosts[host] += 1
            self._labels[labels] += 1
            self._databases[db.decode()] += 1
            self._idle[bisect_left(IDLE_BUCKETS_SECONDS, idle_seconds)] += 1
            self._age[bisect_left(AGE_BUCKETS_SECONDS, age_seconds)] += 1
            self._idle_sum += idle_seconds
            self._age_sum += age_seconds
            self._nameless += not name
            if state is ClientState.BLOCKED:
                self._blocked[labels[0]] += 1
                self._longest = max(self._longest, idle_seconds)

    def groups(self) -> ClientGroups:
        """All that was counted."""
        commands: Counter[str] = Counter()
        users: Counter[str] = Counter()
        libraries: Counter[tuple[str, str]] = Counter()
        for (command, user, library), count in self._labels.items():
            commands[command] += count
            users[user] += count
            libraries[library] += count
        apps = {
            name: AppClients(dict(app.states), app.memory if self._tells_memory else None, app.oldest_idle)
            for name, app in self._apps.items()
        }
        return ClientGroups(
            total=sum(self._hosts.values()),
            unreadable=self._unreadable,
            nameless=self._nameless,
            apps=apps,
            hosts=dict(self._hosts),
            users=dict(users),
            libraries=dict(libraries),
            commands=dict(commands),
            databases=dict(self._databases),
            idle_seconds=tuple(self._idle),
            idle_seconds_sum=self._idle_sum,
            age_seconds=tuple(self._age),
            age_seconds_sum=self._age_sum,
            blocked=dict(self._blocked),
            blocked_longest_seconds=self._longest,
        )
