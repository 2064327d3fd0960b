"""Watches to pages. Each target's lines are written when its data arrive; a page only joins them."""

import asyncio
import contextlib
import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any

from exporter import threads
from exporter.board import Board, Watch
from exporter.limits import LABELS_WRITTEN
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.negotiation import Format
from exporter.metrics.own import OwnMetrics
from exporter.metrics.shared import Shared
from exporter.metrics.spec import Buckets, Distributed, Family, Field, Kind, label
from exporter.model import Target

_COMPRESS_ASIDE_BYTES = 128 * 1024  # above it gzip takes longer than a loop may be held
_BYTES_BETWEEN_YIELDS = 128 * 1024

Cells = tuple[bytes, ...]


@lru_cache(LABELS_WRITTEN)
def _added(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """The labels that a row adds to those of its target; most come again, and at other targets too."""
    return "".join(f",{label(name, value)}" for name, value in zip(names, values, strict=True))


def _head(family: Family, form: Format) -> bytes:
    """HELP and TYPE; OpenMetrics names a counter without its _total, and alone has gauge histograms."""
    name, kind = family.name, family.kind.value
    if form is Format.OPENMETRICS_1_0_0:
        name = name.removesuffix("_total") if family.kind is Kind.COUNTER else name
    elif family.kind is Kind.GAUGE_HISTOGRAM:
        kind = "histogram"
    return f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n".encode()


def _openmetrics_lines(family: Family, lines: bytes) -> bytes:
    """A family's lines as OpenMetrics wants them: a gauge histogram's sum and count are gsum and gcount."""
    if family.kind is not Kind.GAUGE_HISTOGRAM:
        return lines
    name = family.name.encode()
    for suffix in (b"sum", b"count"):
        lines = lines.replace(b"\n%b_%b{" % (name, suffix), b"\n%b_g%b{" % (name, suffix))
    return lines


def _scaled(digits: bytes, factor: float) -> bytes:
    return digits if factor == 1.0 else repr(float(digits) * factor).encode()


@dataclass(frozen=True, slots=True)
class _Part:
    """Families whose rows are made of one thing, which `part` takes from the whole."""

    part: Callable[[Any], object] | None
    families: list[tuple[int, Family]]


@dataclass(frozen=True, slots=True)
class _Whole:
    """What parts are taken from; while it is the same object none of them is looked at."""

    depends_on: Callable[[Watch], Any]
    parts: dict[Callable[[Any], object] | None, _Part]


_COPIED = [
    (index, family.source, family.name)
    for index, family in enumerate(CATALOGUE)
    if isinstance(family.source, Field)
]
_ALWAYS: list[tuple[int, Family]] = []
_WHOLES: dict[Callable[[Watch], Any], _Whole] = {}
for _index, _family in enumerate(CATALOGUE):
    if _family.depends_on is not None:
        _whole = _WHOLES.setdefault(_family.depends_on, _Whole(_family.depends_on, {}))
        _part = _whole.parts.setdefault(_family.part, _Part(_family.part, []))
        _part.families.append((_index, _family))
    elif not isinstance(_family.source, Field):
        _ALWAYS.append((_index, _family))
_NOTHING = object()  # what nothing is equal to, as nothing was written yet


class Writer:
    """Writes one target's lines: one cell per family, in the catalogue's order, empty where it has none.

    It remembers what the lines were made of; that of `_wholes` and `_parts` in the order of _WHOLES.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        labels = (("target", target.name), *target.labels)
        self._labels = ",".join(label(name, value) for name, value in labels)
        self._prefixes = [f"{name}{{{self._labels}}} ".encode() for _, _, name in _COPIED]
        self._cells = [b""] * len(CATALOGUE)
        self._numbers: Mapping[bytes, bytes] = {}
        self._wholes: list[object] = [_NOTHING] * len(_WHOLES)
        self._parts: list[list[object]] = [[_NOTHING] * len(whole.parts) for whole in _WHOLES.values()]

    def cells(self, watch: Watch) -> Cells:
        """The lines of a target; what has not changed since the last time is not written anew."""
        cells, before = self._cells, self._numbers
        self._numbers = numbers = watch.reading.info.numbers if watch.reading is not None else {}
        for (index, field, _), prefix in zip(_COPIED, self._prefixes, strict=True):
            digits = numbers.get(field.name)
            if digits != before.get(field.name):
                cells[index] = b"" if digits is None else prefix + _scaled(digits, field.factor) + b"\n"
        for index, family in _ALWAYS:
            cells[index] = self._lines(family, watch)
        for number, group in enumerate(_WHOLES.values()):
            whole = group.depends_on(watch)
            if whole is not self._wholes[number]:
                self._wholes[number] = whole
                for index, family in _changed(group, whole, self._parts[number]):
                    cells[index] = self._lines(family, watch)
        return tuple(cells)

    def cells_without(self, watch: Watch) -> Cells:
        """The lines of a target without INFO's numbers and without any family that a bug keeps from us."""
        cells = [b""] * len(CATALOGUE)
        for index, family in enumerate(CATALOGUE):
            if not isinstance(family.source, Field):
                with contextlib.suppress(Exception):
                    cells[index] = self._lines(family, watch)
        return tuple(cells)

    def _lines(self, family: Family, watch: Watch) -> bytes:
        if isinstance(family.source, Distributed):
            return self._histogram(family, family.source.buckets(watch)).encode()
        rows = family.source(watch) if callable(family.source) else ()
        return "".join([f"{self._name(family, values)} {number!r}\n" for values, number in rows]).encode()

    def _histogram(self, family: Family, found: Buckets | None) -> str:
        """Buckets, each with all before it, and sum and count, by the names of the text format."""
        if found is None:
            return ""
        bounds, counts, total = found
        sums = tuple(accumulate(counts))
        name, labels = family.name, self._labels
        ends = (*map(float, bounds), "+Inf")
        lines = [
            f'{name}_bucket{{{labels},le="{end}"}} {count}\n' for end, count in zip(ends, sums, strict=True)
        ]
        return "".join(
            [*lines, f"{name}_sum{{{labels}}} {total}\n", f"{name}_count{{{labels}}} {sums[-1]}\n"]
        )

    def _name(self, family: Family, values: tuple[str, ...]) -> str:
        return f"{family.name}{{{self._labels}{_added(family.labels, values)}}}"


def _changed(group: _Whole, whole: object, seeds: list[object]) -> Iterator[tuple[int, Family]]:
    """The families that are to be written anew, as the whole is another object now; updates the seeds."""
    for number, part in enumerate(group.parts.values()):
        seed = whole if part.part is None or whole is None else part.part(whole)
        if seed is not seeds[number] and seed != seeds[number]:
            seeds[number] = seed
            yield from part.families


class Page:
    """One exposition, compressed when the first one wants it so."""

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._packed: bytes | None = None
        self._packing = asyncio.Lock()

    async def packed(self) -> bytes:
        """The page under gzip, at its cheapest level."""
        async with self._packing:
            if self._packed is None:
                self._packed = await _pack(self.plain)
            return self._packed


class Pages:
    """Keeps every target's cells and the newest page of each format, so that scrapes cost next to nothing."""

    def __init__(self, board: Board, own: OwnMetrics) -> None:
        self._board = board
        self._own = own
        self._writers: dict[str, Writer] = {}
        self._cells: dict[str, Cells] = {}
        self._ready = {form: Shared(partial(self._make, form), lambda: board.edition) for form in Format}

    def set_targets(self) -> Mapping[str, Exception]:
        """Take the board's targets anew: forget those that are gone, write labels that have changed.

        Returns the bugs that kept lines of a target from being written, by its name.
        """
        old, self._writers, self._cells = self._writers, {}, {}
        bugs: dict[str, Exception] = {}
        for watch in self._board:
            name = watch.target.name
            kept = old.get(name)
            self._writers[name] = (
                kept if kept is not None and kept.target == watch.target else Writer(watch.target)
            )
            try:
                self._write(watch)
            except Exception as error:  # noqa: BLE001  it is the business of one target
                bugs[name] = error
        return bugs

    def update(self, name: str) -> None:
        """Write the lines of one target after its poll; where a bug keeps us from it, what can be written."""
        watch = self._board.get(name)
        if watch is not None:
            self._write(watch)

    def _write(self, watch: Watch) -> None:
        name = watch.target.name
        try:
            self._cells[name] = self._writers[name].cells(watch)
        except Exception:
            self._writers[name] = Writer(watch.target)  # the other has stopped halfway
            self._cells[name] = Writer(watch.target).cells_without(watch)
            raise

    async def page(self, form: Format) -> Page:
        """The page of all targets, a quarter second old at most, or a second where they are thousands."""
        return await self._ready[form].get()

    async def _make(self, form: Format) -> Page:
        own = self._own.openmetrics() if form is Format.OPENMETRICS_1_0_0 else self._own.text()
        return Page(await _join(form, tuple(self._cells.values()), own))

    async def page_of(self, name: str, form: Format) -> Page:
        """The page of one target, without the exporter's own metrics."""
        plain = await _join(form, (self._cells[name],), b"")
        return Page(plain)


async def _join(form: Format, targets: Sequence[Cells], own: bytes) -> bytes:
    """Join cells family by family, as the formats demand, leaving out families without a series."""
    parts: list[bytes] = []
    joined = 0
    columns = zip(*targets, strict=True) if targets else ((),) * len(CATALOGUE)  # a shard may have none
    for family, column in zip(CATALOGUE, columns, strict=True):
        lines = b"".join(column)
        if lines:
            if form is Format.OPENMETRICS_1_0_0:
                lines = _openmetrics_lines(family, lines)
            parts += (_head(family, form), lines)
        joined += len(lines)
        if joined > _BYTES_BETWEEN_YIELDS:
            joined = 0
            await asyncio.sleep(0)
    parts.append(own)
    if form is Format.OPENMETRICS_1_0_0:
        parts.append(b"# EOF\n")
    return b"".join(parts)


async def _pack(plain: bytes) -> bytes:
    """Compress; long pages in a thread."""
    if len(plain) < _COMPRESS_ASIDE_BYTES:
        return gzip.compress(plain, 1, mtime=0)
    try:
        return await threads.run(threads.Kind.OTHER, None, lambda: gzip.compress(plain, 1, mtime=0), ["page"])
    except threads.NoThreadError:
        return gzip.compress(plain, 1, mtime=0)
