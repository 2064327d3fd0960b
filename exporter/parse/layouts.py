"""INFO by an expression of its layout: most replies of a server have the same lines as its last one.

An expression takes the value of each field that something reads. Of every other line it looks at no more than
what tells it from such a field, so what it matches is read exactly as by `read_slowly`. A layout is learnt
when it comes a second time, and not too often: making an expression costs some 10 ms.
"""

import re
from dataclasses import dataclass

from exporter.parse.fields import NUMBER, NUMBERS, TEXT, TEXTS

Parsed = tuple[dict[bytes, bytes], dict[str, str]]

_KEPT = 8  # layouts that are known, and those that were seen once
_MOST_LINES = 512  # of a reply worth an expression; most have 240
_READS_PER_LAYOUT = 200  # replies that are read slowly for each expression that is made: as dear as it
_IS_NUMBER, _IS_TEXT = re.compile(NUMBER).fullmatch, re.compile(TEXT).fullmatch
_BEGINNINGS = frozenset(name[:size] for name in NUMBERS | TEXTS for size in range(len(name) + 1))


@dataclass(frozen=True, slots=True)
class _Layout:
    """An expression with a group for each field, of which `texts` are not numbers."""

    expression: re.Pattern[bytes]
    fields: tuple[bytes, ...]
    texts: tuple[tuple[bytes, str], ...]

    def read(self, reply: bytes) -> Parsed | None:
        found = self.expression.fullmatch(reply)
        if found is None:
            return None
        numbers = dict(zip(self.fields, found.groups(), strict=True))
        return numbers, {name: numbers.pop(field).decode() for field, name in self.texts}


class Layouts:
    """The layouts of INFO that were seen of late, of all servers together."""

    def __init__(self) -> None:
        self._known: list[_Layout] = []
        self._seen_once: list[bytes] = []
        self._may_learn = float(_KEPT)

    def read(self, reply: bytes) -> Parsed | None:
        """Numbers and texts of a reply whose layout is known; None where it is not."""
        for at, layout in enumerate(self._known):
            parsed = layout.read(reply)
            if parsed is not None:
                if at:
                    self._known.insert(0, self._known.pop(at))
                return parsed
        return None

    def learn(self, reply: bytes) -> None:
        """Remember the layout of a reply that was read slowly, for good when it comes a second time."""
        self._may_learn = min(_KEPT, self._may_learn + 1 / _READS_PER_LAYOUT)
        if self._may_learn < 1 or not _is_worth_an_expression(reply):
            return
        expression, fields = _expression(reply[:-1].split(b"\n"))
        if expression not in self._seen_once:
            self._seen_once = [expression, *self._seen_once[: _KEPT - 1]]
            return
        self._seen_once.remove(expression)
        if len(set(fields)) < len(fields):  # a field that comes twice counts by its last line
            return
        self._may_learn -= 1
        texts = tuple((name, name.decode()) for name in fields if name in TEXTS)
        layout = _Layout(re.compile(expression), fields, texts)
        re.purge()  # it would remember 512 of them
        self._known = [layout, *self._known[: _KEPT - 1]]


def _is_worth_an_expression(reply: bytes) -> bool:
    lines = reply.count(b"\n")
    return lines <= _MOST_LINES and lines == reply.count(b"\r\n") and reply.endswith(b"\n")


def _expression(lines: list[bytes]) -> tuple[bytes, tuple[bytes, ...]]:
    """An expression for lines like these, and the field of each of its groups."""
    parts, fields = [rb".*+\n"], []  # the first line is never a field
    for line in lines[1:]:
        name, _, value = line.removesuffix(b"\r").partition(b":")
        if name in NUMBERS and _IS_NUMBER(value):
            parts.append(name + b":(" + NUMBER + rb")\r\n")
            fields.append(name)
        elif name in TEXTS and _IS_TEXT(value):
            parts.append(name + b":(" + TEXT + rb")\r\n")
            fields.append(name)
        else:
            parts.append(_another_line(line))
    return b"".join(parts), tuple(fields)


def _another_line(line: bytes) -> bytes:
    """An expression for lines that hold no field, as this one does."""
    name, colon, _ = line.partition(b":")
    if colon and name in NUMBERS | TEXTS:  # its value is odd
        form = NUMBER if name in NUMBERS else TEXT
        return name + b":(?!" + form + rb"\r).*+\n"
    size = next(size for size in range(1, len(line) + 1) if line[:size] not in _BEGINNINGS)
    return re.escape(line[:size]) + rb".*+\n"
