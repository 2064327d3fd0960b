"""Who was in a list, client by client: what leaks are found in, and what the next list is compared with."""

from array import array
from collections import Counter
from collections.abc import Sequence

from exporter.analyse.names import Caller, Cell
from exporter.analyse.states import ACTIVE, BLOCKED, HELD, IDLE, ORDER, PUBSUB, STALE
from exporter.model import AppClients
from exporter.parse.clients import read_seconds

# What clients with the same work do: the position of their state, seconds idle, subscriptions, database,
# whether they are in use, and for how many seconds they have rested. They are in use if they ran something
# since the list before and that is a use, and always where they wait, listen or replicate: those never rest.
Doing = tuple[int, int, int | None, bytes, int, int]
RECENTLY, ALWAYS = 1, 2
NEVER_RESTS = -(2**40)
_WORKING = frozenset([ACTIVE, IDLE, STALE, HELD, BLOCKED])

# Name, place (an address without its port), and user with library, as the server wrote them.
OriginKey = tuple[bytes, bytes, bytes]


class AppCounts:
    """Counts of one app while a list is read; `states` by position, the held ones last."""

    __slots__ = ("memory", "name", "needed", "oldest_idle", "output", "states", "subscriptions")

    def __init__(self, name: str) -> None:
        self.name = name
        self.states = [0] * (len(ORDER) + 1)
        self.memory = self.output = self.subscriptions = self.needed = 0
        self.oldest_idle = 0

    def add(self, other: "AppCounts") -> None:
        """Add the counts of another group of the same app."""
        self.states = [one + another for one, another in zip(self.states, other.states, strict=True)]
        self.memory += other.memory
        self.output += other.output
        self.subscriptions += other.subscriptions
        self.needed += other.needed
        self.oldest_idle = max(self.oldest_idle, other.oldest_idle)

    def freeze(self, *, memory: bool, subscriptions: bool, output: bool) -> AppClients:
        """The counts, of those numbers that the server tells."""
        *counts, held = self.states
        counts[IDLE] += held
        return AppClients(
            states={state: count for state, count in zip(ORDER, counts, strict=True) if count},
            memory_bytes=self.memory if memory else None,
            oldest_idle_seconds=self.oldest_idle,
            subscriptions=self.subscriptions if subscriptions else None,
            output_buffer_bytes=self.output if output else None,
        )


class Origin:
    """The connections of a list that share name, place and caller, by their positions: mostly one process.

    Those that are newborn have not had the time to say their name.
    """

    __slots__ = ("app", "caller", "is_newborn", "key", "mark", "positions")

    def __init__(self, key: OriginKey, caller: Caller, app: AppCounts, *, is_newborn: bool = False) -> None:
        self.key = key
        self.mark = hash(key)  # what is kept of it when the next list comes
        self.caller = caller
        self.app = app
        self.is_newborn = is_newborn
        self.positions: list[int] = []

    @property
    def place(self) -> bytes:
        """Where they come from: an address without its port."""
        return self.key[1]

    @property
    def is_named(self) -> bool:
        """Whether they have set a name."""
        return bool(self.key[0]) and not self.is_newborn


class Members:
    """The columns of a list, in the order in which it came; a position is the same client in all of them.

    `unused` are the positions of those whose last command is no use of a connection, `standing` of those that
    are stale, or held in a transaction for as long. `since` is how many seconds ago the list before was.
    `together` are the origins, `needed` is how many connections of each app were in use since then, and
    `longest_idle` for how many seconds any has been idle that neither waits nor listens nor replicates.
    """

    def __init__(self, *, since: float) -> None:
        self.since = since
        self.ids: list[bytes] = []
        self.addresses: list[bytes] = []
        self.ages: list[bytes] = []
        self.origins: list[Origin] = []
        self.apps: list[str] = []  # this and the marks: of the origins, when those are gone
        self.marks = array("q")
        self.doing: list[Doing] = []
        self.cells: list[Cell] = []
        self.counters: list[bytes] = []
        self.unused: list[int] = []
        self.standing: list[int] = []
        self.together: Sequence[Origin] = ()
        self.needed: Counter[str] = Counter()
        self.longest_idle = 0

    def add(  # noqa: PLR0913, PLR0917  the columns of a block
        self,
        ids: Sequence[bytes],
        addresses: Sequence[bytes],
        ages: Sequence[bytes],
        origins: Sequence[Origin],
        doing: Sequence[Doing],
        cells: Sequence[Cell],
        counters: Sequence[bytes],
    ) -> None:
        """Take the next block."""
        self.ids += ids
        self.addresses += addresses
        self.ages += ages
        self.origins += origins
        self.doing += doing
        self.cells += cells
        self.counters += counters

    def age(self, position: int) -> int:
        """How old a connection is, in seconds."""
        return read_seconds(self.ages[position])

    def idle(self, position: int) -> int:
        """How long a connection has been idle, in seconds."""
        return self.doing[position][1]

    def may_work(self, position: int) -> bool:
        """Whether it runs commands, or waits in one: it neither listens nor replicates."""
        return self.doing[position][0] in _WORKING

    def is_subscribed(self, position: int) -> bool:
        """Whether it listens to channels."""
        return self.doing[position][0] == PUBSUB

    def last_used(self, moment: int) -> list[int]:
        """When each ran its last command, by whole seconds of a clock that says `moment`.

        Those that wait, listen or replicate are always in use: that is in a far future.
        """
        return [moment - doing[5] for doing in self.doing]

    def opened(self, moment: int) -> list[int]:
        """When each was opened, by whole seconds of a clock that says `moment`."""
        moments = {age: moment - read_seconds(age) for age in set(self.ages)}
        return list(map(moments.__getitem__, self.ages))

    def shed(self) -> None:
        """Let go of what the next list is not compared with."""
        self.addresses, self.ages, self.doing, self.cells, self.counters = [], [], [], [], []
        self.unused, self.standing, self.needed = [], [], Counter()
        self.apps = [origin.app.name for origin in self.origins]
        self.marks = array("q", [origin.mark for origin in self.origins])
        self.origins, self.together = [], ()
