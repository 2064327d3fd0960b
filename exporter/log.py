"""Log lines for machines and people: logfmt or JSON, constant events with fields, one line each."""

import json
import logging
import re
from datetime import UTC, datetime

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NAMES = {number: name for name, number in _LEVELS.items()}
_BARE = re.compile(r"[!#-<>-~]+")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Every field of a line, in order. `extra={"fields": {...}}` gives an event its own."""
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, object] = {
        "ts": moment.replace("+00:00", "Z"),
        "level": _NAMES.get(record.levelno, record.levelname.lower()),
        "msg": record.getMessage(),
    }
    given: dict[str, object] = getattr(record, "fields", {})
    fields |= {name: value for name, value in given.items() if value is not None}
    return fields


class _Logfmt(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def _quoted(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def configure(level: str, form: str) -> None:
    """Send every log line to standard error as logfmt or json; may be called again after a reload."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if form == "json" else _Logfmt())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    for chatty in ("asyncio", "uvicorn"):  # their notes are about themselves, not about a target
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
