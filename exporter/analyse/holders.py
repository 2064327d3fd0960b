"""Which instances hold an app's connections: the largest of them, with a few connections of each."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from exporter.analyse.apps import clean_label, host_of
from exporter.analyse.lives import Lives
from exporter.analyse.members import Members, Origin
from exporter.limits import INSTANCES_SHOWN, SAMPLES_SHOWN
from exporter.verdicts import Instance

_RATE_SECONDS = 300.0  # over which openings and closings are averaged
_WORDS_SHOWN = 3  # of last commands and databases


@dataclass(slots=True)
class _Rate:
    """Openings and closings per second of an instance, an average that forgets."""

    opened: float = 0.0
    closed: float = 0.0
    weight: float = 0.0

    def take(self, opened: int, closed: int, seconds: float) -> None:
        kept = math.exp(-seconds / _RATE_SECONDS)
        self.opened = self.opened * kept + (1 - kept) * opened / seconds
        self.closed = self.closed * kept + (1 - kept) * closed / seconds
        self.weight = self.weight * kept + 1 - kept


class Instances:
    """Describes the instances of apps, and remembers how quickly those that it described open and close."""

    def __init__(self) -> None:
        self._rates: dict[int, _Rate] = {}

    def describe(
        self, lives: Lives, by_app: Mapping[str, Sequence[Origin]], suspected: Collection[int]
    ) -> dict[str, tuple[Instance, ...]]:
        """Describe the largest instances of each of these apps; `suspected` are positions in the list."""
        chosen = {
            app: sorted(origins, key=lambda each: len(each.positions), reverse=True)[:INSTANCES_SHOWN]
            for app, origins in by_app.items()
        }
        shown = {origin.mark for origins in chosen.values() for origin in origins}
        origins, marks = lives.members.origins, lives.before.marks
        came = Counter(origins[position].mark for position in lives.came)
        gone = Counter(marks[position] for position in lives.gone)
        self._rates = {mark: self._rates.get(mark) or _Rate() for mark in shown}
        if lives.before.ids and lives.members.since > 0:
            for mark, rate in self._rates.items():
                rate.take(came[mark], gone[mark], lives.members.since)
        return {
            app: tuple(self._describe(lives, origin, suspected) for origin in origins)
            for app, origins in chosen.items()
        }

    def _describe(self, lives: Lives, origin: Origin, suspected: Collection[int]) -> Instance:
        members, positions = lives.members, origin.positions
        rate = self._rates[origin.mark]
        opened = [lives.opened[position] for position in positions]
        cells = Counter([members.cells[position] for position in positions])
        databases = Counter([members.doing[position][3] for position in positions])
        lost = [position for position in positions if position in suspected]
        # Those of a leak first, and of them those that rest longest.
        samples = sorted(lost or positions, key=members.idle, reverse=True)[:SAMPLES_SHOWN]
        return Instance(
            name=clean_label(origin.key[0]) if origin.is_named else "",
            host=host_of(origin.place + b":0"),
            user=origin.caller.user,
            library=origin.caller.library,
            open=len(positions),
            suspected=len(lost),
            opened=rate.opened / rate.weight if rate.weight else 0.0,
            closed=rate.closed / rate.weight if rate.weight else 0.0,
            oldest=max(0, lives.moment - min(opened)),
            newest=max(0, lives.moment - max(opened)),
            commands=_most((cell.command, number) for cell, number in cells.items()),
            databases=_most((database.decode(), number) for database, number in databases.items()),
            samples=tuple(_sample(members, position) for position in samples),
        )


@lru_cache(256)
def _shared(words: tuple[str, ...]) -> tuple[str, ...]:
    """Most instances say the same."""
    return words


def _most(counted: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The words that are there most often."""
    counts: Counter[str] = Counter()
    for word, number in counted:
        counts[word] += number
    return _shared(tuple(word for word, _ in counts.most_common(_WORDS_SHOWN)))


def _sample(members: Members, position: int) -> bytes:
    """Pack a connection, as there are many: id, age, idle, command, address (which may hold spaces)."""
    told = (members.ids[position], b"%d" % members.age(position), b"%d" % members.idle(position))
    command = members.cells[position].command.encode() or b"-"
    return b" ".join((*told, command, members.addresses[position]))
