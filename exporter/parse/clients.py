"""CLIENT LIST: a regular expression made for each reply's own fields, and a slow exact reader beside it.

Every server prints the same fields for every client of one reply (networking.c, catClientInfoString), and
which fields those are depends on its version. So the first row's field names make the expression that reads
the others; a row that it does not match is read word by word.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

BLOCK_BYTES = 64 * 1024  # read at a time: 200 rows, some 0.2 ms

# id, addr, name, age, idle, flags, db, subscriptions, watch, omem, tot-mem, identity, tot-cmds: as the server
# wrote them, empty where its version has no such field. For subscriptions see count_subscriptions, for
# identity read_identity. Whether a transaction is open tells flag x: Valkey 8.1 prints multi=0 for a client
# that only watches keys.
Row = tuple[
    bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes
]  # fmt: skip

# The columns by their fields, in the order of all versions. Two are a run of fields, from the first that is
# told to the last: most clients share theirs, and remembering one value is cheaper than cutting it up.
_COLUMNS = tuple(b"id addr name age idle flags db sub watch omem tot-mem cmd tot-cmds".split())
_RUNS = {b"sub": (b"sub", b"psub", b"ssub"), b"cmd": (b"cmd", b"user", b"lib-name", b"lib-ver")}
_KNOWN = frozenset([*_COLUMNS, *chain(*_RUNS.values())])
_REQUIRED = frozenset([b"id", b"addr", b"age", b"idle", b"flags", b"cmd"])

# What is counted with is taken only when it is a whole number that a 64 bit counter can hold.
_WHOLE = rb"[0-9]{1,19}+"
_SIGNED = rb"-?[0-9]{1,19}+"
_FORMS = {
    b"id": _WHOLE,
    b"age": _WHOLE,
    b"idle": _WHOLE,
    b"db": _SIGNED,
    b"watch": _WHOLE,
    b"omem": _WHOLE,
    b"tot-mem": _WHOLE,
    b"tot-cmds": _WHOLE,
}
_ANYTHING = rb"[^ ]*+"  # a set with the newline in it is half as slow again; see read_rows
_TO_THE_END = rb"[^ \r\n]*+"
_KEY = re.compile(rb"[a-z][a-z-]*")
_MAX_FIELDS = 64


def split_blocks(reply: bytes) -> Iterator[bytes]:
    """Cut a reply after whole rows into blocks of about BLOCK_BYTES; one row is never cut."""
    start = 0
    while start < len(reply):
        end = reply.find(b"\n", start + BLOCK_BYTES) + 1 or len(reply)
        yield reply[start:end]
        start = end


def read_rows(block: bytes) -> tuple[list[Row], int]:
    """Read whole rows, and count those that cannot be read; a bad row costs no other.

    A value of the fast expression can run over a line's end, but then it takes two lines for one row: as
    many rows as lines means that each row is one line.
    """
    if not block.endswith(b"\n"):
        block += b"\n"
    expression = _expression(_layout(block))
    if expression is not None:
        rows: list[Row] = expression.findall(block)
        if len(rows) == block.count(b"\n"):
            return rows, 0
    lines = [line for line in block.split(b"\n") if line.strip()]
    read = [row for line in lines if (row := _read_row(line)) is not None]
    return read, len(lines) - len(read)


def read_identity(identity: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Read cmd, user, lib-name and lib-ver out of a row's identity.

    None of the four can hold a space (networking.c, validateClientAttr; acl.c, ACLStringHasSpaces).
    """
    fields = dict(word.partition(b"=")[::2] for word in identity.split(b" "))
    return fields[b"cmd"], fields.get(b"user", b""), fields.get(b"lib-name", b""), fields.get(b"lib-ver", b"")


def count_subscriptions(subscriptions: bytes) -> int:
    """Add up a row's subscriptions to channels, patterns and shard channels; what is no number is none."""
    fields = dict(word.partition(b"=")[::2] for word in subscriptions.split(b" "))
    told = (fields.get(key, b"") for key in _RUNS[b"sub"])
    return sum(int(number) for number in told if re.fullmatch(_WHOLE, number))


def _layout(block: bytes) -> tuple[bytes, ...]:
    """The field names of the first row, as far as they can be told."""
    first = block[: block.index(b"\n")]
    return tuple(word.partition(b"=")[0] for word in first.split(b" ", _MAX_FIELDS))


@lru_cache(maxsize=64)
def _expression(layout: tuple[bytes, ...]) -> re.Pattern[bytes] | None:
    """Compile what reads rows of these fields; None where they are in no order that we know."""
    doubled = len(set(layout)) != len(layout)
    if doubled or not set(layout) >= _REQUIRED or not all(map(_KEY.fullmatch, layout)):
        return None
    parts: list[bytes] = []
    awaited = list(_COLUMNS)
    for group in _groups(layout):
        first, *others = group
        run = _RUNS.get(first, ())
        if (first not in awaited and first in _KNOWN) or _KNOWN.difference(run).intersection(others):
            return None
        part = b" ".join(key + b"=" + _form(key, layout) for key in group)
        if first in awaited:
            # Empty groups for the columns that this server does not have: every column keeps its place.
            missing = awaited.index(first)
            del awaited[: missing + 1]
            part = b"(%b)" % part if run else b"%b=(%b)" % (first, _form(first, layout))
            part = b"()" * missing + part
        parts.append(part)
    return re.compile(b"(?m)^" + b" ".join(parts) + b"()" * len(awaited) + rb"\r?\n")


def _groups(layout: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    """Cut a layout into fields, and runs of them."""
    start = 0
    while start < len(layout):
        run = [layout.index(key) for key in _RUNS.get(layout[start], ()) if key in layout]
        end = max([start, *run]) + 1
        yield layout[start:end]
        start = end


def _form(key: bytes, layout: tuple[bytes, ...]) -> bytes:
    return _FORMS.get(key, _TO_THE_END if key == layout[-1] else _ANYTHING)


def _read_row(line: bytes) -> Row | None:
    """Read one row by key; None where it lacks what makes a client, or a number is none."""
    fields: dict[bytes, bytes] = {}
    last = b""
    for word in line.rstrip(b"\r").split(b" "):
        key, equals, value = word.partition(b"=")
        if equals and _KEY.fullmatch(key):
            fields[key] = value
            last = key
        elif last == b"addr":  # the path of a unix socket may hold spaces; nothing else may
            fields[last] += b" " + word
    if not fields.keys() >= _REQUIRED:
        return None
    for key, form in _FORMS.items():
        if key in fields and not re.fullmatch(form, fields[key]):
            return None
    for first, run in _RUNS.items():
        fields[first] = b" ".join(key + b"=" + fields[key] for key in run if key in fields)
    return tuple(fields.get(key, b"") for key in _COLUMNS)  # type: ignore[return-value]  # thirteen of them
