"""The targets of the soak, and the deadlines that follow from how they are polled. Times in seconds."""

from collections.abc import Iterator
from dataclasses import dataclass

INTERVAL, TIMEOUT = 2.0, 1.0
CONNECT_TIMEOUT, KEEP_WAITING = 3.0, 6.0
_LONGEST_GAP = 1.1 * INTERVAL  # with all of the jitter

# The promise that is checked: a healthy target's newest reading is never older than this.
AGE_ALLOWED = INTERVAL + TIMEOUT + 1.0
# After trouble that leaves a connection usable, or closed: the poll under way may still fail.
SHORT_GRACE = _LONGEST_GAP + TIMEOUT + 1.0
# After bytes were lost: silence until the connection is given up, and an attempt to connect to the end.
LONG_GRACE = KEEP_WAITING + _LONGEST_GAP + CONNECT_TIMEOUT + SHORT_GRACE
# The exporter looks a name up again every 60 s; then it connects, and asks.
MOVE_ALLOWED = 60.0 + 2 * _LONGEST_GAP + CONNECT_TIMEOUT + 3.0

FULL_LIMIT = 40
MOVING_NAME = "moving.invalid"  # only our own /etc/hosts knows it


@dataclass(frozen=True, slots=True)
class Member:
    """One target: its door is a port of the proxy that leads to a server shared with others.

    A `steady` one gets no fault at all; whatever else changes, it must be fresh all the time.
    """

    name: str
    server: str
    user: str = ""
    steady: bool = False
    renamed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All that it may be called while the soak runs."""
        return (self.name, f"{self.name}-renamed") if self.renamed else (self.name,)


def _members() -> Iterator[Member]:
    for number in range(17):
        server = "plain-a" if number % 2 else "plain-b"
        yield Member(f"plain-{number}", server, steady=number < 2, renamed=number in (0, 5))
    for number in range(5):
        user = "alice" if number % 2 else "bob"
        yield Member(f"locked-{number}", "locked", user, steady=number < 2)
    yield Member("switching", "locked", "first", steady=True)
    for number in range(5):
        yield Member(f"secure-{number}", "secure", steady=number == 0)
    yield Member("moving", "plain-a", steady=True)
    yield Member("full", "full", "exporter", renamed=True)


MEMBERS = tuple(_members())
FULL, MOVING, SWITCHING = "full", "moving", "switching"
FAULTY = tuple(each.name for each in MEMBERS if not each.steady and each.name != FULL)
RENAMED = tuple(each.name for each in MEMBERS if each.renamed)
# The users whose password lies in a file that is rewritten, by server.
ROTATED = (("locked", "alice"), ("locked", "bob"), ("full", "exporter"))
SWITCHED_USERS = ("first", "second")

# Targets that all lead to the server whose clients never have one name twice; each has an address of its own,
# and a part of them another name after each reload.
CROWD_OF_A_SOAK, CROWD_OF_THE_SUITE = 150, 30
_RENAMED_IN_THE_CROWD = 0.4


def crowd_target(number: int, crowd: int, generation: int, port: int) -> dict[str, object]:
    """The settings of one of them, after so many reloads."""
    renamed = number < _RENAMED_IN_THE_CROWD * crowd
    name = f"crowd-{number}-{generation}" if renamed else f"crowd-{number}"
    return {"name": name, "url": f"redis://127.3.0.{number + 1}:{port}"}
