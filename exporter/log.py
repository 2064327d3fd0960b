"""Log lines for machines and people: logfmt or JSON, constant events with fields, one line for each event.

Lines are written by a thread of their own: whoever reads them may stall, and then they are dropped and
counted. What strangers can cause again and again is limited by kind.
"""

import json
import logging
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

from exporter import NAME
from exporter.limits import (
    LOG_KIND_LINES,
    LOG_KIND_SECONDS,
    LOG_KINDS,
    LOG_LAST_SECONDS,
    LOG_TEXT_CHARACTERS,
)
from exporter.log_writer import Writer

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NAMES = {number: name for name, number in _LEVELS.items()}
_BARE = re.compile(r"[!#-<>-~]+")
_FORMATTER = logging.Formatter()
_KIND_CHARACTERS = 200
_STANDARD_ERROR = 2


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Every field of a line, in order. `extra={"fields": {...}}` gives an event its own."""
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, object] = {
        "ts": moment.replace("+00:00", "Z"),
        "level": _NAMES.get(record.levelno, record.levelname.lower()),
        "msg": record.getMessage().strip()[:LOG_TEXT_CHARACTERS],
    }
    given: dict[str, object] = getattr(record, "fields", {})
    fields |= {name: _cut(value) for name, value in given.items() if value is not None}
    if record.exc_info:
        # Its end tells most: where it was raised, and what.
        fields["traceback"] = _FORMATTER.formatException(record.exc_info)[-LOG_TEXT_CHARACTERS:]
    if record.stack_info:
        fields["stack"] = record.stack_info[-LOG_TEXT_CHARACTERS:]
    return fields


def _cut(value: object) -> object:
    return value if isinstance(value, bool | int | float) else str(value)[:LOG_TEXT_CHARACTERS]


class _Logfmt(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record), default=str)


def _quoted(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


_Kind = tuple[str, ...]


@dataclass(slots=True)
class _Bucket:
    """How many more lines of a kind may come, as of a moment (monotonic), and how many were left out."""

    lines: float
    at: float
    left_out: int = 0


class Limiter(logging.Filter):
    """Lets so many lines of each kind through at once, and then one in so many seconds.

    A kind is an event and its first field, which mostly is a target. The next line of a kind tells how many
    were left out before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out = 0
        self._lock = threading.Lock()
        self._kinds: OrderedDict[_Kind, _Bucket] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write a line, and note in it how many like it were left out."""
        now, kind = time.monotonic(), _kind(record)
        with self._lock:
            bucket = self._kinds.pop(kind, None) or _Bucket(LOG_KIND_LINES, now)
            refilled = bucket.lines + (now - bucket.at) / LOG_KIND_SECONDS
            bucket.lines, bucket.at = min(LOG_KIND_LINES, refilled), now
            self._kinds[kind] = bucket
            if len(self._kinds) > LOG_KINDS:
                self._kinds.popitem(last=False)
            if bucket.lines < 1:
                bucket.left_out += 1
                self.left_out += 1
                return False
            bucket.lines -= 1
            left_out, bucket.left_out = bucket.left_out, 0
        if left_out:
            record.fields = {**getattr(record, "fields", {}), "left_out_before": left_out}
        return True


def _kind(record: logging.LogRecord) -> _Kind:
    """Three words tell events apart, and libraries write addresses of objects behind them."""
    given: Mapping[str, object] = getattr(record, "fields", {})
    first = str(next(iter(given.values()), ""))[:_KIND_CHARACTERS]
    return record.name, *str(record.msg)[:_KIND_CHARACTERS].split()[:3], first


class _Handler(logging.Handler):
    """Makes lines of records, and hands them to the writer."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001  a library's message does not fit its arguments: no reason to end
            line = self.format(_record(logging.ERROR, "log line without a text", {"text": repr(record.msg)}))
        self.writer.put(line)


def _record(level: int, event: str, fields: Mapping[str, object]) -> logging.LogRecord:
    record = logging.LogRecord(NAME, level, "", 0, event, None, None)
    record.fields = fields
    return record


_handler: _Handler | None = None
_limiter = Limiter()


def configure(level: str, form: str) -> None:
    """Send every line of the process to standard error as logfmt or json; may be called again.

    Also what libraries log, Python's warnings, and exceptions that nobody caught.

    Raises:
        OSError: the system starts no more threads for this process.

    """
    global _handler  # noqa: PLW0603  standard error is one, and so is its writer
    if _handler is None:
        _handler = _Handler(Writer(_STANDARD_ERROR, _about_drops))
        _handler.addFilter(_limiter)
        logging.captureWarnings(capture=True)
        sys.excepthook, threading.excepthook, sys.unraisablehook = _uncaught, _uncaught_in_thread, _unraisable
    _handler.setFormatter(_Json() if form == "json" else _Logfmt())
    root = logging.getLogger()
    root.handlers = [_handler]
    root.setLevel(_LEVELS[level])
    for chatty in ("asyncio", "uvicorn"):  # their notes are about themselves, not about a target
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def finish() -> None:
    """Write the last lines, as far as somebody reads them."""
    sys.unraisablehook = sys.__unraisablehook__  # Python stops our thread at the end, perhaps in the queue
    if _handler is not None:
        _handler.writer.flush(LOG_LAST_SECONDS)


def not_written() -> dict[str, int]:
    """Count the lines that were not written, by the reason."""
    return {"stalled": _handler.writer.dropped if _handler is not None else 0, "repeated": _limiter.left_out}


def _about_drops(lines: int) -> str:
    record = _record(logging.WARNING, "log lines dropped because nobody read them", {"lines": lines})
    return _handler.format(record) if _handler is not None else ""


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(NAME).critical("ended by a bug", exc_info=(kind, error, trace))
    finish()


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        error = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger(NAME).error("a thread was ended by a bug", exc_info=error)


def _unraisable(args: "sys.UnraisableHookArgs") -> None:
    if args.exc_value is not None:
        error = (args.exc_type, args.exc_value, args.exc_traceback)
        fields = {"detail": args.err_msg, "object": repr(args.object)}
        logging.getLogger(NAME).error("exception ignored", exc_info=error, extra={"fields": fields})
