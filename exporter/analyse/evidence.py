"""What one list says of leaks, connection by connection, with what is remembered of their lives."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence

from exporter.analyse.apps import pool_size_of
from exporter.analyse.leaks import GUARD_SECONDS, LINKS, Life, left_behind
from exporter.analyse.lives import PATIENCE, Lives
from exporter.analyse.members import Origin
from exporter.analyse.states import HELD
from exporter.analyse.verdict import MANY_OPENED
from exporter.verdicts import Evidence

_ROWS_A_STEP = 1000
_TIMES_RETURNED = 3  # as many left behind as came back after the same time
_LATELY_SECONDS = 5
_HANDSHAKE_SECONDS = 1  # AUTH and CLIENT SETNAME, and whole seconds rounded down


class _Pace:
    """Tells after how many rows it is time to let others."""

    def __init__(self) -> None:
        self._rows = 0

    def is_time(self, rows: int) -> bool:
        self._rows += rows
        if self._rows < _ROWS_A_STEP:
            return False
        self._rows = 0
        return True


class Findings:
    """By the label of the app: its origins, counts of evidence, and what was opened of late.

    `suspected` are positions in the list, `pools` sizes of pools, where the names of clients tell them.
    """

    def __init__(self) -> None:
        self.suspected: set[int] = set()
        self.suspected_of: Counter[str] = Counter()
        self.evidence: dict[str, Counter[Evidence]] = {}
        self.opened: Counter[str] = Counter()
        self.pools: Counter[str] = Counter()
        self.origins: dict[str, list[Origin]] = {}

    def widest(self, label: str) -> int:
        """How many connections the largest origin has."""
        return max((len(origin.positions) for origin in self.origins.get(label, ())), default=0)

    def count(self, label: str, evidence: Evidence, number: int = 1) -> None:
        """Count some connections as evidence."""
        if not number:
            return
        self.evidence.setdefault(label, Counter())[evidence] += number

    def suspect(self, label: str, positions: Sequence[int], evidence: Evidence) -> None:
        """Suspect connections that nobody suspects yet, and count all as evidence."""
        self.count(label, evidence, len(positions))
        new = [position for position in positions if position not in self.suspected]
        self.suspected.update(new)
        self.suspected_of[label] += len(new)


def look(
    found: Findings,
    lives: Lives,
    label: Callable[[str], str],
    *,
    quiet: Callable[[str], float],
    recent: float,
) -> Iterator[None]:
    """Look at the newest list of some lives, in short steps.

    A connection that did nothing for `quiet` seconds, by app, may be lost; those that are no older than
    `recent` seconds count as opened of late.
    """
    by_app = _group(found, lives, label)
    yield
    pace = _Pace()
    for app, origins in by_app.items():
        lost = yield from _lost_by(lives, app, origins, quiet(app), pace)
        if lost:
            found.suspect(label(app), lost, Evidence.LEFT_BEHIND)
            pinged = sum(lives.members.cells[position].command == "ping" for position in lost)
            found.count(label(app), Evidence.PINGED_ONLY, pinged)
    _look_at_new_ones(found, lives, label, recent)
    yield
    _look_at_standing(found, lives, label)


def _group(found: Findings, lives: Lives, label: Callable[[str], str]) -> dict[str, list[Origin]]:
    """Find the origins of each label, and by app those that may have a chain."""
    by_app: dict[str, list[Origin]] = {}
    for origin in lives.members.together:
        name = label(origin.app.name)
        found.origins.setdefault(name, []).append(origin)
        size = pool_size_of(origin.key[0])
        if size is not None:
            found.pools[name] += size
        if len(origin.positions) > LINKS and not origin.is_newborn:
            by_app.setdefault(origin.app.name, []).append(origin)
    return by_app


def _look_at_new_ones(found: Findings, lives: Lives, label: Callable[[str], str], recent: float) -> None:
    """Count what was opened of late by instances that opened many."""
    limit = lives.moment - recent
    origins = zip(lives.members.origins, lives.opened, strict=True)
    young = [origin for origin, moment in origins if moment >= limit]
    for origin, number in Counter(young).items():
        if number >= MANY_OPENED:
            found.opened[label(origin.app.name)] += number


def _look_at_standing(found: Findings, lives: Lives, label: Callable[[str], str]) -> None:
    """Find connections that are held in a transaction, and those that were never used."""
    members = lives.members
    for position in members.standing:
        if members.doing[position][0] == HELD:
            name = label(members.origins[position].app.name)
            found.suspect(name, (position,), Evidence.HELD_TRANSACTION)
        elif position in lives.unworked or (
            lives.used[position] - lives.opened[position] <= _HANDSHAKE_SECONDS
        ):
            found.count(label(members.origins[position].app.name), Evidence.NEVER_USED)


def _lost_by(
    lives: Lives, app: str, origins: Sequence[Origin], quiet: float, pace: _Pace
) -> Generator[None, None, list[int]]:
    """Find which connections of an app were left behind, with the least patience that its past allows."""
    for patience in (quiet, *(step for step in PATIENCE if step > quiet)):
        returns = lives.returns(app, patience)
        lost = []
        for origin in origins:
            lost += _lost(lives, origin, lives.moment - patience)
            if pace.is_time(len(origin.positions)):
                yield
        if not lost or len(lost) >= _TIMES_RETURNED * returns:
            return lost
    return []


def _lost(lives: Lives, origin: Origin, before: float) -> list[int]:
    """Positions of an origin's connections that were left behind; `before` bounds when those worked last."""
    used, opened, positions = lives.used, lives.opened, origin.positions
    newest = max(map(opened.__getitem__, positions))
    if not any(used[each] + GUARD_SECONDS < newest for each in positions):
        return []  # all of a pool that opens nothing any more
    quiet = [each for each in positions if used[each] < before]
    if len(quiet) < LINKS:
        return []
    told: list[Life] = [(used[each], opened[each], each) for each in quiet]
    if lives.unworked.issuperset(positions):
        # Where pings are all that there is, they may be sent before or after each use.
        told = [(lives.last_command(each), opened[each], each) for each in quiet]
        told = [life for life in told if life[0] < before]
    lately = lives.moment - min(lives.members.since + _LATELY_SECONDS, lives.moment - before)
    may_work = lives.members.may_work
    wanted = {opened[each] for each in positions if used[each] >= lately and may_work(each)}
    openings = set(map(opened.__getitem__, positions))
    lost = left_behind(told, openings, wanted, lives.unworked, lives.moment)
    return [position for _, _, position in lost] + _subscriptions(lives, origin, lost)


def _subscriptions(lives: Lives, origin: Origin, lost: Sequence[Life]) -> list[int]:
    """Positions of subscriptions that were opened with what was left behind: some clients have one each.

    (StackExchange.Redis opens one for each multiplexer.)
    """
    moments = {moment for _, moment, _ in lost}
    found = [
        position
        for position in (origin.positions if lost else ())
        if lives.members.is_subscribed(position) and lives.opened[position] in moments
    ]
    return found if 2 * len(found) >= len(lost) else []
