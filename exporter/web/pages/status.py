"""The status page: one row per target, worst first, readable in the dark and without scripts."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from exporter import NAME, __version__
from exporter.model import Shard, State
from exporter.poll import bugs
from exporter.report import SlotsReport, TargetReport
from exporter.web.pages.holders import HOLDERS_STYLE, render_holders

log = logging.getLogger(__name__)

_WARNING, _CRITICAL = 0.8, 0.9
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FULL_SOON_SECONDS = 4 * 3600.0

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


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A target's row; the one that needs eyes first is the least: trouble, then the fullest, then by name."""

    is_ok: bool
    emptiness: float
    name: str
    html: str


def render_status(rows: Iterable[Row], telemetry_path: str, shard: Shard) -> bytes:
    """Make the page of rows, worst first. Everything that came from a server or the settings is escaped."""
    rows = sorted(rows)
    in_trouble = sum(not row.is_ok for row in rows)
    count = f"{len(rows)} target{'s' if len(rows) != 1 else ''}"
    summary = f"{count}, {in_trouble} in trouble" if in_trouble else f"{count}, all ok"
    part = f" Shard {shard.index} of {shard.count}, counted from 0." if shard.count > 1 else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{summary} - {NAME}</title><link rel="icon" href="data:,">
<style>{_STYLE}{HOLDERS_STYLE}</style></head><body>
<h1>{NAME}</h1><p>{summary}. Version {escape(__version__)}.{part}
<a href="{escape(telemetry_path)}">Metrics</a>, <a href="/api/v1/targets">JSON</a>,
<a href="/config">configuration</a>, <a href="/sd">service discovery</a>.</p>
<main><table><thead><tr><th>Target</th><th>State</th><th>Connections used of limit</th>
<th>Held by</th><th class="n">Blocked</th>
<th class="n">Rejected</th><th class="n">Polled</th></tr></thead><tbody>
{"".join(row.html for row in rows)}</tbody></table></main></body></html>
""".encode()


def row_of(report: TargetReport) -> Row:
    """Write the row of a target; one that cannot be written costs no other."""
    fullness = report.slots.utilization_ratio if report.slots is not None else None
    return Row(report.state is State.OK, -(fullness or 0.0), report.name, _row_or_bug(report))


def _row_or_bug(report: TargetReport) -> str:
    try:
        return _row(report)
    except Exception as error:
        if bugs.are_raised():
            raise
        log.exception("row of the status page not written", extra={"fields": {"target": report.name}})
        cells = f"<b>{escape(report.name)}</b>", _note(bugs.explain_bug(error))
        return f'<tr><td>{cells[0]}</td><td colspan="6">{cells[1]}</td></tr>\n'


def _row(report: TargetReport) -> str:
    age = f"{_seconds(report.poll.age_seconds)} ago" if report.poll is not None else ""
    texts = (_target(report), _state(report), _slots(report), render_holders(report))
    numbers = (_number(report.blocked_clients), _rejected(report), age)
    cells = [f"<td>{text}</td>" for text in texts] + [f'<td class="n">{number}</td>' for number in numbers]
    return f"<tr>{''.join(cells)}</tr>\n"


def _target(report: TargetReport) -> str:
    labels = " ".join(f"{name}={value}" for name, value in report.labels.items())
    server = " ".join(filter(None, (report.server, report.server_version, report.role)))
    notes = (report.url, labels, server)
    return "<br>".join([f"<b>{escape(report.name)}</b>", *(_note(note) for note in notes if note)])


def _state(report: TargetReport) -> str:
    tone = {State.OK: "ok", State.UNKNOWN: "dim", State.LOADING: "warn"}.get(report.state, "bad")
    html = f'<span class="state {tone}">{report.state}</span>'
    if report.state_age_seconds is not None:
        html += f' <span class="note">for {_about(report.state_age_seconds)}</span>'
    return "<br>".join([html, *map(_note, report.remarks), *map(_note, _denied(report))])


def _denied(report: TargetReport) -> Iterator[str]:
    """What the exporter may not ask, and what is missing for that."""
    if report.denied:
        told = [
            f"{each.command} ({each.missing})" if each.missing else each.command for each in report.denied
        ]
        yield "not allowed or unknown there: " + ", ".join(told)


def _slots(report: TargetReport) -> str:
    seen = report.last_seen
    if seen is not None:
        text = _used(seen.used, seen.limit, seen.utilization_ratio)
        return _note(f"{text} when last seen {_seconds(seen.age_seconds)} ago")
    slots = report.slots
    if slots is None:
        return ""
    text = _used(slots.used, slots.limit, slots.utilization_ratio)
    if slots.utilization_ratio is None:
        return text
    ratio = slots.utilization_ratio
    tone = "bad" if ratio > _CRITICAL else "warn" if ratio > _WARNING else "ok"
    bar = f'{text}<div class="bar {tone}"><i style="width:{min(ratio, 1):.1%}"></i></div>'
    return bar + "<br>".join(map(_note, _about_slots(slots)))


def _used(used: int, limit: int | None, ratio: float | None) -> str:
    return f"{used} of {limit} ({ratio:.0%})" if ratio is not None else f"{used}, limit unknown"


def _about_slots(slots: SlotsReport) -> Iterator[str]:
    """Say what the ratio is made of where a part of the limit is not for all, and when it will be 1."""
    if slots.reserved:
        yield f"ordinary clients: {slots.ordinary_used} of {slots.ordinary_limit}; {slots.reserved} reserved"
    if slots.full_in_seconds and slots.full_in_seconds < _FULL_SOON_SECONDS:
        yield f"full in about {_about(slots.full_in_seconds)} if this goes on"


def _rejected(report: TargetReport) -> str:
    total, rate = _number(report.refused_total), report.refused_per_second
    return f'{total}<br><span class="note">{rate:.2g} per second</span>' if rate else total


def _number(count: int | None) -> str:
    return "" if count is None else str(count)


def _seconds(seconds: float) -> str:
    return f"{max(0.0, seconds):.0f} s"


def _about(seconds: float) -> str:
    """Write how long something takes, in the unit that fits."""
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return _seconds(seconds)


def _note(text: str) -> str:
    return f'<span class="note">{escape(text)}</span>'
