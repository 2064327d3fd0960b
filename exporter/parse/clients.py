"""CLIENT LIST: a regular expression made for each reply's own fields, and a slow exact reader beside it.

Every server prints the same fields for every client of one reply (networking.c, catClientInfoString), and
which fields those are depends on its version. So the first row's field names make the expression that reads
the others; a row that it does not match is read word by word.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

BLOCK_BYTES = 64 * 1024  # read at a time: 200 rows, some 0.2 ms

# id, addr, name, age, idle, flags, db, watch, tot-mem, identity, tot-cmds: as the server wrote them, empty
# where its version has no such field. For identity see read_identity. Whether a transaction is open tells
# flag x: Valkey 8.1 prints multi=0 for a client that only watches keys.
Row = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]

_IDENTITY = (b"cmd", b"user", b"lib-name", b"lib-ver")
_BEFORE_IDENTITY = (
    b"id",
    b"addr",
    b"name",
    b"age",
    b"idle",
    b"flags",
    b"db",
    b"watch",
    b"tot-mem",
)
_AFTER_IDENTITY = (b"tot-cmds",)
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
    """Read cmd, user, lib-name and lib-ver out of a row's identity: the run of fields that holds them all.

    It is one value of the row because most clients share theirs, and remembering it is cheaper than cutting
    it up. None of the four can hold a space (networking.c, validateClientAttr; acl.c, ACLStringHasSpaces).
    """
    fields = dict(word.partition(b"=")[::2] for word in identity.split(b" "))
    return fields[b"cmd"], fields.get(b"user", b""), fields.get(b"lib-name", b""), fields.get(b"lib-ver", b"")


def _layout(block: bytes) -> tuple[bytes, ...]:
    """The field names of the first row, as far as they can be told."""
    first = block[: block.index(b"\n")]
    return tuple(word.partition(b"=")[0] for word in first.split(b" ", _MAX_FIELDS))


@lru_cache(maxsize=64)
def _expression(layout: tuple[bytes, ...]) -> re.Pattern[bytes] | None:
    """Compile what reads rows of these fields; None where they are in no order that we know."""
    told = [key for key in layout if key in _IDENTITY]
    if not set(layout) >= _REQUIRED or told[0] != b"cmd" or len(set(layout)) != len(layout):
        return None
    first, last = layout.index(told[0]), layout.index(told[-1])
    parts: list[bytes] = []
    awaited = [*_BEFORE_IDENTITY, *_IDENTITY[:1], *_AFTER_IDENTITY]

    def missing_before(key: bytes) -> bytes:
        """Empty groups for the columns that this server does not have: every column keeps its place."""
        count = awaited.index(key)
        del awaited[: count + 1]
        return b"()" * count

    for index, key in enumerate(layout):
        if not _KEY.fullmatch(key):
            return None
        value = _FORMS.get(key, _ANYTHING if index < len(layout) - 1 else _TO_THE_END)
        if first < index <= last:
            parts.append(b" " + key + b"=" + value)
        elif key in awaited:
            group = b"(cmd=%b" % value if index == first else key + b"=(" + value + b")"
            parts.append(missing_before(key) + (b" " if parts else b"") + group)
        elif key in (*_BEFORE_IDENTITY, *_AFTER_IDENTITY):
            return None
        else:
            parts.append((b" " if parts else b"") + key + b"=" + value)
        if index == last:
            parts.append(b")")
    return re.compile(b"(?m)^" + b"".join(parts) + b"()" * len(awaited) + rb"\r?\n")


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
    identity = b" ".join(key + b"=" + fields[key] for key in _IDENTITY if key in fields)
    before = (fields.get(key, b"") for key in _BEFORE_IDENTITY)
    row: tuple[bytes, ...] = (*before, identity, *(fields.get(key, b"") for key in _AFTER_IDENTITY))
    return row  # type: ignore[return-value]  # eleven, as the three tuples say
