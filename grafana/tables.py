"""Tables, tiles and looks that more than one dashboard has."""

from alerts.generate import RUNBOOKS
from grafana.dashboard import ALERT_SCOPE, ALERTS_FIRING, ALL_TARGETS, APP, CELL, SERVER, link_to
from grafana.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    Column,
    Form,
    Json,
    Panel,
    Query,
    coloured,
    stat,
    table,
    texts,
)
from grafana.promql import highest, listed, scoped, threshold, total
from grafana.queries import (
    CRITICAL,
    EVIDENCE,
    SUSPICIONS,
    VERDICTS,
    WARNING,
    evidence,
    growth,
    held,
    increase,
    most_in_use,
    most_suspected,
    pool_use,
    suspected_leaks,
    verdict,
    worst_instance,
)

LINK_TO_SERVER = link_to(SERVER, f"var-target={CELL}")
LINK_TO_RUNBOOK = f"{RUNBOOKS}/{CELL}.md"
NO_LIST = "no list of the clients: see What is not seen?"
SEEN = texts({1: ("seen", GREEN), 0: ("not seen", ORANGE)})
FILL = coloured(GREEN, (WARNING, ORANGE), (CRITICAL, RED))
# The longest bar is that of the column's own largest number.
BAR: Json = {
    "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
    "min": 0,
    "fieldMinMax": True,
}
TEXT: Json = {"custom.cellOptions": {"type": "color-text"}}
LEFT: Json = {"custom.align": "left"}
BACKGROUND: Json = {"custom.cellOptions": {"type": "color-background", "mode": "basic"}}


def leak_look() -> Json:
    """Paint the cell once the number is worth a ticket."""
    return coloured("transparent", (threshold("suspected_leaks"), RED)) | BACKGROUND


def pool_look() -> Json:
    """Paint the cell where pools are nearly used up."""
    return {"decimals": 0} | TEXT | coloured("text", (WARNING, ORANGE), (1, RED))


def growth_per_hour(*by: str, **labels: str) -> str:
    """By how many connections apps grow in an hour."""
    return f"3600 * {growth('redis_app_connections_growth_per_second', *by, **labels)}"


def suspected_tile(title: str, width: int, **labels: str) -> Panel:
    """The app that leaks most, or what is known of leaks where none is sure."""
    return stat(
        title,
        "The app with the most connections that, by the evidence, nobody will use again (docs/leaks.md), on "
        "all servers shown. opened and unused, grows without need: a leak may have begun. none: only if the "
        "verdict on every app is known.",
        Query(most_suspected(**labels), "{{app}}", Form.NOW),
        unit="locale",
        width=width,
        look=coloured(ORANGE, (threshold("suspected_leaks"), RED)) | texts(SUSPICIONS),
        named=not labels,
    )


def verdict_columns(*by: str, **labels: str) -> list[Column]:
    """What an app does, the strongest evidence of a leak, how many are suspected, and the worst instance."""
    words = {number: (each.value, colour) for number, (each, colour) in VERDICTS.items()}
    named = {number: (each.value.replace("_", " "), "text") for number, each in EVIDENCE.items()}
    return [
        Column("Verdict", verdict(*by, **labels), look=TEXT | texts(words) | LEFT, width=85),
        Column("Evidence", evidence(*by, **labels), look=TEXT | texts(named) | LEFT, width=145),
        Column("Suspected", suspected_leaks(*by, **labels), look=leak_look(), width=90),
        Column("Worst instance", worst_instance(*by, **labels), label="exported_instance", width=180),
    ]


def turned_away_tile(width: int) -> Panel:
    """How many did not get in."""
    return stat(
        "Turned away",
        "Connections that servers refused within the time shown, because they were full. 0 is good.",
        Query(total(increase("redis_rejected_connections_total")), form=Form.NOW),
        unit="locale",
        width=width,
        look=coloured(GREEN, (1, RED)),
        decimals=0,
    )


_SEVERITIES = {3: ("critical", RED), 2: ("warning", ORANGE), 1: ("info", BLUE)}


def alerts_table(width: int, height: int) -> Panel:
    """The alerts that fire now; also on the dashboard of one server."""
    labels = "alertname, target, app"
    since = scoped(ALERT_SCOPE, "ALERTS_FOR_STATE", alertname="RedisConnection.+")
    firing = " or ".join(
        f"{scoped(ALERT_SCOPE, 'ALERTS', severity=severity, **ALERTS_FIRING)} * {number}"
        for number, (severity, _) in _SEVERITIES.items()
    )
    severity = f"max by ({labels}) ({firing})"
    return table(
        "Which alerts fire?",
        "Alerts of the shipped rules that fire now, the most urgent first, and since when their condition "
        "holds. Empty is good, if the rules are loaded (alerts/*.yml). The alert's name leads to its "
        "runbook, the other names to their dashboards.",
        [
            Column("Alert", label="alertname", link=LINK_TO_RUNBOOK),
            Column("Server", label="target", link=LINK_TO_SERVER, width=200),
            Column("App", label="app", link=link_to(APP, f"var-app={CELL}", ALL_TARGETS), width=110),
            Column("Severity", severity, look=TEXT | texts(_SEVERITIES) | LEFT, width=90),
            Column(
                "Since",
                f"1000 * min by ({labels}) ({since}) and on ({labels}) {severity}",
                unit="dateTimeFromNow",
                width=140,
            ),
        ],
        sort=["Severity", "Since"],
        width=width,
        height=height,
        nothing="none fires",
    )


def apps_table(title: str, description: str, height: int, *, link_target: str) -> Panel:
    """Who holds connections and what they do with them; also on the dashboard of one server."""
    return table(
        title,
        description,
        [
            Column("App", label="app", link=link_to(APP, f"var-app={CELL}", link_target), width=170),
            Column("Connections", held("app"), look=BAR | coloured(BLUE)),
            Column(
                "Share",
                f"{held('app')} / on () group_left () {held()}",
                unit="percentunit",
                look={"decimals": 0},
                width=65,
            ),
            *verdict_columns("app"),
            Column("Active", held("app", state="active"), width=65),
            Column("Idle", held("app", state="idle"), width=60),
            Column("Stale", held("app", state="stale"), width=60),
            Column("Blocked", held("app", state="blocked"), width=75),
            Column("Growth/h", growth_per_hour("app"), look={"decimals": 0}, width=85),
            Column("Most in use", most_in_use("app"), width=100),
            Column("Pool", pool_use("app"), unit="percentunit", look=pool_look(), width=60),
            Column(
                "Longest idle",
                f"max by (app) ({highest('redis_app_oldest_idle_seconds')})",
                unit="s",
                look={"decimals": 0},
                width=100,
            ),
            Column("Memory", total(listed("redis_app_memory_bytes"), "app"), unit="bytes", width=80),
        ],
        sort=["Connections"],
        width=24,
        height=height,
        nothing=NO_LIST,
    )
