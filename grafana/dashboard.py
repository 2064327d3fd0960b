"""What the three dashboards have in common: variables, links to one another, annotations."""

from collections.abc import Sequence

from exporter.model import State
from grafana.panels import DATASOURCE, GREEN, ORANGE, PURPLE, RED, YELLOW, Json, Row, place
from grafana.promql import highest, scoped, series

FLEET, SERVER, APP = "redis-connections-fleet", "redis-connections-server", "redis-connections-app"
TITLES = {
    FLEET: "Redis connections: fleet",
    SERVER: "Redis connections: one server",
    APP: "Redis connections: one app",
}

ALERTS_FIRING = {"alertname": "RedisConnection.+", "alertstate": "firing"}
# An alert about the exporter itself has neither.
ALERT_SCOPE = {"job": "$job|", "target": "$target|"}

# What every link takes along; targets and apps follow where the other side can show them.
_KEPT = "${datasource:queryparam}&${job:queryparam}&${filters:queryparam}"
_TIME = "${__url_time_range}"
CELL = "${__value.raw:percentencode}"
ALL_TARGETS = "var-target=$__all"


def link_to(uid: str, *variables: str) -> str:
    """Address another dashboard with the same data source, filters and time."""
    return f"/d/{uid}?{'&'.join((_KEPT, *variables, _TIME))}"


def _state_colour(state: State) -> str:
    match state:
        case State.OK:
            return GREEN
        case State.AT_LIMIT:
            return RED
        case State.REFUSED | State.TIMEOUT | State.UNREACHABLE | State.DNS:
            return PURPLE
        case State.LOADING | State.BUSY:
            return YELLOW
        case State.AUTH | State.TLS | State.NOPERM | State.PROTOCOL | State.UNKNOWN:
            return ORANGE


# In the order in which exporters that disagree are believed: what one saw beats what another missed.
_BELIEVED = sorted(State, key=[State.AT_LIMIT, State.OK, *State].index)
STATES = {
    number: (state.value.replace("_", " "), _state_colour(state)) for number, state in enumerate(_BELIEVED)
}
OK = _BELIEVED.index(State.OK)


def state_number() -> str:
    """The state of each target as its number in STATES: a timeline draws numbers, not labels."""
    terms = [
        f"({series('redis_target_state', state=state)} == 1) * {number}"
        for number, state in enumerate(_BELIEVED)
    ]
    return f"min by (target) ({' or '.join(terms)})"


def _variable(kind: str, name: str, label: str, **rest: object) -> Json:
    return {"type": kind, "name": name, "label": label, "hide": 0, **rest}


def _query_variable(name: str, label: str, query: str, **rest: object) -> Json:
    return _variable(
        "query",
        name,
        label,
        **{
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": f"variable-{name}"},
            "definition": query,
            "refresh": 2,
            "regex": "",
            "sort": 7,
            "multi": True,
            "includeAll": True,
            "allValue": ".+",
            "current": {},
            "options": [],
        }
        | rest,
    )


def datasource_variable() -> Json:
    """Which Prometheus."""
    return _variable(
        "datasource",
        "datasource",
        "Data source",
        query="prometheus",
        refresh=1,
        regex="",
        multi=False,
        includeAll=False,
        current={},
        options=[],
    )


def job_variable() -> Json:
    """Which exporters: other ones have metrics of the same names."""
    metric = scoped({}, "redis_target_state")
    return _query_variable("job", "Job", f"label_values({metric}, job)")


def target_variable() -> Json:
    """Which servers; all of them at first."""
    metric = scoped({"job": "$job"}, "redis_target_state")
    return _query_variable("target", "Server", f"label_values({metric}, target)")


def fullest_target_variable() -> Json:
    """Which servers; at first the fullest, for all of them in one picture hide the one in trouble."""
    job = {"job": "$job"}
    used = f"max by (target) ({scoped(job, 'redis_connection_utilization_ratio')})"
    known = f"max by (target) ({scoped(job, 'redis_target_state')})"
    return _query_variable(
        "target",
        "Server",
        f"query_result(sort_desc({used} or on (target) {known} * 0))",
        regex='/^\\{target="(.*)"\\} /',
        sort=0,
        includeAll=False,
        allValue=None,
    )


def app_variable() -> Json:
    """Which app; at first the one that holds most connections of the chosen servers."""
    held = series("redis_app_connections", app="!other")
    return _query_variable(
        "app",
        "App",
        f"query_result(sort_desc(sum by (app) (last_over_time({held}[$__range]))))",
        regex='/^\\{app="(.*)"\\} /',
        sort=0,
        includeAll=False,
        allValue=None,
    )


def number_variable(name: str, label: str, value: str) -> Json:
    """A number that a person types."""
    chosen = {"text": value, "value": value}
    return _variable(
        "textbox", name, label, query=value, current=chosen, options=[chosen | {"selected": True}]
    )


def labels_variable() -> Json:
    """Filters by any label: the targets' own ones are called as their owners like."""
    return _variable("adhoc", "filters", "Labels", datasource=DATASOURCE, filters=[], baseFilters=[])


def _annotation(name: str, colour: str, expression: str, title: str, text: str) -> Json:
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "expr": expression,
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "target",
        "useValueForTime": False,
    }


def _annotations() -> list[Json]:
    alerts = scoped(ALERT_SCOPE, "ALERTS", **ALERTS_FIRING)
    roles = series("redis_instance_info")
    return [
        _annotation(
            "Alerts", RED, f"max by (alertname, severity, target) ({alerts})", "{{alertname}}", "{{severity}}"
        ),
        _annotation(
            "Restarts",
            PURPLE,
            f"{highest('redis_uptime_in_seconds')} < bool 60 == 1",
            "Restart",
            "{{target}} started within the last minute",
        ),
        _annotation(
            "Role changes",
            "blue",
            f"max by (target, role) ({roles}) unless max by (target, role) ({roles} offset 2m) "
            f"and on (target) max by (target) ({roles} offset 2m)",
            "Role change",
            "{{target}} is now {{role}}",
        ),
    ]


def _links(uid: str) -> list[Json]:
    # Fleet is of all servers, the server's own has no All, and whoever comes from one server to an app wants
    # to see the others.
    also = {APP: [ALL_TARGETS if uid == SERVER else "${target:queryparam}"]}
    return [
        {
            "type": "link",
            "title": TITLES[other].removeprefix("Redis connections: ").capitalize(),
            "tooltip": TITLES[other],
            "icon": "dashboard",
            "url": f"/d/{other}?{'&'.join((_KEPT, *also.get(other, [])))}",
            "keepTime": True,
            "includeVars": False,
            "asDropdown": False,
            "targetBlank": False,
            "tags": [],
        }
        for other in TITLES
        if other != uid
    ]


def dashboard(uid: str, description: str, variables: Sequence[Json], rows: Sequence[Row]) -> Json:
    """Write a dashboard in the classic format."""
    return {
        "id": None,
        "uid": uid,
        "title": TITLES[uid],
        "description": description,
        "tags": ["redis-connections", "redis", "valkey"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": _annotations()},
        "links": _links(uid),
        "templating": {"list": [datasource_variable(), job_variable(), *variables, labels_variable()]},
        "panels": place(rows),
    }
