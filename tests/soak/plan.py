"""What happens when: drawn from a seed before anything starts, so that a bad run can be had again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.soak.members import (
    FAULTY,
    FULL,
    KEEP_WAITING,
    LONG_GRACE,
    MOVE_ALLOWED,
    RENAMED,
    ROTATED,
    SHORT_GRACE,
)

# Nothing but reloads happens for so long; what the exporter holds then is what it must come back to.
WARM_UP = 15.0
RELOAD_EVERY = 5.0
STALL_EVERY = 20.0
_QUIET_END = 10.0  # the last fault begins so long before the end
_LONGEST_DELAY = 2.5


class Kind(StrEnum):
    """What the proxy does to a connection."""

    RESET = "reset"
    DELAY = "delay"
    DROP = "drop"
    HALVE = "halve"
    GARBLE = "garble"


class Way(StrEnum):
    """Where bytes go."""

    TO_SERVER = "to server"
    TO_EXPORTER = "to exporter"


@dataclass(frozen=True, slots=True)
class Fault:
    """What a door does to all its connections, and to new ones, until it is healed.

    `delay` is in seconds and counts for each piece. `cut`: a halved answer is followed by the end of the
    connection instead of silence. `seed` is for what is drawn byte by byte.
    """

    kind: Kind
    ways: frozenset[Way]
    delay: float = 0.0
    cut: bool = False
    seed: int = 0

    @property
    def grace(self) -> float:
        """How long after its end (seconds) the target may still be stale."""
        if self.kind is Kind.RESET or (self.kind is Kind.HALVE and self.cut):
            return SHORT_GRACE
        return SHORT_GRACE + 2 * self.delay if self.kind is Kind.DELAY else LONG_GRACE


class What(StrEnum):
    """All that can happen; `subject` of an event is a member, or for a password a user."""

    RELOAD = "reload"
    FAULT = "fault"
    HEAL = "heal"
    STALL = "stall"
    RESUME = "resume"
    MOVE = "move"
    RENAME = "rename"
    PASSWORD = "password"
    USER = "user"
    CERTIFICATES = "certificates"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens, so many seconds after the start."""

    at: float
    what: What
    subject: str = ""
    fault: Fault | None = None


def draw_plan(seed: int, seconds: float) -> tuple[Event, ...]:
    """Draw all that happens in a soak of so many seconds, in order. Each stream has chances of its own."""

    def chances(stream: str) -> random.Random:
        return random.Random(f"{seed} {stream}")

    events = [*_every(RELOAD_EVERY, seconds, What.RELOAD), *_full(chances(FULL), seconds)]
    for name in FAULTY:
        events += _faults(name, chances(name), seconds)
    for name in RENAMED:
        events += _now_and_then(chances(f"rename {name}"), seconds, What.RENAME, name)
    for server, user in ROTATED:
        if server != FULL:
            events += _now_and_then(chances(f"password {user}"), seconds, What.PASSWORD, user)
    events += _now_and_then(chances("user"), seconds, What.USER)
    events += _now_and_then(chances("certificates"), seconds, What.CERTIFICATES)
    events += _moves(seconds)
    return tuple(sorted(events, key=lambda event: event.at))


def draw_fault(chance: random.Random) -> Fault:
    """Draw a fault of any kind."""
    kind = chance.choice(tuple(Kind))
    ways = chance.choice(
        (
            frozenset(Way),
            frozenset({Way.TO_EXPORTER}),
            frozenset({Way.TO_SERVER}),
            frozenset({Way.TO_EXPORTER}),
        )
    )
    delay = chance.uniform(0.1, _LONGEST_DELAY) if kind is Kind.DELAY else 0.0
    return Fault(kind, ways, delay, cut=chance.random() < 0.5, seed=chance.getrandbits(32))


def _every(period: float, seconds: float, what: What) -> Iterator[Event]:
    count = int(seconds / period)
    return (Event(number * period, what) for number in range(1, count))


def _faults(name: str, chance: random.Random, seconds: float) -> Iterator[Event]:
    """One fault after the other on one member, each of them long enough apart to see it healthy between."""
    at = WARM_UP + chance.uniform(0, 20)
    while at < seconds - _QUIET_END:
        fault = draw_fault(chance)
        # Half of the resets are over at once: they hit the held connection between two polls.
        short = fault.kind is Kind.RESET and chance.random() < 0.5
        healed = at + (0.1 if short else chance.uniform(1, 8))
        yield Event(at, What.FAULT, name, fault)
        yield Event(healed, What.HEAL, name)
        at = healed + fault.grace + chance.uniform(8, 25)


def _full(chance: random.Random, seconds: float) -> Iterator[Event]:
    """Every 20 s the full server stalls for some; then its password changes, and it is reset or slow.

    Nothing here loses bytes: a connection that lost some is of no use, and no exporter could keep its slot.
    """
    for number in range(int((seconds - _QUIET_END - WARM_UP) / STALL_EVERY)):
        begun = WARM_UP + 2 + number * STALL_EVERY
        yield Event(begun, What.STALL)
        # Every second stall is longer than a connection is given elsewhere.
        length = chance.uniform(2, 5) if number % 2 else chance.uniform(KEEP_WAITING + 1, 9)
        yield Event(begun + length, What.RESUME)
        yield from (Event(begun + 10, What.PASSWORD, user) for server, user in ROTATED if server == FULL)
        at = begun + chance.uniform(12, 13)
        delayed = Fault(Kind.DELAY, frozenset(Way), chance.uniform(0.2, _LONGEST_DELAY))
        match number % 3:
            case 1:
                yield Event(at, What.FAULT, FULL, Fault(Kind.RESET, frozenset()))
                yield Event(at + 0.1, What.HEAL, FULL)
            case 2:
                yield Event(at, What.FAULT, FULL, delayed)
                yield Event(at + 4, What.HEAL, FULL)


def _now_and_then(chance: random.Random, seconds: float, what: What, subject: str = "") -> Iterator[Event]:
    at = WARM_UP + chance.uniform(0, 15)
    while at < seconds - _QUIET_END:
        yield Event(at, what, subject)
        at += chance.uniform(15, 30)


def _moves(seconds: float) -> Iterator[Event]:
    """The name moves as often as the exporter can follow."""
    at = WARM_UP + 5
    while at + MOVE_ALLOWED < seconds:
        yield Event(at, What.MOVE)
        at += MOVE_ALLOWED + 5
