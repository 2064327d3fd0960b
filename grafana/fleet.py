"""Fleet: which server needs somebody, and since when."""

from grafana.dashboard import (
    APP,
    CELL,
    FLEET,
    OK,
    STATES,
    dashboard,
    link_to,
    target_variable,
)
from grafana.panels import (
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    Column,
    Form,
    Json,
    Panel,
    Query,
    Row,
    coloured,
    lines,
    stat,
    table,
    texts,
    timeline,
)
from grafana.promql import highest, per_second, scoped, series, threshold, total
from grafana.queries import (
    EXHAUSTION,
    LIMIT,
    SHOWN,
    STATE,
    USED,
    UTILISATION,
    WARNING,
    WATCH,
    above_since,
    held,
    increase,
    longest_not_ok,
    most,
    suspected_leaks,
    top,
)
from grafana.tables import (
    BACKGROUND,
    BAR,
    FILL,
    LINK_TO_SERVER,
    SEEN,
    TEXT,
    alerts_table,
    apps_table,
    suspected_tile,
    turned_away_tile,
)

_LINK_TO_APP = link_to(APP, f"var-app={CELL}", "${target:queryparam}")


def _numbers() -> list[Panel]:
    return [
        stat(
            "At the limit",
            "Servers that refuse every new connection now. 0 is good; anything else is an outage for "
            "whoever connects next.",
            Query(total(highest("redis_target_state", state="at_limit")), form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(GREEN, (1, RED)),
        ),
        stat(
            "Not answering",
            "Servers that no exporter can poll for another reason than their limit: down, unreachable, wrong "
            "password, loading. Their other numbers are gone until a poll succeeds. 0 is good.",
            Query(f"sum({STATE} > bool {OK})", form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(GREEN, (1, PURPLE)),
        ),
        stat(
            f"Above {WARNING:.0%}",
            f"Servers with more than {WARNING:.0%} of maxclients in use now, those at the limit among "
            "them. 0 is good.",
            Query(f"sum({UTILISATION} > bool {WARNING})", form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(GREEN, (1, ORANGE)),
        ),
        stat(
            "Fullest server",
            "The server that has the largest share of maxclients in use, and that share.",
            Query(f"topk(1, {UTILISATION})", "{{target}}", Form.NOW),
            unit="percentunit",
            width=4,
            look=FILL,
            named=True,
            decimals=0,
        ),
        stat(
            "First to run out",
            f"The server, more than {WATCH:.0%} full, that will first be out of connections, and in what "
            "time, if it goes on growing. '-': none grows.",
            Query(f"bottomk(1, {EXHAUSTION})", "{{target}}", Form.NOW),
            unit="s",
            width=4,
            look=coloured(RED, (threshold("exhaustion_seconds"), ORANGE), (86400, GREEN)),
            named=True,
            decimals=1,
        ),
        suspected_tile("Most suspected leaks", 4),
        turned_away_tile(3),
    ]


def _servers() -> Panel:
    shares = f"{held('target', 'app', app='!other')} / on (target) group_left () ({held('target')} > 0)"
    return table(
        "Which server first?",
        "Every server, the fullest first. A server whose poll failed has a state and nothing else; the "
        "timeline below says since when. One whose Clients are not seen denies CLIENT LIST, or it is off: no "
        "apps and no leaks are known. 'Full in' carries on the growth of the shortest of 5, 15 and 60 "
        f"minutes in which it is steep, for servers more than {WATCH:.0%} full. The names lead to the "
        "dashboards of the server and of the app.",
        [
            Column("Server", label="target", link=LINK_TO_SERVER, width=260),
            Column(
                "State",
                STATE,
                look=texts(STATES) | BACKGROUND | {"custom.align": "center"},
                width=100,
            ),
            Column("In use", UTILISATION, unit="percentunit", look=BAR | FILL | {"max": 1}),
            Column("Limit", LIMIT, width=65),
            Column("Free", f"{LIMIT} - {USED}", width=65),
            Column(f"Above {WARNING:.0%} since", above_since(), unit="dateTimeFromNow", width=135),
            Column(
                "Full in",
                EXHAUSTION,
                unit="s",
                look={"decimals": 1}
                | TEXT
                | coloured(RED, (threshold("exhaustion_seconds"), ORANGE), (86400, "text")),
                width=80,
            ),
            Column("Biggest app", label="app", link=_LINK_TO_APP, width=190),
            Column(
                "Its share",
                f"topk by (target) (1, {shares})",
                unit="percentunit",
                look={"decimals": 0},
                width=85,
            ),
            Column(
                "Suspected leaks",
                suspected_leaks("target"),
                look=coloured("text", (threshold("suspected_leaks"), RED)) | TEXT,
                width=125,
            ),
            Column("Blocked", highest("redis_blocked_clients"), width=75),
            Column(
                "Turned away",
                increase("redis_rejected_connections_total"),
                look=coloured("text", (1, RED)) | {"decimals": 0} | TEXT,
                width=105,
            ),
            Column(
                "Clients",
                highest("redis_connection_exporter_client_list_available"),
                look=SEEN | TEXT,
                width=75,
            ),
        ],
        sort=["In use"],
        width=24,
        height=10,
    )


def _trouble() -> Row:
    return Row(
        "Since when?",
        [
            timeline(
                "Which server was not ok, and when?",
                f"Servers that were in another state than ok within the time shown: the {SHOWN} that were so "
                "longest, at the limit before all others. at limit: it refuses newcomers. refused, timeout, "
                "unreachable, dns: it cannot be reached. auth, tls, noperm, protocol: it does not let the "
                "exporter in. loading, busy: it serves nobody. Empty is good.",
                [Query(top(STATE, longest_not_ok()), "{{target}}")],
                STATES,
                width=11,
                height=8,
                nothing="none seen",
            ),
            alerts_table(13, 8),
        ],
    )


def _trends() -> Row:
    return Row(
        "How is it going?",
        [
            lines(
                f"How full are the fullest {SHOWN}?",
                f"Share of maxclients in use, for the {SHOWN} servers that were fullest within the time "
                f"shown. Bad: above {WARNING:.0%}; at 100% newcomers are refused. A slow, straight climb is "
                "a leak; a step is a deploy or a pool that grew.",
                [Query(top(UTILISATION, most("redis_connection_utilization_ratio")), "{{target}}")],
                unit="percentunit",
                width=12,
                top=1,
            ),
            lines(
                "Who refuses connections?",
                "Connections refused per second because the server was full. Anything above 0 is somebody's "
                "error page. Much more than usual means that clients retry without a pause.",
                [
                    Query(
                        top(
                            f"{per_second('redis_rejected_connections_total')} > 0",
                            increase("redis_rejected_connections_total"),
                        ),
                        "{{target}}",
                    )
                ],
                unit="cps",
                width=12,
                nothing="none seen",
            ),
            lines(
                "Who is connected to most often?",
                f"Connections opened per second, the {SHOWN} servers with most. A pool opens few; hundreds "
                "per second mean that somebody connects anew for every request.",
                [
                    Query(
                        top(
                            per_second("redis_connections_received_total"),
                            increase("redis_connections_received_total"),
                        ),
                        "{{target}}",
                    )
                ],
                unit="cps",
                width=12,
            ),
            lines(
                "Which apps leak?",
                "Suspected leaks of each app over all servers: connections with evidence that nobody will "
                "use them again. Bad: a line that only climbs.",
                [
                    Query(f"{suspected_leaks('app')} > 0", "{{app}}"),
                ],
                unit="locale",
                width=12,
                nothing="none seen",
                decimals=0,
            ),
        ],
    )


def _exporter() -> Row:
    job = {"job": "$job"}
    success = "redis_connection_exporter_last_success_timestamp_seconds"
    oldest = f"max by (target) ({series(success)} @ end())"
    lag = scoped(job, "redis_connection_exporter_event_loop_lag_seconds")
    late = scoped(job, "redis_connection_exporter_poll_delay_seconds")
    return Row(
        "Does the exporter see what it should?",
        [
            lines(
                "How old are the numbers?",
                f"Time since the last successful poll, the {SHOWN} servers with most. Bad: more than a few "
                "poll intervals. Left out: servers that never answered since the exporter started.",
                [
                    Query(
                        f"(time() - {highest(success)}) and on (target) bottomk({SHOWN}, {oldest})",
                        "{{target}}",
                    )
                ],
                unit="s",
                width=8,
            ),
            lines(
                "Why do polls fail?",
                "Failed polls per second by reason, over all servers. Empty is good.",
                [
                    Query(
                        f"{total(per_second('redis_connection_exporter_poll_failures_total'), 'reason')} > 0",
                        "{{reason}}",
                    )
                ],
                unit="cps",
                width=8,
                nothing="none seen",
            ),
            lines(
                "Is the exporter itself well?",
                "CPU in cores, and the longest delays of its clock and polls within a minute. Bad: CPU near "
                "1, or delays above a tenth of a second: then it watches too many servers for one process.",
                [
                    Query(
                        f"rate({scoped(job, 'process_cpu_seconds_total')}[$__rate_interval])",
                        "CPU {{instance}}",
                    ),
                    Query(lag, "delay in seconds {{instance}}"),
                    Query(late, "polls late by seconds {{instance}}"),
                ],
                unit="locale",
                width=8,
            ),
        ],
        collapsed=True,
    )


def fleet() -> Json:
    """Build the dashboard of all servers."""
    return dashboard(
        FLEET,
        "All Redis and Valkey servers: how close each is to maxclients, which is in trouble, since when.",
        [target_variable()],
        [
            Row("Is anything wrong now?", [*_numbers(), _servers()]),
            _trouble(),
            _trends(),
            Row(
                "Who holds connections?",
                [
                    apps_table(
                        "Which apps, over all servers?",
                        "Connections of each app on all chosen servers together, and what they do. Compare "
                        "Connections with Most in use: a pool many times larger than what was ever in use is "
                        "too large. Verdict: the worst of all servers; unknown is no good news: see "
                        "Evidence. The name leads to the app's dashboard.",
                        9,
                        link_target="${target:queryparam}",
                    )
                ],
            ),
            _exporter(),
        ],
    )
