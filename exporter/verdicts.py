"""What several lists say of one app: the verdict, what speaks for it, and who holds its connections.

Frozen values, as in model.py; times in seconds, an absent field is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """What an app does with its connections, in one word; docs/leaks.md explains each."""

    HEALTHY = "healthy"
    OVERSIZED = "oversized"
    LEAKING = "leaking"
    GROWING = "growing"
    CHURNING = "churning"
    WAITING = "waiting"
    UNKNOWN = "unknown"


class Evidence(StrEnum):
    """What speaks for a verdict, counted in connections."""

    LEFT_BEHIND = "left_behind"
    NEVER_USED = "never_used"
    HELD_TRANSACTION = "held_transaction"
    PINGED_ONLY = "pinged_only"
    OPENED_AND_UNUSED = "opened_and_unused"
    REAPED_BY_TIMEOUT = "reaped_by_timeout"
    GROWTH_WITHOUT_NEED = "growth_without_need"


class Window(StrEnum):
    """The windows over which growth is told."""

    SHORT = "5m"
    MIDDLE = "15m"
    LONG = "1h"

    @property
    def seconds(self) -> float:
        """How long it is."""
        return {"5m": 300.0, "15m": 900.0, "1h": 3600.0}[self.value]


@dataclass(frozen=True, slots=True)
class Instance:
    """The connections of an app that share name, address, user and library: mostly one process.

    `name` is as the client set it, mostly with the pod in it. `opened` and `closed` are per second over the
    last minutes; `oldest` and `newest` are ages. `samples` are a few of its connections, packed: id, age,
    idle time, last command and address, with spaces between.
    """

    name: str
    host: str
    user: str
    library: str
    open: int
    suspected: int
    opened: float
    closed: float
    oldest: int
    newest: int
    commands: tuple[str, ...]
    databases: tuple[str, ...]
    samples: tuple[bytes, ...] = ()

    @property
    def label(self) -> str:
        """What it is called: its name, or its host where it has none."""
        return self.name or self.host


@dataclass(frozen=True, slots=True)
class AppTrend:
    """What only several lists tell of one app.

    `suspected` connections are leaked as far as the evidence goes. `needed` were in use since the list
    before, `needed_peak` is the most of them in the last hours. `growth` is by window, in connections per
    second, `busy_growth` that of those in use; a window that is not half full is absent. Of the last
    `recent` seconds, `opened_recently` are the connections that were opened then and are still there, and
    `needed_recently` is the most that were in use. `pool` is the size of its pools, where their names tell.
    `worst` is the instance of a leaking app that has lost most, and how many connections it has. There is no
    verdict on all other apps together.
    """

    opened: int
    closed: int
    suspected: int
    needed: int
    needed_peak: int
    growth: Mapping[Window, float]
    busy_growth: Mapping[Window, float]
    verdict: Verdict | None = None
    evidence: Mapping[Evidence, int] = field(default_factory=dict)
    recent: float = 0.0
    opened_recently: int = 0
    needed_recently: int = 0
    pool: int | None = None
    instances: tuple[Instance, ...] = ()
    worst: tuple[str, int] | None = None
