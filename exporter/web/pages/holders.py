"""Who holds a server's connections, in one cell of the status page: the biggest apps and what they do."""

from collections.abc import Iterator, Mapping
from html import escape

from exporter.model import ClientState
from exporter.report import AppReport, ListReport, TargetReport
from exporter.verdicts import Evidence, Verdict

_SHOWN = 5
_STATES = (ClientState.IDLE, ClientState.STALE, ClientState.BLOCKED, ClientState.ACTIVE, ClientState.PUBSUB)
_TONES: Mapping[Verdict | None, str] = {
    Verdict.LEAKING: "bad",
    Verdict.GROWING: "warn",
    Verdict.CHURNING: "warn",
    Verdict.OVERSIZED: "dim",
    Verdict.WAITING: "dim",
    Verdict.UNKNOWN: "dim",
}
_DOUBTS = (Evidence.OPENED_AND_UNUSED, Evidence.GROWTH_WITHOUT_NEED)

HOLDERS_STYLE = """
.whole{white-space:nowrap}ol{list-style:none;margin:0;padding:0;min-width:15rem}ol li+li{margin-top:.15rem}
.verdict{display:block;font-size:.85rem;overflow-wrap:anywhere}
"""


def render_holders(report: TargetReport) -> str:
    """The biggest apps and those that leak, with their states. Names are tenants' and escaped."""
    if report.apps is None or report.client_list is None:
        return ""
    present = [app for app in report.apps if app.connections]
    shown = [app for number, app in enumerate(present) if number < _SHOWN or app.verdict is Verdict.LEAKING]
    items = [_app(app) for app in shown]
    if len(present) > len(shown):
        rest = sum(app.connections for app in present) - sum(app.connections for app in shown)
        items.append(f'<li class="note">{rest} of {len(present) - len(shown)} more</li>')
    notes = "<br>".join(f'<span class="note">{note}</span>' for note in _notes(report.client_list))
    return f"<ol>{''.join(items)}</ol>{notes}"


def _app(app: AppReport) -> str:
    states = [f"{app.states[state]} {state}" for state in _STATES if app.states.get(state)]
    html = f'<li><b>{escape(app.name)}</b> {app.connections} <span class="note">{", ".join(states)}</span>'
    if app.verdict in _TONES:
        html += f' <span class="verdict {_tone(app)}">{escape(app.explanation or "")}</span>'
    if app.suspected and app.verdict is not Verdict.LEAKING:
        html += f' <span class="bad whole">{app.suspected} leaked?</span>'
    return html + "</li>"


def _tone(app: AppReport) -> str:
    """Whoever may well leak stands out, though nobody can say so yet."""
    doubted = app.verdict is Verdict.UNKNOWN and any(kind in app.evidence for kind in _DOUBTS)
    return "warn" if doubted else _TONES[app.verdict]


def _notes(listed: ListReport) -> Iterator[str]:
    cost = f"{_milliseconds(listed.server_seconds)} of the server"
    if listed.commands > 1:
        cost += f" in {listed.commands} commands, the longest {_milliseconds(listed.longest_command_seconds)}"
    if listed.interval_factor > 1:
        cost += f"; interval {listed.interval_factor:.1f} times longer for the budget"
    yield f"listed {listed.age_seconds:.0f} s ago, {cost}"
    yield from map(escape, listed.hints)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.0001 else "less than 0.1 ms"  # noqa: PLR2004
