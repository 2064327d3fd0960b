"""INFO by an expression of its layout: most replies of a server have the same lines as its last one.

An expression holds each line's name, and whether its value is a number, a text that we show, or neither. So
what it matches is read exactly as line by line. Any other reply is read slowly, and teaches its layout when
that comes a second time.
"""

import re
from dataclasses import dataclass

NUMBER = rb"[0-9]{1,20}(?:\.[0-9]{1,20})?"
TEXT = rb"[!-~]{1,64}"
TEXTS = frozenset(
    [
        b"role",
        b"run_id",
        b"redis_version",
        b"redis_mode",
        b"redict_version",
        b"redict_mode",
        b"valkey_version",
        b"server_mode",
        b"master_link_status",
    ]
)

Parsed = tuple[dict[bytes, bytes], dict[str, str]]

_FIELD = re.compile(rb"([a-z][a-z0-9_]*):([^\r\n]*)")
_KEPT = 8  # layouts that are known, and those that were seen once
_LONGEST_BYTES = 32 * 1024  # of a reply worth an expression; most have 6 KB


@dataclass(frozen=True, slots=True)
class _Layout:
    """An expression with a group for each field; `texts` are those that we show, `odd` those of no number."""

    expression: re.Pattern[bytes]
    fields: tuple[bytes, ...]
    texts: tuple[tuple[bytes, str], ...]
    odd: tuple[bytes, ...]

    def read(self, reply: bytes) -> Parsed | None:
        found = self.expression.fullmatch(reply)
        if found is None:
            return None
        numbers = dict(zip(self.fields, found.groups(), strict=True))
        texts = {name: numbers[field].decode() for field, name in self.texts}
        for field in self.odd:
            del numbers[field]
        return numbers, texts


class Layouts:
    """The layouts of INFO that were seen of late, of all servers together."""

    def __init__(self) -> None:
        self._known: list[_Layout] = []
        self._seen_once: list[bytes] = []

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
        """Remember the layout of a reply that was not known, for good when it comes a second time."""
        if len(reply) > _LONGEST_BYTES or not reply.endswith(b"\r\n"):
            return
        lines = reply[:-2].split(b"\r\n")
        expression, names = _expression(lines)
        if expression not in self._seen_once:
            self._seen_once = [expression, *self._seen_once[: _KEPT - 1]]
            return
        self._seen_once.remove(expression)
        texts = tuple((name, name.decode()) for name, kind in names if name in TEXTS)
        odd = tuple(name for name, kind in names if kind is not NUMBER)
        fields = tuple(name for name, _ in names)
        if len(set(fields)) == len(fields):  # a field that comes twice counts by its last line
            layout = _Layout(re.compile(expression), fields, texts, odd)
            self._known = [layout, *self._known[: _KEPT - 1]]


def _expression(lines: list[bytes]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """An expression for lines like these, and its groups: the field of each and the form of its value."""
    parts: list[bytes] = []
    groups: list[tuple[bytes, bytes]] = []
    for number, line in enumerate(lines):
        field = _FIELD.fullmatch(line)
        if field is None or not number:  # a heading, an empty line, or the first, which is never a field
            parts.append(re.escape(line))
            continue
        name, value = field.groups()
        if re.fullmatch(NUMBER, value):
            groups.append((name, NUMBER))
            parts.append(name + b":(" + NUMBER + b")")
        elif name in TEXTS and re.fullmatch(TEXT, value):
            groups.append((name, TEXT))
            parts.append(name + b":(?!" + NUMBER + rb"\r)(" + TEXT + b")")
        else:
            shown = rb"(?!" + TEXT + rb"\r)" if name in TEXTS else b""
            parts.append(name + b":(?!" + NUMBER + rb"\r)" + shown + rb"[^\r\n]*+")
    return rb"\r\n".join(parts) + rb"\r\n", groups
