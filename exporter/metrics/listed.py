"""Families that the newest CLIENT LIST feeds."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from exporter.board import Watch
from exporter.metrics.spec import Buckets, Distributed, Family, Kind, Row, Rows
from exporter.model import Survey

LISTED = "CLIENT LIST, our own connection left out, every clients.interval."


def survey_of(watch: Watch) -> Survey | None:
    """The newest list, where it may be shown."""
    return watch.reading.clients if watch.reading is not None else None


class Source(NamedTuple):
    """What feeds a family, and the part of the newest list that alone it is made of."""

    source: Rows | Distributed
    part: Callable[[Survey], object]


def of(part: Callable[[Survey], Any], rows: Callable[[Any], Iterable[Row]]) -> Source:
    """Rows that a part of the list alone is made of."""

    def made(watch: Watch) -> Iterable[Row]:
        survey = survey_of(watch)
        return rows(part(survey)) if survey is not None else ()

    return Source(made, part)


def listed(name: str, kind: Kind, meaning: str, source: Source, labels: tuple[str, ...] = ()) -> Family:
    """A family that the newest list feeds."""
    return Family(name, kind, meaning, source.source, labels, depends_on=survey_of, part=source.part)


def by_label(path: str) -> Source:
    """Numbers by a label."""
    return of(attrgetter(path), lambda counts: (((label,), count) for label, count in counts.items()))


def alone(path: str) -> Source:
    """One number."""
    return of(attrgetter(path), lambda number: [((), number)])


def per_app(apps: Callable[[Survey], Any], attribute: str, *, least: int = 0) -> Source:
    """One number of each app, where it is known and not below the least."""
    choose = attrgetter(attribute)

    def rows(apps: Mapping[str, object]) -> Iterator[Row]:
        for name, app in apps.items():
            number = choose(app)
            if number is not None and number >= least:
                yield (name,), number

    return of(apps, rows)


def distributed(bounds: Sequence[int], path: str) -> Source:
    """Counts by bucket, and the sum of all values."""
    part = attrgetter(path, f"{path}_sum")

    def buckets(watch: Watch) -> Buckets | None:
        survey = survey_of(watch)
        return (bounds, *part(survey)) if survey is not None else None

    return Source(Distributed(buckets), part)
