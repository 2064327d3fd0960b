"""Mutated replies: captured ones with their fields in another order, and damaged in every way."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

_DATA = Path(__file__).parent.parent / "data"
_LONG_ROW = (
    4096  # a captured name of 20,000 bytes would make most of each reply; rows grow here by themselves
)

ROWS = [
    [line for line in path.read_bytes().splitlines() if len(line) < _LONG_ROW]
    for path in sorted(_DATA.glob("clients-*.txt"))
]
INFOS = [path.read_bytes() for path in sorted(_DATA.glob("info-*.txt"))]

_KEYS = (
    b"id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf omem tot-mem events cmd user "
    b"redir resp lib-name lib-ver io-thread tot-net-in tot-cmds"
).split()
_ODD_KEYS = (
    *(
        b"",
        b"_",
        b"tot_cmds",
        b"ID",
        b"a" * 65,
        b"x.y",
        b"\xff",
        b"lib name",
        b"cmd=cmd",
        b"=",
        b"/",
        b"id\t",
    ),
)
_ODD_VALUES = (
    *(
        b"",
        b"-1",
        b"-2",
        b"-",
        b"0",
        b"00",
        b"1.5",
        b"1e9",
        b"x",
        b"NULL",
        b"=",
        b"==",
        b"a=b",
        b"a b",
        b"\xff",
    ),
    *(
        b"9" * 19,
        b"9" * 20,
        b"9" * 5000,
        b"n" * 511,
        b"n" * 513,
        b"n" * 30_000,
        b"a " * 70,
        b" " * 200,
        b"\r",
    ),
    *(b"/run/a b/c.sock:0", b"[::1]:5", b"[/run/x:0]:0", b":", b"@", "größe".encode(), b"-" * 300, b"\0"),
)
_BYTES = (
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b"=",
    b"\0",
    b"\xff",
    b"id=",
    b" cmd=x",
    b"\n\n",
    b"$-1\r\n",
    b"*",
    b"%",
)

Words = list[bytes]
Change = Callable[[Random, Words], Words]


def _shuffled(chances: Random, words: Words) -> Words:
    return chances.sample(words, len(words))


def _moved(chances: Random, words: Words) -> Words:
    words = [*words]
    words.insert(chances.randrange(len(words)), words.pop(chances.randrange(len(words))))
    return words


def _without_some(chances: Random, words: Words) -> Words:
    kept = [word for word in words if chances.random() < 0.9]
    return kept or words[:1]


def _with_another(chances: Random, words: Words) -> Words:
    words = [*words]
    key, value = chances.choice((*_KEYS, *_ODD_KEYS)), chances.choice(_ODD_VALUES)
    words.insert(chances.randrange(len(words) + 1), key + b"=" + value)
    return words


def _with_an_odd_value(chances: Random, words: Words) -> Words:
    words, at = [*words], chances.randrange(len(words))
    words[at] = words[at].partition(b"=")[0] + b"=" + chances.choice(_ODD_VALUES)
    return words


def _with_an_odd_key(chances: Random, words: Words) -> Words:
    words, at = [*words], chances.randrange(len(words))
    words[at] = chances.choice(_ODD_KEYS) + b"=" + words[at].partition(b"=")[2]
    return words


_CHANGES: Sequence[Change] = (
    _shuffled,
    _moved,
    _without_some,
    _with_another,
    _with_an_odd_value,
    _with_an_odd_key,
)


def rows_of(chances: Random) -> list[bytes]:
    """Some rows of one capture, unchanged."""
    rows = chances.choice(ROWS)
    return chances.choices(rows, k=chances.randint(1, 8))


def in_another_order(chances: Random, rows: Sequence[bytes], epoch: int = 0) -> list[bytes]:
    """The same rows, each with its fields in one other order; an epoch has eight of them.

    To read fields in a new order costs some milliseconds, once.
    """
    order = 8 * epoch + chances.randrange(8)
    return [b" ".join(_shuffled(Random(order), row.split(b" "))) for row in rows]


def client_list(chances: Random, epoch: int = 0) -> bytes:
    """A reply to CLIENT LIST, changed by words in every row alike or in some, and damaged by bytes."""
    rows = rows_of(chances)
    if chances.random() < 0.3:
        rows = in_another_order(chances, rows, epoch)
    for _ in range(chances.randint(0, 3)):
        change = chances.choice(_CHANGES)
        if chances.random() < 0.1:
            seed = chances.random()
            rows = [b" ".join(change(Random(seed), row.split(b" "))) for row in rows]
        else:
            # Mostly a later row: other fields in the first one are a new layout, which takes milliseconds.
            at = max(chances.randrange(len(rows)) for _ in range(3))
            rows[at] = b" ".join(change(chances, rows[at].split(b" ")))
    end = chances.choice((b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\r"))
    reply = end.join(rows) + (end if chances.random() < 0.9 else b"")
    return damaged(chances, reply) if chances.random() < 0.4 else reply


def info(chances: Random) -> bytes:
    """A reply to INFO, with its lines in another order, some of them odd, and damaged by bytes."""
    reply = chances.choice(INFOS)
    if chances.random() < 0.7:
        lines = reply.split(b"\r\n")
        for _ in range(chances.randint(1, 4)):
            at, name = chances.randrange(len(lines)), chances.choice(lines).partition(b":")[0]
            lines[at] = name + b":" + chances.choice(_ODD_VALUES)
        if chances.random() < 0.2:
            chances.shuffle(lines)
        reply = chances.choice((b"\r\n", b"\r\n", b"\n")).join(lines)
    return damaged(chances, reply) if chances.random() < 0.4 else reply


def damaged(chances: Random, reply: bytes) -> bytes:
    """A reply with pieces cut out, put in, repeated, or ended too soon."""
    for _ in range(chances.randint(1, 4)):
        at, length = chances.randrange(len(reply) + 1), chances.choice((0, 1, 1, 7, 60))
        kind = chances.random()
        if kind < 0.4:
            put = chances.choice(_BYTES)
        elif kind < 0.7:
            put = chances.randbytes(chances.randint(0, 8))
        elif kind < 0.9:
            put = reply[at : at + length] * chances.choice((2, 3, 200))
        else:
            put, length = b"", len(reply)
        reply = reply[:at] + put + reply[at + length :]
    return reply


def frame(chances: Random, text: bytes) -> bytes:
    """A text as a reply of RESP, mostly right; else of another kind, of another length, or damaged."""
    right = b"$%d\r\n%b\r\n" % (len(text), text)
    kind = chances.random()
    if kind < 0.7:
        return right
    if kind < 0.8:
        return b"$%d\r\n%b\r\n" % (len(text) + chances.randint(-3, 9), text)
    if kind < 0.9:
        heads = (b"-ERR ", b"-NOPERM ", b"-LOADING ", b"+", b":", b"*3\r\n$1\r\n", b"%1\r\n", b"_\r\n")
        head = chances.choice(heads)
        return head + text[:300].replace(b"\n", b" ") + b"\r\n"
    return damaged(chances, right)
