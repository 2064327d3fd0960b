"""Rows of CLIENT LIST to counts: who holds the connections, and what they do with them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import count
from operator import mul
from typing import TypeVar

from exporter.analyse.members import ALWAYS, RECENTLY, AppCounts, Doing, Members, Origin, OriginKey
from exporter.analyse.names import AppNames, Cell
from exporter.analyse.states import ACTIVE, BLOCKED, IDLE, judge
from exporter.analyse.top import OTHER
from exporter.limits import WORDS_REMEMBERED
from exporter.model import AppClients, ClientGroups
from exporter.parse.clients import Memory, Row, read_memory, read_seconds, read_work

IDLE_BUCKETS_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 21600, 86400)
AGE_BUCKETS_SECONDS = (1, 10, 60, 300, 900, 3600, 21600, 86400, 604800)

# Between a connection's opening and CLIENT SETNAME it has no name yet; no client can set one with a 0 in it.
_NEWBORN_SECONDS = 2
_NEWBORN = b"\0"

_LONGEST_SECONDS = 2**40  # that a rest is reckoned with, whatever a server says

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
# An app by its name, or nameless clients by the name of their host, its place and their library.
_AppKey = str | tuple[str, bytes, str]


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
    by its id, or where that is not known or not told by its address, and left out. `since` is how many
    seconds ago the list before was made.
    """

    def __init__(
        self,
        names: AppNames,
        stale_after: float,
        own_id: bytes = b"",
        own_address: bytes = b"",
        *,
        since: float = 15.0,
    ) -> None:
        self._names = names
        self._own_id, self._own_address = own_id, own_address
        # None of these knows the tally: a cycle would keep its ten thousand ids until a full collection.
        self._apps = _Remembered[_AppKey, AppCounts](_app_of)
        self._origins = _Remembered[OriginKey, Origin](partial(_origin_of, names, self._apps))
        self._doing = _Remembered[bytes, Doing](partial(_judge, stale_after, since))
        self._costs = _Remembered[bytes, Memory](read_memory)
        self._cells: Counter[Cell] = Counter()
        self._places: Counter[bytes] = Counter()
        self._works: Counter[bytes] = Counter()
        self._age: Counter[bytes] = Counter()
        self._blocked: Counter[str] = Counter()
        self._longest = self._unreadable = self._nameless = self.total = 0
        self._members = Members(since=since)

    def add(self, rows: Sequence[Row], unreadable: int = 0) -> None:
        """Count the rows of a block, and how many of it could not be read.

        Whole columns are counted at once, because that runs in C; only what differs from client to client is
        looked at one by one.
        """
        self._unreadable += unreadable
        rows, columns = self._without_us(rows)
        if not rows:
            return
        ids, addresses, names, ages, works, memories, identities, counters = columns
        if not all(ids):  # a fork may not tell them; an address is as good, until it is used again
            ids = tuple(told or address for told, address in zip(ids, addresses, strict=True))
        places = [address.rpartition(b":")[0] for address in addresses]
        cells = list(map(self._names.cells.__getitem__, identities))
        if b"" in names:
            names = tuple(
                name or (_NEWBORN if not cell.is_use and read_seconds(age) < _NEWBORN_SECONDS else b"")
                for name, age, cell in zip(names, ages, cells, strict=True)
            )
            self._nameless += names.count(b"")
        self._cells.update(cells)
        self._places.update(places)
        self._works.update(works)
        self._age.update(ages)
        callers = [cell.caller for cell in cells]
        origins = list(map(self._origins.__getitem__, zip(names, places, callers, strict=True)))
        doing = list(map(self._doing.__getitem__, works))
        self._members.add(ids, addresses, ages, origins, doing, cells, counters)
        self._count(origins, cells, doing, list(map(self._costs.__getitem__, memories)))
        self.total += len(rows)

    def _count(
        self, origins: list[Origin], cells: list[Cell], doing: list[Doing], costs: list[Memory]
    ) -> None:
        """Count what differs from client to client."""
        unused, standing = self._members.unused, self._members.standing
        for position, origin, cell, (state, seconds, subscriptions, _, used, _), (output, memory) in zip(
            count(self.total), origins, cells, doing, costs
        ):
            app = origin.app
            app.states[state] += 1
            origin.positions.append(position)
            if not cell.is_use and used != ALWAYS:
                unused.append(position)
            elif used:
                app.needed += 1
            if memory:
                app.memory += memory
            if seconds > app.oldest_idle:  # noqa: PLR1730  max() takes twice as long
                app.oldest_idle = seconds
            if subscriptions:
                app.subscriptions += subscriptions
            if output:
                app.output += output
            if state >= BLOCKED:
                if state == BLOCKED:
                    self._blocked[cell.command] += 1
                    self._longest = max(self._longest, seconds)
                else:
                    standing.append(position)

    def _without_us(self, rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[tuple[bytes, ...]]]:
        """The rows of all others, and their columns."""
        columns = tuple(zip(*rows, strict=True))
        at, own = (0, self._own_id) if self._own_id and rows and rows[0][0] else (1, self._own_address)
        if own and columns and own in columns[at]:
            return self._without_us([row for row in rows if row[at] != own])
        return rows, columns

    @property
    def unreadable(self) -> int:
        """How many rows could not be read."""
        return self._unreadable

    def members(self) -> Members:
        """Who was there; to be asked after `groups`, which settles what nameless clients are called."""
        rests = (rested for *_, rested in self._doing.values())
        self._members.longest_idle = max(rests, default=0)
        for app in self._apps.values():
            self._members.needed[app.name] += app.needed
        self._members.together = tuple(self._origins.values())
        return self._members

    def groups(self) -> ClientGroups:
        """All that was counted."""
        self._settle_names()
        commands: Counter[str] = Counter()
        users: Counter[str] = Counter()
        libraries: Counter[tuple[str, str]] = Counter()
        for cell, number in self._cells.items():
            commands[cell.command] += number
            users[cell.user] += number
            libraries[cell.library] += number
        hosts: Counter[str] = Counter()
        for place, number in self._places.items():
            hosts[self._names.places[place][0]] += number
        idle_times: Counter[int] = Counter()
        databases: Counter[str] = Counter()
        for work, number in self._works.items():
            _, seconds, _, database, _, _ = self._doing[work]
            idle_times[seconds] += number
            databases[database.decode()] += number
        ages: Counter[int] = Counter()
        for age, number in self._age.items():
            ages[read_seconds(age)] += number
        idle, idle_sum = _buckets(idle_times, IDLE_BUCKETS_SECONDS)
        lived, lived_sum = _buckets(ages, AGE_BUCKETS_SECONDS)
        return ClientGroups(
            total=self.total,
            unreadable=self._unreadable,
            nameless=self._nameless,
            apps=self._bounded_apps(),
            hosts=dict(hosts),
            users=dict(users),
            libraries=dict(libraries),
            commands=dict(commands),
            databases=dict(databases),
            idle_seconds=idle,
            idle_seconds_sum=idle_sum,
            age_seconds=lived,
            age_seconds_sum=lived_sum,
            blocked=dict(self._blocked),
            blocked_longest_seconds=self._longest,
        )

    def _settle_names(self) -> None:
        """Call nameless clients unnamed where named ones of the same host and library are there too."""
        nameless = [(key, app) for key, app in self._apps.items() if isinstance(key, tuple)]
        if not nameless:
            return
        named = {
            (origin.place, origin.caller.library) for origin in self._origins.values() if origin.is_named
        }
        for (host, place, library), app in nameless:
            app.name = f"{host} (unnamed)" if (place, library) in named else host

    def _bounded_apps(self) -> dict[str, AppClients]:
        """The counts of each app, of those numbers that the server tells."""
        by_name: dict[str, AppCounts] = {}
        for app in self._apps.values():
            by_name.setdefault(app.name, AppCounts(app.name)).add(app)
        freeze = partial(
            AppCounts.freeze,
            memory=any(cost.total is not None for cost in self._costs.values()),
            subscriptions=any(told is not None for _, _, told, *_ in self._doing.values()),
            output=any(cost.output is not None for cost in self._costs.values()),
        )
        return {name: freeze(app) for name, app in by_name.items()}


