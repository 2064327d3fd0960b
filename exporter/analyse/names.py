"""What names, identities and hosts of CLIENT LIST mean, remembered over lists for all servers together."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar
from weakref import WeakValueDictionary

from exporter.analyse.apps import Naming, clean_label, host_of
from exporter.analyse.states import is_use
from exporter.limits import (
    HOSTS_REMEMBERED,
    IDENTITIES_REMEMBERED,
    NAMES_REMEMBERED,
    REMEMBERED_BYTES,
    TEXT_BYTES,
)
from exporter.model import AppRules
from exporter.parse.clients import read_identity

_PARTS = 3
_KINDS = 3  # names, identities, hosts: each has a third of the bytes; a caller is a part of an identity

_Value = TypeVar("_Value")


class Remembered(dict[bytes, _Value]):
    """Asks a function for what a key means, and remembers the answers for keys that come again.

    Which keys come is up to others, so it has three parts of bounded size. Keys that came once wait in one,
    and those that never come again go no further. A key that comes again moves into the dict itself, where
    looking it up costs no call of Python. When that is full it becomes the part before, from which a key
    moves back when it is asked for, and what was before is forgotten.
    """

    def __init__(self, find: Callable[[bytes], _Value], most: int, most_bytes: int) -> None:
        """Hold at most so many keys, and so many bytes of them, in all parts together."""
        super().__init__()
        self._find = find
        self._most, self._most_bytes = most // _PARTS, most_bytes // _PARTS
        self._before: dict[bytes, _Value] = {}
        self._once: dict[bytes, _Value] = {}
        self._bytes = self._bytes_once = self._turned_away = 0

    @property
    def size(self) -> int:
        """How many keys are remembered."""
        return len(self) + len(self._before) + len(self._once)

    def __missing__(self, key: bytes) -> _Value:
        if key in self._before:
            return self._keep(key, self._before.pop(key))
        if key in self._once:
            self._bytes_once -= len(key)
            return self._keep(key, self._once.pop(key))
        found = self._find(key)
        if len(key) <= TEXT_BYTES:
            self._wait(key, found)
        return found

    def _keep(self, key: bytes, found: _Value) -> _Value:
        if len(self) >= self._most or self._bytes + len(key) > self._most_bytes:
            self._before = dict(self)
            self.clear()
            self._bytes = 0
        self[key] = found
        self._bytes += len(key)
        return found

    def _wait(self, key: bytes, found: _Value) -> None:
        """Let a key wait until it comes again; where no place is left, those who have one have a while."""
        if len(self._once) < self._most and self._bytes_once + len(key) <= self._most_bytes:
            self._once[key] = found
            self._bytes_once += len(key)
            return
        self._turned_away += 1
        if self._turned_away >= self._most:
            self._once = {}
            self._bytes_once = self._turned_away = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """What user and library mean: their labels, and the app by the sources before and after the name."""

    user: str
    library: str
    app_before_name: str
    app_after_name: str


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What an identity means: its labels, whether the last command is a use, and the key of its caller."""

    command: str
    user: str
    library: tuple[str, str]
    is_use: bool
    caller: bytes


class AppNames:
    """What names, identities and places (addresses without their port) mean by some rules.

    `apps` has the app of each name, empty where the name tells none; `places` the host of each, and the app
    of those whom nothing else names.
    """

    def __init__(self, rules: AppRules) -> None:
        asked = rules.sources[: rules.sources.index("host")] if "host" in rules.sources else rules.sources
        at = asked.index("name") if "name" in asked else len(asked)
        before, by_name, after = (
            Naming(replace(rules, sources=sources))
            for sources in (asked[:at], asked[at : at + 1], asked[at + 1 :])
        )
        by_host = Naming(rules)

        def app_of(name: bytes) -> str:
            return by_name.app_of(name, b"", b"") or ""

        def caller_of(caller: bytes) -> Caller:
            user, _, library = caller.partition(b" ")
            return Caller(
                clean_label(user),
                clean_label(library),
                before.app_of(b"", user, library) or "",
                after.app_of(b"", user, library) or "",
            )

        def place_of(place: bytes) -> tuple[str, str]:
            host = host_of(place + b":0")
            return host, by_host.app_of_host(host)

        most_bytes = REMEMBERED_BYTES // _KINDS
        self.apps = Remembered(app_of, NAMES_REMEMBERED, most_bytes)
        self.cells = Remembered(_cell_of, IDENTITIES_REMEMBERED, most_bytes // 2)
        self.callers = Remembered(caller_of, IDENTITIES_REMEMBERED, most_bytes // 2)
        self.places = Remembered(place_of, HOSTS_REMEMBERED, most_bytes)

    @property
    def size(self) -> int:
        """How many names, identities and hosts are remembered."""
        return self.apps.size + self.cells.size + self.callers.size + self.places.size


def _cell_of(identity: bytes) -> Cell:
    command, user, library, version = read_identity(identity)
    return Cell(
        clean_label(command),
        clean_label(user),
        (clean_label(library), clean_label(version)),
        is_use(command),
        user + b" " + library,
    )


_SHARED: WeakValueDictionary[AppRules, AppNames] = WeakValueDictionary()


def names_by(rules: AppRules) -> AppNames:
    """The names of all servers that follow these rules; they are forgotten with the last of those servers."""
    names = _SHARED.get(rules)
    if names is None:
        names = _SHARED[rules] = AppNames(rules)
    return names


def names_remembered() -> int:
    """How many names, identities and hosts the process remembers."""
    return sum(names.size for names in _SHARED.values())
