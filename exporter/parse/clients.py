"""CLIENT LIST: a regular expression made for each reply's own fields, and a slow exact reader beside it.

Every server prints the same fields for every client of one reply (networking.c, catClientInfoString), and
which fields those are depends on its version. So the first row's field names make the expression that reads
the others; a row that it does not match is read word by word. Both take linear time, whatever a row holds.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

from exporter.limits import LIST_LAYOUTS, ROW_BYTES, ROW_WORDS, TEXT_BYTES, WORDS_REMEMBERED

BLOCK_BYTES = 64 * 1024  # read at a time: 200 rows, some 0.2 ms

# id, addr, name, age, work, memory, identity, counters, as the server wrote them; empty where its version has
# no such field. Work, memory, identity and counters are words, a key and a value each: most clients share
# theirs, and reading one once (read_work, read_memory, read_identity) is cheaper than cutting up each.
Row = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]

# The fields of each column, in the order of all versions.
_COLUMNS: tuple[tuple[bytes, ...], ...] = (
    (b"id",),
    (b"addr",),
    (b"name",),
    (b"age",),
    (b"idle", b"flags", b"db", b"sub", b"psub", b"ssub", b"watch"),
    (b"omem", b"tot-mem"),
    (b"cmd", b"user", b"lib-name", b"lib-ver"),
    (b"tot-net-in", b"tot-cmds"),
)
_ALONE = frozenset(column[0] for column in _COLUMNS if len(column) == 1)
_KNOWN = frozenset(chain(*_COLUMNS))
_REQUIRED = frozenset([b"addr", b"age", b"idle", b"flags"])
_LEAST_BYTES = len(b"addr= age=1 idle=1 flags=")

# What is counted with is taken only when it is a whole number that a 64 bit counter can hold. Ages are
# negative for a while after the server's clock was set back.
_WHOLE = rb"[0-9]{1,19}+"
_SIGNED = rb"-?[0-9]{1,19}+"
_FORMS = {
    b"id": _WHOLE,
    b"age": _SIGNED,
    b"idle": _SIGNED,
    b"db": _SIGNED,
    b"watch": _WHOLE,
    b"omem": _WHOLE,
    b"tot-mem": _WHOLE,
    b"tot-net-in": _WHOLE,
    b"tot-cmds": _WHOLE,
}
_TEXT = rb"[^ ]{0,%d}+" % TEXT_BYTES  # a set with the newline in it is half as slow again: see _Reader
_TEXT_OF_A_LINE = rb"[^ \r\n]{0,%d}+" % TEXT_BYTES
_VALUE = re.compile(rb"=[^ ]*+")
_KEY = re.compile(rb"[^/ =]{1,32}")  # a word with a slash is of the path of a unix socket


class Work(NamedTuple):
    """What a client does: seconds idle, flags, database, subscriptions of all kinds, keys watched."""

    idle: int
    flags: bytes
    db: bytes
    subscriptions: int | None
    watch: int


class Memory(NamedTuple):
    """Bytes that a server holds for a client: replies that it has not read (omem), and all (tot-mem)."""

    output: int | None
    total: int | None


class Identity(NamedTuple):
    """Last command, user, library and its version. None of them can hold a space.

    (networking.c, validateClientAttr; acl.c, ACLStringHasSpaces)
    """

    command: bytes
    user: bytes
    library: bytes
    version: bytes


class RowReader:
    """Reads the blocks of one list. It has one layout; each that is new takes milliseconds to compile."""

    def __init__(self) -> None:
        self._layouts: set[bytes] = set()

    def read(self, block: bytes) -> tuple[list[Row], int]:
        """Read whole rows, in any order, and count those that cannot be read; a bad row costs no other."""
        if not block.endswith(b"\n"):
            block += b"\n"
        names = _VALUE.sub(b"", block[: block.index(b"\n")])
        if names in self._layouts or len(self._layouts) < LIST_LAYOUTS:
            reader = _reader(names)
            if reader is not None:
                self._layouts.add(names)
                return reader.read(block)
        return _read_each(line for line in block.split(b"\n") if line.strip())


def read_work(work: bytes) -> Work:
    """Read what a client does; subscriptions are None where the version does not tell any."""
    fields = _words(work)
    told = [fields[key] for key in (b"sub", b"psub", b"ssub") if key in fields]
    numbers = (int(number) for number in told if re.fullmatch(_WHOLE, number))
    return Work(
        idle=read_seconds(fields[b"idle"]),
        flags=fields[b"flags"],
        db=fields.get(b"db", b""),
        subscriptions=sum(numbers) if told else None,
        watch=int(fields.get(b"watch", 0)),
    )


@lru_cache(maxsize=WORDS_REMEMBERED)
def read_memory(memory: bytes) -> Memory:
    """Read what a client costs; None where the version does not tell it."""
    fields = _words(memory)
    output, total = (fields.get(key) for key in (b"omem", b"tot-mem"))
    return Memory(None if output is None else int(output), None if total is None else int(total))


def read_identity(identity: bytes) -> Identity:
    """Read who a client is; empty what the version does not tell."""
    fields = _words(identity)
    return Identity(*(fields.get(key, b"") for key in (b"cmd", b"user", b"lib-name", b"lib-ver")))


def read_counters(counters: bytes) -> tuple[int, int] | None:
    """Read how many bytes a client sent, and commands; None before Redis 8.2 and Valkey 8.0."""
    fields = _words(counters)
    told = fields.get(b"tot-net-in"), fields.get(b"tot-cmds")
    return None if None in told else (int(told[0] or 0), int(told[1] or 0))


def read_seconds(told: bytes) -> int:
    """Read an age; one below 0, after a clock was set back, is 0."""
    return max(0, int(told))


def _words(run: bytes) -> dict[bytes, bytes]:
    return dict(word.partition(b"=")[::2] for word in run.split(b" "))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads rows of one layout.

    A value of `fast` can run over a line's end, but then it takes two lines for one row: as many rows as
    lines means that each row is one line. What it does not match it takes to the end, so no line is tried
    twice. `exact` stays in the line, and gives the lines that it does not match in a column of their own.
    `arrange` makes rows of what they found.
    """

    fast: re.Pattern[bytes]
    exact: re.Pattern[bytes]
    arrange: Callable[[tuple[bytes, ...]], Row] | None

    def read(self, block: bytes) -> tuple[list[Row], int]:
        found = self.fast.findall(block)
        odd: list[bytes] = []
        lines = len(block) - len(block.replace(b"\n", b""))  # several times as fast as count()
        if len(found) != lines or not any(found[-1]):
            found = self.exact.findall(block)
            odd = [line for *_, line in found if line.strip()]
            found = [groups[:-1] for groups in found if any(groups[:-1])]
        rows = found if self.arrange is None else list(map(self.arrange, found))
        if not odd:
            return rows, 0
        slowly_read, unreadable = _read_each(odd)
        return rows + slowly_read, unreadable


