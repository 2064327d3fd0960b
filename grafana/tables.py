"""Tables and looks that more than one dashboard has."""

from grafana.dashboard import ALERT_SCOPE, ALERTS_FIRING, APP, CELL, SERVER, link_to
from grafana.panels import BLUE, GREEN, ORANGE, RED, Column, Json, Panel, coloured, table
from grafana.promql import newest, scoped, threshold, total
from grafana.queries import CRITICAL, WARNING, held

LINK_TO_SERVER = link_to(SERVER, f"var-target={CELL}")
FILL = coloured(GREEN, (WARNING, ORANGE), (CRITICAL, RED))
# The longest bar is that of the column's own largest number.
BAR: Json = {
    "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
    "min": 0,
    "fieldMinMax": True,
}
TEXT: Json = {"custom.cellOptions": {"type": "color-text"}}
BACKGROUND: Json = {"custom.cellOptions": {"type": "color-background", "mode": "basic"}}


def leak_look() -> Json:
    """Paint the cell once the number is worth a ticket."""
    return coloured("transparent", (threshold("suspected_leaks"), RED)) | BACKGROUND


def alerts_table(width: int, height: int) -> Panel:
    """The alerts that fire now; also on the dashboard of one server."""
    since = scoped(ALERT_SCOPE, "ALERTS_FOR_STATE", alertname="RedisConnection.+")
    firing = scoped(ALERT_SCOPE, "ALERTS", **ALERTS_FIRING)
    labels = "alertname, severity, target"
    severities = {"critical": RED, "warning": ORANGE, "info": BLUE}
    return table(
        "Which alerts fire?",
        "Alerts of the shipped rules that fire now, and since when their condition holds. Empty is good, if "
        "the rules are loaded (alerts/*.yml). The server's name leads to its dashboard.",
        [
            Column("Alert", label="alertname"),
            Column("Server", label="target", link=LINK_TO_SERVER, width=130),
            Column(
                "Severity",
                label="severity",
                width=90,
                look={
                    **TEXT,
                    "mappings": [
                        {
                            "type": "value",
                            "options": {name: {"color": colour} for name, colour in severities.items()},
                        }
                    ],
                },
            ),
            Column(
                "Since",
                f"1000 * min by ({labels}) ({since}) and on ({labels}) {firing}",
                unit="dateTimeFromNow",
                width=130,
            ),
        ],
        sort="Since",
        width=width,
        height=height,
    )


def apps_table(title: str, description: str, height: int, *, link_target: str) -> Panel:
    """Who holds connections and what they do with them; also on the dashboard of one server."""
    suspected = total(newest("redis_app_suspected_leaked_connections"), "app")
    growth = total(newest("redis_app_connections_growth_per_second"), "app")
    return table(
        title,
        description,
        [
            Column("App", label="app", link=link_to(APP, f"var-app={CELL}", link_target), width=230),
            Column("Connections", held("app"), look=BAR | coloured(BLUE)),
            Column(
                "Share",
                f"{held('app')} / on () group_left () {held()}",
                unit="percentunit",
                look={"decimals": 0},
                width=75,
            ),
            Column("Active", held("app", state="active"), width=75),
            Column("Idle", held("app", state="idle"), width=75),
            Column("Stale", held("app", state="stale"), width=75),
            Column("Blocked", held("app", state="blocked"), width=80),
            Column("Suspected leaks", suspected, look=leak_look(), width=130),
            Column("Growth per hour", f"3600 * {growth}", look={"decimals": 0}, width=130),
            Column(
                "Most in use at once",
                total(newest("redis_app_needed_connections_peak"), "app"),
                width=155,
            ),
            Column(
                "Longest idle",
                f"max by (app) ({newest('redis_app_oldest_idle_seconds')})",
                unit="s",
                look={"decimals": 0},
                width=110,
            ),
            Column("Memory", total(newest("redis_app_memory_bytes"), "app"), unit="bytes", width=90),
        ],
        sort="Connections",
        width=24,
        height=height,
    )