def _app_of(key: _AppKey) -> AppCounts:
    return AppCounts(key if isinstance(key, str) else key[0])


def _origin_of(names: AppNames, apps: Mapping[_AppKey, AppCounts], key: OriginKey) -> Origin:
    """Find the app of the connections that share name, place and caller."""
    name, place, told = key
    caller = names.callers[told]
    if name == _NEWBORN and not caller.app_before_name:
        return Origin(key, caller, apps[OTHER], is_newborn=True)
    app = caller.app_before_name or names.apps[name] or caller.app_after_name
    if app or name:
        return Origin(key, caller, apps[app or names.places[place][1]])
    return Origin(key, caller, apps[names.places[place][1], place, caller.library])


def _judge(stale_after: float, since: float, work: bytes) -> Doing:
    state, seconds, subscriptions, database = _state_of(stale_after, work)
    if (state < IDLE and state != ACTIVE) or state == BLOCKED:
        used = ALWAYS
    else:
        used = RECENTLY if seconds < since else 0
    return state, seconds, subscriptions, database, used, min(seconds, _LONGEST_SECONDS)


@lru_cache(maxsize=WORDS_REMEMBERED)
def _state_of(stale_after: float, work: bytes) -> tuple[int, int, int | None, bytes]:
    """Many clients, and lists, share the same work: most are idle for whole seconds below a few hundred."""
    idle, flags, database, subscriptions, watch = read_work(work)
    return judge(flags, watch, idle, stale_after), idle, subscriptions, database


def _buckets(counts: Mapping[int, int], bounds: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Counts per bucket (each up to its bound, the last without one), and the sum of all values."""
    buckets = [0] * (len(bounds) + 1)
    for position, number in zip(map(partial(bisect_left, bounds), counts), counts.values(), strict=True):
        buckets[position] += number
    return tuple(buckets), sum(map(mul, counts, counts.values()))
