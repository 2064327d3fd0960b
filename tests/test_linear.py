"""What strangers send is read in linear time: every expression and every reader, at twice the size."""

import ast
import importlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import exporter
from exporter import log
from exporter.analyse.apps import clean_label, host_of, strip_instance
from exporter.analyse.names import AppNames
from exporter.connection.failures import explain_failure
from exporter.metrics.negotiation import accepts_gzip, negotiate_format
from exporter.model import Access, AppRules, RedisUrl, Rename, State
from exporter.parse.config import parse_config
from exporter.parse.errors import read_error
from exporter.parse.garbage import describe_garbage
from exporter.parse.info import parse_cluster_known_nodes, parse_info, parse_list_seconds, read_slowly
from exporter.text import as_sentence
from tests.blocks import read_rows
from tests.test_patterns import NESTED

Text = str | bytes

_PACKAGE = Path(exporter.__file__).parent
# Settings are the operator's own texts, and read in a child with a deadline.
_OF_STRANGERS = [
    path for path in _PACKAGE.rglob("*.py") if path.relative_to(_PACKAGE).parts[0] not in ("settings", "demo")
]
# Expressions that these make of replies are tried by their readers; those of rules are RE2's.
_MAKERS = ("parse/layouts.py", "parse/clients.py", "patterns.py")

_SUSPICIOUS_SECONDS = 0.002
_SIZE = 4096
_MOST_SECONDS = 0.1  # for 64 KB: half of it, and this machine may be slow
_ATTEMPTS = 3  # the machine may be busy with something else


def least_seconds(work: Callable[[], object], times: int = 3) -> float:
    taken = []
    for _ in range(times):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def assert_linear(work: Callable[[Text], object], text: Text, size: int) -> None:
    """Twice the text takes about twice the time; what takes next to nothing is not looked at closely."""
    repeated = -(-size // len(text))
    once, twice = text * repeated, text * (2 * repeated)
    for _ in range(_ATTEMPTS):
        longer = least_seconds(lambda: work(twice), 1)
        if longer < _SUSPICIOUS_SECONDS:
            return
        longer, shorter = least_seconds(lambda: work(twice)), least_seconds(lambda: work(once))
        if longer < 3 * shorter + _SUSPICIOUS_SECONDS:
            return
    raise AssertionError(f"{text[:40]!r}: {shorter:.4f} s, and for twice the size {longer:.4f} s")


_METHODS = ("match", "search", "fullmatch", "findall", "finditer", "split", "sub")
Use = tuple[re.Pattern[Any], str]


def _uses() -> Iterator[tuple[str, Use]]:
    """Every use of an expression of the package, by its file and line."""
    for path in _OF_STRANGERS:
        file, text = path.relative_to(_PACKAGE).as_posix(), path.read_text()
        if "import re\n" not in text:
            continue
        scope = vars(importlib.import_module("exporter." + file[:-3].replace("/", ".")))
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[given, *_]) if (
                    method in _METHODS
                ):
                    try:
                        pattern = re.compile(eval(ast.unparse(given), scope))
                    except NameError:
                        assert file in _MAKERS, f"{file}:{node.lineno} is made of what nobody here knows"
                    else:
                        yield f"{file}:{node.lineno}", (pattern, method)
                case ast.Attribute(value=ast.Name(id=name), attr=method) if method in _METHODS and isinstance(
                    scope.get(name), re.Pattern
                ):
                    yield f"{file}:{node.lineno}", (scope[name], method)
                case _:
                    pass


USES = dict(_uses())


@pytest.mark.parametrize("where", USES)
def test_every_expression_is_linear_in_texts_made_of_its_own_characters(where: str) -> None:
    expression, method = USES[where]
    source = expression.pattern
    text = source.decode("latin1") if isinstance(source, bytes) else source
    use = getattr(expression, method)

    def read(told: Text) -> None:
        done = use(told[:0], told) if method == "sub" else use(told)
        if method == "finditer":
            list(done)

    for words in _attacks(text):
        assert_linear(read, words.encode("latin1", "replace") if isinstance(source, bytes) else words, _SIZE)


def _attacks(source: str) -> set[str]:
    """Words and characters of an expression, and two of them in turn."""
    parts = [*dict.fromkeys([*re.findall(r"[a-zA-Z_]{3,}[:=,]*", source), *"a0f:;=,-\"' \\\n\r.", *source])]
    return {one + other for one in parts[:24] for other in ("", *parts[:24])}


