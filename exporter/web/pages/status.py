"""The status page: one row per target, worst first, readable in the dark and without scripts."""

import logging
from collections.abc import Iterable, Iterator
from html import escape

from exporter import NAME, __version__
from exporter.analyse.slots import explain_limit
from exporter.board import Watch
from exporter.model import ListFailure, Outage, Reading, Shard, Slots, State
from exporter.poll import bugs
from exporter.web.pages.holders import HOLDERS_STYLE, render_holders

log = logging.getLogger(__name__)

_WARNING, _CRITICAL = 0.8, 0.9
_LIST_FAILURES = {
    ListFailure.TIMEOUT: "the last client list did not arrive within poll.timeout",
    ListFailure.CUT_OFF: "the server closed the connection while it sent the client list; its "
    "client-output-buffer-limit may be too small",
    ListFailure.REFUSED: "the server refuses CLIENT LIST",
    ListFailure.UNREADABLE: "the last client list could not be read",
}

_STYLE = """
:root{color-scheme:light dark;--ok:#1a7f37;--warn:#b35900;--bad:#cf222e;--dim:#6e7781;--line:#8883}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.3rem;margin:0}p{margin:.3rem 0 1.2rem;color:var(--dim)}
main{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.45rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}
th{font-size:.8rem;color:var(--dim);font-weight:600}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.state{font-weight:600;white-space:nowrap}
.ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}.dim{color:var(--dim)}
.bar{background:var(--line);border-radius:3px;height:.6rem;min-width:6rem;max-width:14rem;overflow:hidden;margin-top:.3rem}
.bar i{display:block;height:100%;background:currentColor}
.note{color:var(--dim);font-size:.85rem;overflow-wrap:break-word}
"""


def render_status(watches: Iterable[Watch], now: float, telemetry_path: str, shard: Shard) -> bytes:
    """Render the page; `now` is Unix time. Everything that came from a server or the settings is escaped."""
    rows = sorted(watches, key=_urgency)
    in_trouble = sum(1 for watch in rows if watch.state is not State.OK)
    count = f"{len(rows)} target{'s' if len(rows) != 1 else ''}"
    summary = f"{count}, {in_trouble} in trouble" if in_trouble else f"{count}, all ok"
    part = f" Shard {shard.index} of {shard.count}, counted from 0." if shard.count > 1 else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{summary} - {NAME}</title><link rel="icon" href="data:,">
<style>{_STYLE}{HOLDERS_STYLE}</style></head><body>
<h1>{NAME}</h1><p>{summary}. Version {escape(__version__)}.{part}
<a href="{escape(telemetry_path)}">Metrics</a>, <a href="/config">configuration</a>,
<a href="/sd">service discovery</a>.</p>
<main><table><thead><tr><th>Target</th><th>State</th><th>Connections used of limit</th>
<th>Held by</th><th class="n">Blocked</th>
<th class="n">Rejected</th><th class="n">Polled</th></tr></thead><tbody>
{"".join(_row_or_bug(watch, now) for watch in rows)}</tbody></table></main></body></html>
""".encode()


def _urgency(watch: Watch) -> tuple[int, float, str]:
    """What needs eyes first: trouble, then the fullest, then by name."""
    reading = watch.reading
    fullness = (reading.slots.utilization or 0.0) if reading is not None else 0.0
    return (watch.state is State.OK, -fullness, watch.target.name)


def _row_or_bug(watch: Watch, now: float) -> str:
    """A row that cannot be written costs no other."""
    try:
        return _row(watch, now)
    except Exception as error:
        if bugs.are_raised():
            raise
        log.exception("row of the status page not written", extra={"fields": {"target": watch.target.name}})
        cells = f"<b>{escape(watch.target.name)}</b>", _note(bugs.explain_bug(error))
        return f'<tr><td>{cells[0]}</td><td colspan="6">{cells[1]}</td></tr>\n'


def _row(watch: Watch, now: float) -> str:
    reading = watch.reading or watch.last_reading
    live = watch.reading is not None
    blocked = _count(reading, b"blocked_clients") if live else ""
    rejected = _count(reading, b"rejected_connections") if live else ""
    texts = (_target(watch), _state(watch), _slots(reading, live, now), render_holders(watch.reading, now))
    numbers = (blocked, rejected, _age(watch, now))
    cells = [f"<td>{text}</td>" for text in texts] + [f'<td class="n">{number}</td>' for number in numbers]
    return f"<tr>{''.join(cells)}</tr>\n"


def _target(watch: Watch) -> str:
    labels = " ".join(f"{name}={value}" for name, value in watch.target.labels)
    notes = [f"{watch.target.access.url}", labels]
    if watch.last_reading is not None:
        texts = watch.last_reading.info.texts
        engine = next((name for name in ("Valkey", "Redict") if f"{name.lower()}_version" in texts), "Redis")
        told = (texts.get(f"{engine.lower()}_version"), texts.get("role"))
        notes.append(" ".join([engine, *filter(None, told)]))
    return "<br>".join([f"<b>{escape(watch.target.name)}</b>", *(_note(note) for note in notes if note)])


def _state(watch: Watch) -> str:
    tone = {State.OK: "ok", State.UNKNOWN: "dim", State.LOADING: "warn"}.get(watch.state, "bad")
    html = f'<span class="state {tone}">{watch.state}</span>'
    return "<br>".join([html, *map(_note, _remarks(watch))])


def _remarks(watch: Watch) -> Iterator[str]:
    """Sentences about the state, the connection and the lists of a target."""
    if watch.now is None:
        yield "not polled yet"
    elif isinstance(watch.now, Outage):
        yield watch.now.detail
    else:
        if limit := explain_limit(watch.now):
            yield limit
        if watch.now.denied:
            yield "not allowed or unknown there: " + ", ".join(sorted(watch.now.denied))
    if watch.activity.note:
        yield watch.activity.note
    if watch.activity.list_failure is not None:
        yield _LIST_FAILURES[watch.activity.list_failure]
    if watch.activity.addresses > 1 and watch.activity.address:
        count = watch.activity.addresses
        yield f"connected to {watch.activity.address}, one of {count} addresses of this name"


def _slots(reading: Reading | None, live: bool, now: float) -> str:  # noqa: FBT001
    if reading is None:
        return ""
    used, limit, utilization = reading.slots.used, reading.slots.limit, reading.slots.utilization
    text = f"{used} of {limit} ({utilization:.0%})" if utilization is not None else f"{used}, limit unknown"
    if not live:
        return _note(f"{text} when last seen {_seconds(now - reading.at)} ago")
    if utilization is None:
        return text
    tone = "bad" if utilization > _CRITICAL else "warn" if utilization > _WARNING else "ok"
    width = f"{min(utilization, 1):.1%}"
    bar = f'{text}<div class="bar {tone}"><i style="width:{width}"></i></div>'
    return bar + _reserve(reading.slots)


def _reserve(slots: Slots) -> str:
    """What the ratio is made of where a part of the limit is not for all."""
    if not slots.reserved:
        return ""
    return _note(
        f"ordinary clients: {slots.ordinary_used} of {slots.ordinary_limit}; {slots.reserved} reserved"
    )


def _count(reading: Reading | None, field: bytes) -> str:
    count = reading.info.count(field) if reading is not None else None
    return "" if count is None else str(count)


def _age(watch: Watch, now: float) -> str:
    return "" if watch.now is None else f"{_seconds(now - watch.now.at)} ago"


def _seconds(seconds: float) -> str:
    return f"{max(0.0, seconds):.0f} s"


def _note(text: str) -> str:
    return f'<span class="note">{escape(text)}</span>'
