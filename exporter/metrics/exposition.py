"""Watches to pages. Each target's lines are written when its data arrive; a page only joins them."""

import asyncio
import gzip
import time
from collections.abc import Callable, Sequence
from itertools import accumulate

from exporter.board import Board, Watch
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.negotiation import Format
from exporter.metrics.own import OwnMetrics
from exporter.metrics.spec import Buckets, Distributed, Family, Field, Kind
from exporter.model import Target

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_COMPRESS_ASIDE_BYTES = 128 * 1024  # above it gzip takes longer than a loop may be held
_OWN_METRICS_SECONDS = 1.0  # how old the exporter's own numbers may be on a page
_BYTES_BETWEEN_YIELDS = 128 * 1024

_MAX_REMEMBERED = 4096

Cells = tuple[bytes, ...]


def _label(name: str, value: str) -> str:
    return f'{name}="{value.translate(_ESCAPES)}"'


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


class _Group:
    """Families whose rows are made of one thing, and their lines when that was `seed`."""

    def __init__(self, depends_on: Callable[[Watch], object], families: list[tuple[int, Family]]) -> None:
        self.depends_on = depends_on
        self.families = families
        self.seed: object = self
        self.lines: list[tuple[int, bytes]] = []


class _Writer:
    """Writes one target's lines: one cell per family, in the catalogue's order, empty where it has none."""

    def __init__(self, target: Target) -> None:
        self.target = target
        labels = (("target", target.name), *target.labels)
        self._labels = ",".join(_label(name, value) for name, value in labels)
        self._copied = tuple(
            (index, family.source, f"{family.name}{{{self._labels}}} ".encode())
            for index, family in enumerate(CATALOGUE)
            if isinstance(family.source, Field)
        )
        made: dict[Callable[[Watch], object] | None, list[tuple[int, Family]]] = {}
        for index, family in enumerate(CATALOGUE):
            if not isinstance(family.source, Field):
                made.setdefault(family.depends_on, []).append((index, family))
        self._always = made.pop(None, [])
        self._sometimes = [
            _Group(depends_on, families) for depends_on, families in made.items() if depends_on
        ]
        self._series: dict[tuple[str, tuple[str, ...]], str] = {}

    def cells(self, watch: Watch) -> Cells:
        cells = [b""] * len(CATALOGUE)
        if watch.reading is not None:
            numbers = watch.reading.info.numbers
            for index, field, prefix in self._copied:
                digits = numbers.get(field.name)
                if digits is not None:
                    if field.factor != 1.0:
                        digits = repr(float(digits) * field.factor).encode()
                    cells[index] = prefix + digits + b"\n"
        for index, family in self._always:
            cells[index] = self._lines(family, watch)
        for group in self._sometimes:
            seed = group.depends_on(watch)
            if seed is not group.seed and seed != group.seed:
                group.seed = seed
                group.lines = [(index, self._lines(family, watch)) for index, family in group.families]
            for index, lines in group.lines:
                cells[index] = lines
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
        """A series' name and labels, remembered: most come again at every poll."""
        key = (family.name, values)
        found = self._series.get(key)
        if found is None:
            added = zip(family.labels, values, strict=True)
            labels = ",".join((self._labels, *(_label(name, value) for name, value in added)))
            if len(self._series) >= _MAX_REMEMBERED:
                self._series.clear()
            found = self._series[key] = f"{family.name}{{{labels}}}"
        return found


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
        self._writers: dict[str, _Writer] = {}
        self._cells: dict[str, Cells] = {}
        self._ready: dict[Format, tuple[int, float, Page]] = {}
        self._building = {form: asyncio.Lock() for form in Format}

    def set_targets(self) -> None:
        """Take the board's targets anew: forget those that are gone, write labels that have changed."""
        old, self._writers, self._cells = self._writers, {}, {}
        for watch in self._board:
            name = watch.target.name
            kept = old.get(name)
            self._writers[name] = (
                kept if kept is not None and kept.target == watch.target else _Writer(watch.target)
            )
            self._cells[name] = self._writers[name].cells(watch)

    def update(self, name: str) -> None:
        """Write the lines of one target after its poll."""
        watch = self._board.get(name)
        if watch is not None:
            self._cells[name] = self._writers[name].cells(watch)

    async def page(self, form: Format) -> Page:
        """The page of all targets; made once per generation of the board, and at least once a second."""
        async with self._building[form]:
            generation, now = self._board.generation, time.monotonic()
            made_from, made_at, page = self._ready.get(form, (-1, 0.0, None))
            if page is None or made_from != generation or now - made_at > _OWN_METRICS_SECONDS:
                own = self._own.openmetrics() if form is Format.OPENMETRICS_1_0_0 else self._own.text()
                plain = await _join(form, tuple(self._cells.values()), own)
                page = Page(plain)
                self._ready[form] = generation, now, page
            return page

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
    return await asyncio.to_thread(gzip.compress, plain, 1, mtime=0)