@lru_cache(maxsize=64)
def _reader(names: bytes) -> _Reader | None:
    """Compile what reads rows of these fields; None where none can be told, or one comes twice."""
    layout = tuple(names.split(b" ", ROW_WORDS))
    known = [key for key in layout if key in _KNOWN]
    if (
        len(set(known)) != len(known)
        or not _REQUIRED.issubset(known)
        or not all(map(_KEY.fullmatch, layout))
        or len(layout) > ROW_WORDS
    ):
        return None
    columns = [sorted(layout.index(key) for key in column if key in layout) for column in _COLUMNS]
    present = [column for column in columns if column]
    in_order = all(one[-1] < another[0] for one, another in pairwise(present))
    groups = columns if in_order else [[at] for at, key in enumerate(layout) if key in _KNOWN]
    fast, exact = (_row(layout, groups, text) for text in (_TEXT, _TEXT_OF_A_LINE))
    return _Reader(
        re.compile(fast + rb"|[\s\S]+"),
        re.compile(exact + rb"|([^\n]*+)\n"),
        None if in_order else _arrange(known),
    )


def compiled_layouts() -> int:
    """How many layouts were compiled so far."""
    return _reader.cache_info().misses


def _row(layout: tuple[bytes, ...], groups: Iterable[Sequence[int]], text: bytes) -> bytes:
    """An expression for a row, with a group for the fields at these positions; empty where there are none."""
    parts = [re.escape(key) + b"=" + _FORMS.get(key, text) for key in layout]
    if layout[-1] not in _FORMS:
        parts[-1] = re.escape(layout[-1]) + b"=" + _TEXT_OF_A_LINE
    missing = b""
    for group in groups:
        if not group:
            missing += b"()"
            continue
        first, last = group[0], group[-1]
        key, equals, form = parts[first].partition(b"=")
        opened = key + equals + b"(" + form if layout[first] in _ALONE else b"(" + parts[first]
        parts[first], missing = missing + opened, b""
        parts[last] += b")"
    return b" ".join(parts) + missing + rb"\r?\n"


def _arrange(known: Sequence[bytes]) -> Callable[[tuple[bytes, ...]], Row]:
    """Make a function that puts fields, found in the order in which a server has them, into columns."""
    columns = [[known.index(key) for key in column if key in known] for column in _COLUMNS]

    def arrange(found: tuple[bytes, ...]) -> Row:
        return tuple(b" ".join([found[at] for at in column]) for column in columns)  # type: ignore[return-value]  # eight of them

    return arrange


def _read_each(lines: Iterable[bytes]) -> tuple[list[Row], int]:
    read = [_read_row(line) for line in lines]
    rows = [row for row in read if row is not None]
    return rows, len(read) - len(rows)


def _read_row(line: bytes) -> Row | None:
    """Read one row by key; None where it is too long, lacks what makes a client, or a number is none."""
    if not _LEAST_BYTES <= len(line) <= ROW_BYTES:
        return None
    words = line.removesuffix(b"\r").split(b" ", ROW_WORDS)
    if len(words) > ROW_WORDS:
        return None
    fields: dict[bytes, list[bytes]] = {}
    last = b""
    for word in words:
        key, equals, value = word.partition(b"=")
        if equals and _KEY.fullmatch(key):
            fields[key] = [value]
            last = key
        elif last == b"addr":  # the path of a unix socket may hold spaces; nothing else may
            fields[last].append(word)
    values = {key: b" ".join(parts)[:TEXT_BYTES] for key, parts in fields.items() if key in _KNOWN}
    if not _REQUIRED.issubset(values):
        return None
    if not all(re.fullmatch(form, values[key]) for key, form in _FORMS.items() if key in values):
        return None
    columns = (
        values.get(column[0], b"")
        if column[0] in _ALONE
        else b" ".join(key + b"=" + values[key] for key in column if key in values)
        for column in _COLUMNS
    )
    return tuple(columns)  # type: ignore[return-value]  # eight of them
