"""Rows of CLIENT LIST to counts: who holds the connections, and what they do with them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import mul
from typing import TypeVar

from exporter.analyse.names import AppNames, Cell
from exporter.analyse.states import BLOCKED, HELD, IDLE, ORDER, judge
from exporter.limits import WORDS_REMEMBERED
from exporter.model import AppClients, ClientGroups
from exporter.parse.clients import Memory, Row, read_memory, read_seconds, read_work

IDLE_BUCKETS_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 21600, 86400)
AGE_BUCKETS_SECONDS = (1, 10, 60, 300, 900, 3600, 21600, 86400, 604800)

_HANDSHAKE_SECONDS = 1  # AUTH and CLIENT SETNAME, and whole seconds rounded down
_NEVER_USED = "NULL"  # the last command of a client that never ran one

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


# What clients with the same work do: the position of their state, seconds idle, subscriptions, database.
Doing = tuple[int, int, int | None, bytes]


@dataclass(frozen=True, slots=True)
class Members:
    """Who was in a list, by client id: what the next lists are compared with.

    `commands` are the commands counters, and `doing` what those who have one do; both are empty before Redis
    8.2 and Valkey 8.0. `stale` are the stale ones, with their app and counter. `suspected` are leaks by this
    list alone: stale and never used, or idle for as long as that in a transaction or with a watch.
    """

    apps: Mapping[bytes, str]
    commands: Mapping[bytes, bytes]
    doing: Mapping[bytes, Doing]
    stale: Mapping[bytes, tuple[str, bytes]]
    suspected: Mapping[bytes, str]


class _App:
    """Counts of one app while a list is read; `states` by position, the held ones last."""

    __slots__ = ("memory", "name", "oldest_idle", "output", "states", "subscriptions")

    def __init__(self, name: str) -> None:
        self.name = name
        self.states = [0] * (len(ORDER) + 1)
        self.memory = self.output = self.subscriptions = 0
        self.oldest_idle = 0


class Tally:
    """Counts the rows of one list, block by block, and gives the counts at its end.

    Whatever many rows share is counted as it was sent, and read once at the end. Our own connection is told
    by its id, or where that is not known or not told by its address, and left out.
    """

    def __init__(
        self, names: AppNames, stale_after: float, own_id: bytes = b"", own_address: bytes = b""
    ) -> None:
        self._names = names
        self._own_id, self._own_address = own_id, own_address
        # None of these knows the tally: a cycle would keep its ten thousand ids until a full collection.
        self._apps = _Remembered[str, _App](_App)
        self._doing = _Remembered[bytes, Doing](partial(_judge, stale_after))
        self._costs = _Remembered[bytes, Memory](read_memory)
        self._cells: Counter[Cell] = Counter()
        self._places: Counter[bytes] = Counter()
        self._works: Counter[bytes] = Counter()
        self._age: Counter[bytes] = Counter()
        self._blocked: Counter[str] = Counter()
        self._longest = self._unreadable = self._nameless = self.total = 0
        self._members: dict[bytes, str] = {}
        self._commands: dict[bytes, bytes] = {}
        self._doing_by_id: dict[bytes, Doing] = {}
        self._stale: dict[bytes, tuple[str, bytes]] = {}
        self._suspected: dict[bytes, str] = {}

    def add(self, rows: Sequence[Row], unreadable: int = 0) -> None:
        """Count the rows of a block, and how many of it could not be read.

        Whole columns are counted at once, because that runs in C; only what differs from client to client is
        looked at one by one.
        """
        self._unreadable += unreadable
        rows, columns = self._without_us(rows)
        if not rows:
            return
        self.total += len(rows)
        ids, addresses, names, ages, works, memories, identities, commands = columns
        if not all(ids):  # a fork may not tell them; an address is as good, until it is used again
            ids = tuple(told or address for told, address in zip(ids, addresses, strict=True))
        places = [address.rpartition(b":")[0] for address in addresses]
        cells = list(map(self._names.cells.__getitem__, identities))
        self._cells.update(cells)
        self._places.update(places)
        self._works.update(works)
        self._age.update(ages)
        by_host = self._names.places
        owners = [
            cell.app_before_name or app or cell.app_after_name or by_host[place][1]
            for cell, app, place in zip(cells, map(self._names.apps.__getitem__, names), places, strict=True)
        ]
        self._nameless += names.count(b"")
        apps = list(map(self._apps.__getitem__, owners))
        doing = list(map(self._doing.__getitem__, works))
        self._members.update(zip(ids, owners, strict=True))
        if any(commands):
            self._commands.update(zip(ids, commands, strict=True))
            self._doing_by_id.update(zip(ids, doing, strict=True))
        costs = map(self._costs.__getitem__, memories)
        for client_id, row, cell, app, does, (output, memory) in zip(
            ids, rows, cells, apps, doing, costs, strict=True
        ):
            state, seconds, subscriptions, _ = does
            app.states[state] += 1
            if memory:
                app.memory += memory
            if seconds > app.oldest_idle:  # noqa: PLR1730  max() takes twice as long
                app.oldest_idle = seconds
            if subscriptions:
                app.subscriptions += subscriptions
            if output:
                app.output += output
            if state >= BLOCKED:
                self._note(client_id, row, cell, app.name, does)

    def _without_us(self, rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[tuple[bytes, ...]]]:
        """The rows of all others, and their columns."""
        columns = tuple(zip(*rows, strict=True))
        at, own = (0, self._own_id) if self._own_id and rows and rows[0][0] else (1, self._own_address)
        if own and columns and own in columns[at]:
            return self._without_us([row for row in rows if row[at] != own])
        return rows, columns

    def _note(self, client_id: bytes, row: Row, cell: Cell, app: str, doing: Doing) -> None:
        """Note what is to be said of one client, or compared with the next list."""
        state, seconds, _, _ = doing
        if state == BLOCKED:
            self._blocked[cell.command] += 1
            self._longest = max(self._longest, seconds)
            return
        age, commands = row[3], row[-1]
        if state == HELD or cell.command == _NEVER_USED or read_seconds(age) - seconds <= _HANDSHAKE_SECONDS:
            self._suspected[client_id] = app
        elif commands:
            self._stale[client_id] = app, commands

    @property
    def unreadable(self) -> int:
        """How many rows could not be read."""
        return self._unreadable

    def members(self) -> Members:
        """Who was there."""
        return Members(self._members, self._commands, self._doing_by_id, self._stale, self._suspected)

    def groups(self) -> ClientGroups:
        """All that was counted."""
        commands: Counter[str] = Counter()
        users: Counter[str] = Counter()
        libraries: Counter[tuple[str, str]] = Counter()
        for cell, count in self._cells.items():
            commands[cell.command] += count
            users[cell.user] += count
            libraries[cell.library] += count
        hosts: Counter[str] = Counter()
        for place, count in self._places.items():
            hosts[self._names.places[place][0]] += count
        idle_times: Counter[int] = Counter()
        databases: Counter[str] = Counter()
        for work, count in self._works.items():
            _, seconds, _, database = self._doing[work]
            idle_times[seconds] += count
            databases[database.decode()] += count
        ages: Counter[int] = Counter()
        for age, count in self._age.items():
            ages[read_seconds(age)] += count
        idle, idle_sum = _buckets(idle_times, IDLE_BUCKETS_SECONDS)
        lived, lived_sum = _buckets(ages, AGE_BUCKETS_SECONDS)
        tells_output = any(cost.output is not None for cost in self._costs.values())
        tells_memory = any(cost.total is not None for cost in self._costs.values())
        tells_subscriptions = any(told is not None for _, _, told, _ in self._doing.values())
        return ClientGroups(
            total=self.total,
            unreadable=self._unreadable,
            nameless=self._nameless,
            apps={
                name: _freeze(
                    app, memory=tells_memory, subscriptions=tells_subscriptions, output=tells_output
                )
                for name, app in self._apps.items()
            },
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


def _freeze(app: _App, *, memory: bool, subscriptions: bool, output: bool) -> AppClients:
    """The counts of an app, of those numbers that the server tells."""
    *counts, held = app.states
    counts[IDLE] += held
    return AppClients(
        states={state: count for state, count in zip(ORDER, counts, strict=True) if count},
        memory_bytes=app.memory if memory else None,
        oldest_idle_seconds=app.oldest_idle,
        subscriptions=app.subscriptions if subscriptions else None,
        output_buffer_bytes=app.output if output else None,
    )


@lru_cache(maxsize=WORDS_REMEMBERED)
def _judge(stale_after: float, work: bytes) -> Doing:
    """Many clients, and lists, share the same work: most are idle for whole seconds below a few hundred."""
    idle, flags, database, subscriptions, watch = read_work(work)
    return judge(flags, watch, idle, stale_after), idle, subscriptions, database


def _buckets(counts: Mapping[int, int], bounds: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Counts per bucket (each up to its bound, the last without one), and the sum of all values."""
    buckets = [0] * (len(bounds) + 1)
    for position, count in zip(map(partial(bisect_left, bounds), counts), counts.values(), strict=True):
        buckets[position] += count
    return tuple(buckets), sum(map(mul, counts, counts.values()))
