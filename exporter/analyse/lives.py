"""What is remembered of single connections from one list to the next."""

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from exporter.analyse.members import Members
from exporter.limits import PAUSES_REMEMBERED
from exporter.parse.clients import read_counters

_ROWS_A_STEP = 2000
_SLACK_SECONDS = 2  # of whole seconds, and of a server that looks at its clients each second
_CLOSINGS_NOTED = 10  # of a process in one list
_CLOSING_LISTS = 4  # in which connections were closed after a rest, before it is a habit
_LISTS = 0  # where their number is counted, as a step of patience that nobody has
_PING_BYTES = 14  # *1 $4 PING
# How long connections may be quiet (seconds) and still be wanted: steps of patience.
PATIENCE = (30, 60, 120, 300)
_KEPT_SECONDS = 1800.0  # for which, and once more, it is remembered how many came back after so long


class Lives:
    """Compares a list with the one before: who came and went, when each last did any work, who comes back.

    Of the newest list `members`, `used` has by position when each did any work last and `opened` when it was
    opened (whole seconds of the monotonic clock), and `unworked` those that never did as far as is known.
    `came` are positions in it, `gone` in the list `before`; those that have not had the time to say their
    names are not among them.
    """

    def __init__(self) -> None:
        self.members = self.before = Members(since=0.0)
        self.used: Sequence[int] = ()
        self.opened: list[int] = []
        self.unworked: set[int] = set()
        self.came: list[int] = []
        self.gone: list[int] = []
        self.moment = 0
        self._at: dict[bytes, int] = {}
        self._newborn: frozenset[bytes] = frozenset()
        self._closed_after: dict[tuple[int, str], list[int]] = {}  # by mark and app
        # Of those whose last command was no work: when they worked, whether they ever did, their counters.
        self._idlers: dict[bytes, tuple[int, bool, bytes]] = {}
        # By app, how many connections came back after each step of patience: of late, and before that.
        self._returns: dict[str, Counter[int]] = {}
        self._returns_before: dict[str, Counter[int]] = {}
        self._closings: dict[str, Counter[int]] = {}
        self._closings_before: dict[str, Counter[int]] = {}
        self._noted_since = 0

    def follow(self, members: Members, now: float) -> Iterator[None]:
        """Take the next list, made at a moment (monotonic), in steps that are short each."""
        self.before, at_before, used_before, moment_before = self.members, self._at, self.used, self.moment
        self.members, self.moment = members, int(now)
        last_used = self.used = members.last_used(self.moment)
        self.opened = members.opened(self.moment)
        yield
        if members.ids != self.before.ids:  # else all are where they were
            self._at = dict(zip(members.ids, range(len(members.ids)), strict=True))
        yield
        self._see_who_worked(last_used, at_before, used_before, moment_before)
        yield
        self._see_who_came_and_went(at_before)
        yield
        yield from self._note_returns(used_before, moment_before)
        self._note_closings(used_before, moment_before)
        self._forget()

    def let_go(self) -> None:
        """Keep only what the next list is compared with."""
        self.members.shed()
        self.used = array("q", self.used)  # a fifth of the memory
        self.before = Members(since=0.0)
        self.came, self.gone, self.opened, self.unworked, self._closed_after = [], [], [], set(), {}

    @property
    def apps(self) -> list[str]:
        """The app of each connection of the newest list."""
        return self.members.apps

    @property
    def apps_that_came(self) -> list[str]:
        """The app of each connection that came."""
        return [self.members.origins[position].app.name for position in self.came]

    @property
    def apps_that_went(self) -> list[str]:
        """The app of each connection that went."""
        return [self.before.apps[position] for position in self.gone]

    @property
    def newborn(self) -> int:
        """How many connections have not had the time to say their names."""
        return len(self._newborn)

    def closed_after(self, label: Callable[[str], str]) -> dict[str, list[int]]:
        """By the label of the app, the pauses (seconds) after which quiet connections were closed."""
        by_label: dict[str, list[int]] = {}
        for (_, app), pauses in self._closed_after.items():
            by_label.setdefault(label(app), []).extend(pauses)
        return by_label

    def last_command(self, position: int) -> int:
        """When a connection of the newest list ran its last command, whatever that was."""
        return self.moment - self.members.idle(position)

    def returns(self, app: str, patience: float) -> int:
        """How many connections of an app worked again, or were closed by it, after so many seconds."""
        told = [kept[app] for kept in (self._returns, self._returns_before) if app in kept]
        closings = [kept[app] for kept in (self._closings, self._closings_before) if app in kept]
        if sum(kept[_LISTS] for kept in closings) >= _CLOSING_LISTS:
            told += closings
        return sum(number for kept in told for step, number in kept.items() if step >= patience)

    def _see_who_came_and_went(self, at_before: Mapping[bytes, int]) -> None:
        """Find who came and went; a newborn comes when it has had the time to say its name.

        In the first list all were there before.
        """
        members, before = self.members, self._newborn
        newborn = [origin for origin in members.together if origin.is_newborn] if at_before else []
        young = (members.ids[position] for origin in newborn for position in origin.positions)
        self._newborn = frozenset(each for each in young if each not in at_before or each in before)
        at = self._at
        self.came = [at[client] for client in at if client not in at_before] if at is not at_before else []
        self.gone = (
            [at_before[client] for client in at_before if client not in at] if at is not at_before else []
        )
        if self._newborn:
            self.came = [position for position in self.came if members.ids[position] not in self._newborn]
        if before:
            self.came += [self._at[client] for client in before - self._newborn if client in self._at]
            self.gone = [position for position in self.gone if self.before.ids[position] not in before]

    def _see_who_worked(
        self,
        last_used: list[int],
        at_before: Mapping[bytes, int],
        used_before: Sequence[int],
        moment_before: int,
    ) -> None:
        """For those whose last command was no work, find when they worked last, and put it into its list."""
        members = self.members
        idlers: dict[bytes, tuple[int, bool, bytes]] = {}
        self.unworked = set()
        for position in members.unused:
            client, counters = members.ids[position], members.counters[position]
            used, worked = self.used[position], False
            known = self._idlers.get(client)
            pinged = members.cells[position].command == "ping"
            if known is not None and not (pinged and _did_more_than_ping(known[2], counters)):
                used, worked, _ = known
            elif known is not None:
                worked = True
                if members.idle(position) < members.since:
                    members.needed[members.origins[position].app.name] += 1
            elif client in at_before:
                # Those that waited or listened did so until then.
                used, worked = min(used_before[at_before[client]], moment_before), True
            idlers[client] = used, worked, counters
            last_used[position] = used
            if not worked:
                self.unworked.add(position)
        self._idlers = idlers

    def _note_returns(self, used_before: Sequence[int], moment_before: int) -> Iterator[None]:
        """Note after which pauses connections did work again."""
        before, rested, at, used = self.before, moment_before - PATIENCE[0], self._at, self.used
        quiet = [position for position, moment in enumerate(used_before) if moment <= rested]
        ids = before.ids
        for start in range(0, len(quiet), _ROWS_A_STEP):
            yield
            for position in quiet[start : start + _ROWS_A_STEP]:
                here = at.get(ids[position])
                if here is not None and used[here] > used_before[position] + 1:
                    pause = moment_before - used_before[position]
                    self._note(self._returns, before.apps[position], pause)
        yield

    def _note_closings(self, used_before: Sequence[int], moment_before: int) -> None:
        """Note after which pauses connections were closed, while others of their process stayed.

        Not those that had rested longest of all: these the server may have closed (its `timeout`), which says
        nothing of the others. And only of apps that do so again and again: a process that ends closes what
        it has lost, too.
        """
        before, longest = self.before, self.before.longest_idle
        self._closed_after = {}
        for position in self.gone:
            pause = moment_before - used_before[position]
            if pause >= 0:  # those that wait or listen never rest
                of = before.marks[position], before.apps[position]
                self._closed_after.setdefault(of, []).append(pause)
        if not self._closed_after:
            return
        staying = {origin.mark for origin in self.members.together}
        for (mark, app), pauses in self._closed_after.items():
            if mark in staying:
                told = [pause for pause in pauses if pause < longest - self.members.since - _SLACK_SECONDS]
                noted = [pause for pause in sorted(told)[-_CLOSINGS_NOTED:] if pause >= PATIENCE[0]]
                for pause in noted:
                    self._note(self._closings, app, pause)
                if noted:
                    self._closings[app][_LISTS] += 1

    @staticmethod
    def _note(kept: dict[str, Counter[int]], app: str, pause: int) -> None:
        """Count a connection that was not lost though it rested for so long, the least step of patience."""
        counts = kept.get(app)
        if counts is None:
            if len(kept) >= PAUSES_REMEMBERED:
                del kept[next(iter(kept))]
            counts = kept[app] = Counter()
        counts[PATIENCE[bisect_right(PATIENCE, pause) - 1]] += 1

    def _forget(self) -> None:
        """Let go of what was noted long ago."""
        if self.moment - self._noted_since > _KEPT_SECONDS:
            self._returns_before, self._returns = self._returns, {}
            self._closings_before, self._closings = self._closings, {}
            self._noted_since = self.moment


def _did_more_than_ping(before: bytes, after: bytes) -> bool:
    """Whether commands other than pings ran between two readings of a client's counters."""
    if before == after:
        return False
    old, new = read_counters(before), read_counters(after)
    if old is None or new is None:
        return False
    return new[0] - old[0] != _PING_BYTES * (new[1] - old[1])