_ACCESS = Access(RedisUrl("h", 1))
_NAMES = AppNames(AppRules(rename=(Rename(NESTED, "worker"), Rename(r"(\w+\s*)+$", r"\1"))))


def _logged(text: str) -> str:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "event", (), None)
    record.fields = {"detail": text}
    return log._Logfmt().format(record)  # noqa: SLF001


def _info(text: bytes) -> object:
    reply = b"# Clients\r\nconnected_clients:1\r\n" + text
    return parse_info(reply), read_slowly(reply), parse_list_seconds(reply), parse_cluster_known_nodes(reply)


_ROW = b"id=1 addr=1.2.3.4:5 fd=8 name=a age=9 idle=1 flags=N db=0 events=r cmd=get user=u"
_INFO_ATTACKS = (
    *(b"a:1\r\n", b"a:", b"\n", b"\r\n", b"9", b"a" * 40 + b":1.", b"role:x\r\n", b"\nio_thread_0:clients="),
    *(b"slave0:ip=,state=online,offset=1,lag=", b"\nslave0:ip=,state=online"),
    *(b"cmdstat_client:calls=1,usec=", b"cluster_known_nodes:1"),
)
READERS: dict[str, tuple[Callable[..., object], tuple[Text, ...]]] = {
    "names": (_NAMES.apps.__getitem__, (b"a", b"a-", b"-bcdfgh", b"0a", b"\xff", b" ", b"@", b"deadbeef-")),
    "labels": (clean_label, (b"a", b"\xff", b"\n", "ü".encode())),
    "hosts": (host_of, (b":", b"a", b"[", b"1.", b"/ ")),
    "places": (_NAMES.places.__getitem__, (b":", b"a", b"[", b"1.", b"/ ")),
    "identities": (
        lambda told: _NAMES.cells[b"cmd=" + told],
        (b"a", b" user=a", b" lib-name=", b"=", b" ", b"user=x ", b"\xff"),
    ),
    "a first row": (lambda told: read_rows(_ROW + told), (b"x=", b" a=", b"/ a ", b"\nx=", b"=", b" ")),
    "rows": (
        lambda told: read_rows(_ROW + b"\n" + told),
        (b"x=", b" a=", b"/ a ", b"\nx=", b"addr=/ ", b"=", b" ", _ROW + b"\n", _ROW + b"\nid=x\n"),
    ),
    "INFO": (_info, _INFO_ATTACKS),
    "CONFIG GET": (
        lambda told: parse_config([b"client-output-buffer-limit", told, b"maxclients", told]),
        (b"normal 0 0 0 ", b"9", b" ", b"normal "),
    ),
    "error replies": (
        lambda told: read_error(told, "AUTH", _ACCESS) + read_error(told, "CLIENT LIST", _ACCESS, "s"),
        ("NOPERM ", "ERR unknown ", "s", " to run ", "max number of client", "\x00"),
    ),
    "garbage": (
        describe_garbage,
        (b"HTTP/", b"ERROR", b"\x15", b"*", b"a"),
    ),
    "errors of the system": (
        lambda told: explain_failure(OSError(told), _ACCESS, closed=State.UNREACHABLE),
        ("[Errno ", "[Errno 1", "1", "["),
    ),
    "sentences": (as_sentence, ("a", "\n", "\x00")),
    "log lines": (_logged, ("a", '"', "\n", "=", "é")),
    "Accept": (negotiate_format, (";a", "; ", ';a="', ";a=", ",", "a", ";a =", "*/*;q=1,", "\t", ';a=";')),
    "Accept-Encoding": (accepts_gzip, (";q", "gzip,", ";q=", "; ", '"', "*;q=0,")),
}  # fmt: skip


@pytest.mark.parametrize("what", READERS)
def test_every_reader_is_linear_in_what_is_made_to_hold_it_up(what: str) -> None:
    read, attacks = READERS[what]
    for attack in attacks:
        assert_linear(read, attack, 32 * 1024)
        text = attack * (64 * 1024 // len(attack))
        assert least_seconds(lambda: read(text), 2) < _MOST_SECONDS, f"{attack!r}: too slow"  # noqa: B023


@pytest.mark.parametrize("attack", ["-", "a-", "f", "-b", "0", "-bcdfgh", "12345678-1234-", "pid-", "@"])
def test_stripping_is_linear_though_names_are_cut_before_it(attack: str) -> None:
    assert_linear(strip_instance, attack, 8 * 1024)  # type: ignore[arg-type]  # it reads text only
