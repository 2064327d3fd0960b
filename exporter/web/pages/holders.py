"""Who holds a server's connections, in one cell of the status page: the biggest apps and what they do."""

from html import escape

from exporter.model import AppClients, ClientState, ListCost, Reading, Survey
from exporter.verdicts import AppTrend

_SHOWN = 5
_STATES = (ClientState.IDLE, ClientState.STALE, ClientState.BLOCKED, ClientState.ACTIVE, ClientState.PUBSUB)

HOLDERS_STYLE = """
.whole{white-space:nowrap}ol{list-style:none;margin:0;padding:0;min-width:15rem}ol li+li{margin-top:.15rem}
"""


def render_holders(reading: Reading | None, now: float) -> str:
    """The biggest apps with their states; `now` is Unix time. Names are tenants' and escaped."""
    if reading is None or reading.clients is None:
        return ""
    survey = reading.clients
    apps = sorted(survey.groups.apps.items(), key=lambda item: (-item[1].total, item[0]))
    present = [(name, app) for name, app in apps if app.total]
    items = [_app(name, app, survey.trends.get(name)) for name, app in present[:_SHOWN]]
    if len(present) > _SHOWN:
        rest = sum(app.total for _, app in present[_SHOWN:])
        items.append(f'<li class="note">{rest} of {len(present) - _SHOWN} more</li>')
    return f'<ol>{"".join(items)}</ol><span class="note">{_made(survey, now)}</span>'


def _app(name: str, app: AppClients, trend: AppTrend | None) -> str:
    states = [f"{app.states[state]} {state}" for state in _STATES if app.states.get(state)]
    html = f'<li><b>{escape(name)}</b> {app.total} <span class="note">{", ".join(states)}</span>'
    if trend is not None and trend.suspected:
        html += f' <span class="bad whole">{trend.suspected} leaked?</span>'
    return html + "</li>"


def _made(survey: Survey, now: float) -> str:
    """How old the list is, and what it cost."""
    return f"listed {max(0.0, now - survey.at):.0f} s ago, {_cost(survey.cost)}"


def _cost(cost: ListCost) -> str:
    text = f"{_milliseconds(cost.total)} of the server"
    if cost.commands > 1:
        text += f" in {cost.commands} commands, the longest {_milliseconds(cost.longest)}"
    if cost.stretch > 1:
        text += f"; interval {cost.stretch:.1f} times longer for the budget"
    return text


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.0001 else "less than 0.1 ms"  # noqa: PLR2004
