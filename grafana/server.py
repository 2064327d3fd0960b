"""One server: how close, who holds the connections, since when, doing what."""

from collections.abc import Sequence

from alerts.generate import RUNBOOKS
from exporter.model import ClientState
from grafana.dashboard import ALL_TARGETS, OK, SERVER, STATES, dashboard, fullest_target_variable
from grafana.panels import (
    BLUE,
    DASHED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Form,
    Json,
    Panel,
    Query,
    Row,
    bars,
    coloured,
    fixed,
    heatmap,
    limit_line,
    lines,
    stat,
    text,
    texts,
    timeline,
)
from grafana.promql import highest, listed, per_second, series, threshold, total
from grafana.queries import (
    CRITICAL,
    EXHAUSTION,
    LIMIT,
    STATE,
    USED,
    UTILISATION,
    WARNING,
    WATCH,
    above_since,
    closed,
    held,
    opened,
    opened_unseen,
    suspected_leaks,
)
from grafana.tables import FILL, NO_LIST, SEEN, alerts_table, apps_table, suspected_tile, turned_away_tile

_STATE_COLOURS = {
    ClientState.ACTIVE: GREEN,
    ClientState.IDLE: BLUE,
    ClientState.STALE: ORANGE,
    ClientState.BLOCKED: PURPLE,
    ClientState.PUBSUB: "#56A64B",
    ClientState.MONITOR: RED,
    ClientState.REPLICA: YELLOW,
    ClientState.PRIMARY: GREY,
}
UNSEEN = "mostly unseen: no app"
BY_STATE = [fixed(state.value, colour) for state, colour in _STATE_COLOURS.items()]
# Numbers that no state has: one timeline draws both.
_ROLES = {21: ("primary", GREEN), 22: ("replica", BLUE), 23: ("sentinel", GREY)}
_LIMIT_LINES = [
    limit_line("maxclients", RED),
    limit_line(f"{CRITICAL:.0%}", ORANGE),
    limit_line(f"{WARNING:.0%}", YELLOW),
]


def _limits() -> list[Query]:
    return [
        Query(total(LIMIT), "maxclients"),
        Query(f"{CRITICAL} * {total(LIMIT)}", f"{CRITICAL:.0%}"),
        Query(f"{WARNING} * {total(LIMIT)}", f"{WARNING:.0%}"),
    ]


def _numbers() -> list[Panel]:
    named = held("app", app="!other")
    return [
        stat(
            "State",
            "What the server is to the exporter; of several, the worst. at limit: it refuses newcomers, "
            "while the exporter's own connection, opened before, still works.",
            Query(f"bottomk(1, {STATE} != {OK}) or on () bottomk(1, {STATE})", "{{target}}", Form.NOW),
            unit="locale",
            width=3,
            look=coloured(GREY) | texts(STATES),
            named=True,
        ),
        stat(
            "In use",
            "Share of maxclients in use, as the server itself counts; of several, of the fullest. Bad: "
            f"above {WARNING:.0%}. At 100% newcomers are refused.",
            Query(f"topk(1, {UTILISATION})", "{{target}}", Form.NOW),
            unit="percentunit",
            width=2,
            look=FILL,
            named=True,
            decimals=0,
        ),
        stat(
            "Free",
            "Connections that the server would still accept; of several, the one with fewest.",
            Query(f"bottomk(1, {LIMIT} - {USED})", "{{target}}", Form.NOW),
            unit="locale",
            width=2,
            look=coloured(RED, (1, BLUE)),
            named=True,
        ),
        stat(
            f"Above {WARNING:.0%} since",
            f"When utilisation last rose above {WARNING:.0%} within the time shown, or since when the "
            "exporter has seen it there; of several, the earliest. '-': it is below now.",
            Query(f"bottomk(1, {above_since()})", form=Form.NOW),
            unit="dateTimeFromNow",
            width=3,
            look=coloured(ORANGE),
        ),
        stat(
            "Full in",
            "When no connection will be free if it goes on growing, by the shortest of 5, 15 and 60 minutes "
            f"in which growth is steep. '-': it does not grow, or less than {WATCH:.0%} is in use. Of "
            "several, the first.",
            Query(f"bottomk(1, {EXHAUSTION})", form=Form.NOW),
            unit="s",
            width=2,
            look=coloured(RED, (threshold("exhaustion_seconds"), ORANGE), (86400, GREEN)),
            decimals=1,
        ),
        stat(
            "Biggest app",
            "The app that holds most connections, and its share of all clients.",
            Query(f"topk(1, {named} / on () group_left () {held()})", "{{app}}", Form.NOW),
            unit="percentunit",
            width=4,
            look=coloured(BLUE),
            named=True,
            decimals=0,
        ),
        suspected_tile("Suspected leaks", 3),
        turned_away_tile(3),
        stat(
            "Clients",
            "Whether the exporter gets the list of the clients, from which it knows apps, hosts, idle times "
            "and leaks. not seen: CLIENT LIST is denied, takes too long, or is off; What is not seen? in the "
            "last row says which.",
            Query(f"min({highest('redis_connection_exporter_client_list_available')})", form=Form.NOW),
            unit="locale",
            width=2,
            look=coloured(GREY) | SEEN,
        ),
    ]


_NEXT_STEPS = f"""
**At the limit?** You are turned away too: [get in]({RUNBOOKS}/get-in-at-limit.md) first.

Then find the app that leaks, grows or holds most:

1. **It leaks or its pool grew:** restart its worst instance, or roll back its last deploy.
2. **No time?** [Raise maxclients]({RUNBOOKS}/raise-maxclients.md), if open files allow it.
3. **It cannot be restarted?** [Close its idle connections]({RUNBOOKS}/close-idle-clients.md), 20 at a time.
4. **No app is seen?** Ask the server itself [who holds them]({RUNBOOKS}/who-holds.md).
5. **Not reachable?** *State and role* says since when; then the host.

An app's name leads to all its servers, an alert's to its runbook.
"""


def _holders() -> Row:
    return Row(
        "How close is it, and who holds the connections?",
        [
            *_numbers(),
            lines(
                "Who holds the connections?",
                "Connections by app, stacked, against maxclients. An app is the connection's name, else its "
                "user, library or host. Bad: one colour that grows towards the dashed red line. The "
                "exporter's own connection is left out; replicas and the cluster bus count against the limit "
                "as well.",
                [Query(held("app"), "{{app}}"), *_limits()],
                unit="locale",
                width=18,
                height=11,
                stacked=True,
                overrides=_LIMIT_LINES,
                decimals=0,
            ),
            text("What next?", "First steps for the person who is paged.", _NEXT_STEPS, width=6, height=11),
            apps_table(
                "What do they do with them?",
                "Each app's connections now. Active: used within the last second. Stale: idle longer than "
                "clients.stale_after. Suspected: leaked by the evidence (docs/leaks.md). Verdict unknown: "
                "too little was seen, or Evidence says what speaks for a leak. Most in use: of the last 6 "
                "hours; a pool many times larger is too large. Pool: open over the size of its pools, where "
                "names tell it. The name leads to the app's dashboard.",
                9,
                link_target=ALL_TARGETS,
            ),
        ],
    )


def _since_when() -> Row:
    role = " or ".join(
        f"max by (target) ({series('redis_instance_info', role=word)}) * {number}"
        for word, number in (("master", 21), ("slave", 22), ("sentinel", 23))
    )
    used, peak = "in use", "peak of a minute"
    return Row(
        "Since when?",
        [
            lines(
                "How close is it to maxclients?",
                "Connections as the server counts them, the highest number of each minute, and the limit "
                f"with {WARNING:.0%} and {CRITICAL:.0%} of it. Bad: above the dashed lines. A peak far above "
                "the line in use is a burst that ends between two scrapes.",
                [
                    Query(total(USED), used),
                    Query(total(highest("redis_connection_slots_used_peak")), peak),
                    *_limits(),
                ],
                unit="locale",
                width=6,
                overrides=[
                    fixed(used, BLUE, custom__fillOpacity=15, custom__lineWidth=2),
                    fixed(peak, GREY),
                    *_LIMIT_LINES,
                ],
                decimals=0,
            ),
            timeline(
                "State and role",
                "What the server was to the exporter, and whether it was primary or replica. Gaps: the "
                "exporter or Prometheus was not there. A change of role is a failover.",
                [Query(STATE, "{{target}}"), Query(role, "{{target}} role")],
                STATES | _ROLES,
                width=5,
                height=8,
            ),
            alerts_table(13, 8),
            lines(
                "Who opens and closes connections?",
                "Connections opened (up) and closed (down) per second, by app, as two lists of the clients "
                "tell. Bad: much of both in one app, which then connects anew instead of using a pool; or "
                "more opened than closed for long, which is growth. Where lists saw less than half of what "
                "was opened, no app is named: most connections were gone before.",
                [
                    Query(f"{opened('app')} > 0", "{{app}}"),
                    Query(
                        f"-({closed('app')} > 0)",
                        "{{app}} closed",
                    ),
                    Query(opened_unseen(), UNSEEN),
                ],
                unit="cps",
                width=12,
                overrides=[fixed(UNSEEN, GREY, custom__lineWidth=2)],
                signed=True,
            ),
            lines(
                "What does the server accept and refuse?",
                "Accepted: all connections, also those too short for any list. Unseen: those that came and "
                "went between two lists. Refused: at the limit. Bad: anything refused, or many unseen.",
                [
                    Query(total(per_second("redis_connections_received_total")), "accepted"),
                    Query(total(per_second("redis_connections_unseen_total")), "unseen"),
                    Query(total(per_second("redis_rejected_connections_total")), "refused"),
                ],
                unit="cps",
                width=6,
                overrides=[fixed("accepted", BLUE), fixed("unseen", GREY), fixed("refused", RED)],
            ),
            lines(
                "How long do connections live?",
                "Mean lifetime over the last 5 minutes, by Little's law: connections over connections opened "
                "per second. Bad: seconds, for that is less than a pool is good for. Empty: none was "
                "opened.",
                [Query(highest("redis_connection_mean_lifetime_seconds"), "{{target}}")],
                unit="s",
                width=6,
            ),
        ],
    )


def _doing_what() -> Row:
    by_state = held("state")
    blocked = total(listed("redis_blocked_connections"), "cmd")
    return Row(
        "Busy, idle, leaked or blocked?",
        [
            lines(
                "What are the connections doing?",
                "Connections by state, stacked; each is in exactly one. Bad: stale that grows while active "
                "does not: connections that nobody gives back.",
                [Query(f"{by_state} > 0", "{{state}}")],
                unit="locale",
                width=8,
                stacked=True,
                overrides=BY_STATE,
                decimals=0,
                nothing=NO_LIST,
            ),
            heatmap(
                "How long have they been idle?",
                "How many connections were idle for how long. Good: dark at the bottom. A band that wanders "
                "upwards was opened at one time and never used again.",
                Query(total(listed("redis_client_idle_seconds_bucket"), "le"), "{{le}}", Form.HEATMAP),
                width=8,
            ),
            heatmap(
                "How old are they?",
                "How many connections have which age. Everything young: somebody connects anew all the time, "
                "or has just been deployed.",
                Query(total(listed("redis_client_age_seconds_bucket"), "le"), "{{le}}", Form.HEATMAP),
                width=8,
            ),
            lines(
                "Who leaks?",
                "Suspected leaks by app. Bad: a line that only climbs.",
                [Query(f"{suspected_leaks('app')} > 0", "{{app}}")],
                unit="locale",
                width=8,
                decimals=0,
                nothing="none known",
            ),
            lines(
                "Who waits in which command?",
                "Connections that wait in a blocking command. Normal for workers of a queue; bad when they "
                "are more than there are workers, or the queue's writers have stopped.",
                [
                    Query(f"{blocked} > 0", "{{cmd}}"),
                    Query(total(highest("redis_blocked_clients_without_timeout")), "without a timeout"),
                ],
                unit="locale",
                width=8,
                overrides=[fixed("without a timeout", RED, custom__lineStyle=DASHED)],
                decimals=0,
            ),
            lines(
                "How long does the longest wait?",
                "Time for which one connection has waited in a blocking command by now. A straight climb: it "
                "waits for something that does not come.",
                [Query(highest("redis_blocked_longest_seconds"), "{{target}}")],
                unit="s",
                width=8,
            ),
        ],
    )


def _cut(title: str, metric: str, labels: Sequence[str], meaning: str, width: int) -> Panel:
    first, legend = labels[0], " ".join(f"{{{{{label}}}}}" for label in labels)
    # An old server beside newer ones may not tell.
    told = f'label_replace({total(listed(metric), *labels)}, "{first}", "not told", "{first}", "")'
    query = Query(f"sort_desc(topk(12, {told} > 0))", legend, Form.NOW)
    return bars(title, meaning, [query], unit="locale", width=width, height=9)


def _from_where() -> Row:
    return Row(
        "From where, and with what?",
        [
            _cut(
                "Hosts",
                "redis_host_connections",
                ["host"],
                "Connections by address, the 12 with most. Bad: one of many equal hosts that has far more "
                "than the others.",
                5,
            ),
            _cut(
                "Users",
                "redis_user_connections",
                ["user"],
                "Connections by ACL user (Redis 6.0, Valkey). Bad: all of them on default, for then nobody "
                "can be told apart or cut off.",
                4,
            ),
            _cut(
                "Libraries",
                "redis_library_connections",
                ["library", "version"],
                "Connections by client library and version (Redis 7.2, Valkey). An old version of a library "
                "with a known leak shows here.",
                5,
            ),
            _cut(
                "Last command",
                "redis_command_connections",
                ["cmd"],
                "Connections by the command that they ran last. Many with NULL were opened and never used; "
                "many with ping are kept open and not used.",
                4,
            ),
            _cut("Databases", "redis_db_connections", ["db"], "Connections by selected database.", 3),
            stat(
                "Nameless",
                "Share of the connections that have no name. Bad: many, for a name tells the apps apart. Set "
                "client_name in the app's library.",
                Query(f"{total(listed('redis_nameless_connections'))} / ({held()} > 0)", form=Form.NOW),
                unit="percentunit",
                width=3,
                look=coloured(BLUE, (0.5, ORANGE)),
                nothing="no data",
                decimals=0,
                height=9,
            ),
        ],
    )


def _cost() -> Row:
    busy = " + ".join(per_second(f"redis_cpu_{mode}_main_thread_seconds_total") for mode in ("user", "sys"))
    denied = total(per_second("redis_acl_access_denied_auth_total"))
    return Row(
        "What do the connections cost the server?",
        [
            lines(
                "Memory by app",
                "Memory that the server holds for each app's connections (Redis 6.0.9, Valkey). Bad: one app "
                "that grows; its readers are too slow for what they ask or subscribed to.",
                [Query(total(listed("redis_app_memory_bytes"), "app"), "{{app}}")],
                unit="bytes",
                width=6,
                stacked=True,
                nothing=NO_LIST,
            ),
            lines(
                "Largest buffers",
                "The largest buffers of single clients of late. Bad: megabytes, for one client that does not "
                "read its answers can cost the server its memory.",
                [
                    Query(highest("redis_client_recent_max_input_buffer_bytes"), "input {{target}}"),
                    Query(highest("redis_client_recent_max_output_buffer_bytes"), "output {{target}}"),
                ],
                unit="bytes",
                width=6,
            ),
            lines(
                "How busy is the main thread?",
                "CPU time of the thread that runs every command, as a share of one core (Redis 6.2, Valkey); "
                "and how long it was busy by the event loop's own clock (Redis 7.2, Valkey). Bad: near "
                "100%: then everybody waits, and pools grow because of it.",
                [
                    Query(busy, "CPU {{target}}"),
                    Query(per_second("redis_eventloop_duration_seconds_total"), "busy {{target}}"),
                ],
                unit="percentunit",
                width=6,
            ),
            lines(
                "Who was cut off or turned away?",
                "Clients cut for memory (Redis 7.0, Valkey) or for their buffers (Redis 7.4, Valkey 8.0), "
                "and failed logins (Redis 7.2, Valkey), per second. 0 is good.",
                [
                    Query(total(per_second("redis_evicted_clients_total")), "evicted"),
                    Query(
                        total(per_second("redis_client_query_buffer_limit_disconnections_total")),
                        "input buffer",
                    ),
                    Query(
                        total(per_second("redis_client_output_buffer_limit_disconnections_total")),
                        "output buffer",
                    ),
                    Query(denied, "failed logins"),
                ],
                unit="cps",
                width=6,
            ),
        ],
    )


def _exporter_cost() -> Row:
    lists = series("redis_connection_exporter_client_list_timestamp_seconds")
    cost = series("redis_connection_exporter_client_list_server_seconds")
    return Row(
        "What does the exporter cost this server, and what does it miss?",
        [
            lines(
                "Share of the main thread",
                "Time of the server's main thread that the lists of clients took in the last 5 minutes. "
                "clients.server_time_budget is its limit (0.2% by default) for each exporter.",
                [
                    Query(
                        f"avg_over_time({cost}[5m]) * changes({lists}[5m]) / 300",
                        "{{target}} from {{instance}}",
                    )
                ],
                unit="percentunit",
                width=6,
            ),
            lines(
                "How long do others wait for it?",
                "The longest command of a list: so long every other client waited. And the whole poll, as "
                "the exporter saw it.",
                [
                    Query(
                        highest("redis_connection_exporter_client_list_longest_command_seconds"),
                        "longest command {{target}}",
                    ),
                    Query(highest("redis_connection_exporter_poll_duration_seconds"), "poll {{target}}"),
                ],
                unit="s",
                width=6,
            ),
            lines(
                "Why do its polls fail?",
                "Failed polls per second by reason. Empty is good.",
                [
                    Query(
                        f"{total(per_second('redis_connection_exporter_poll_failures_total'), 'reason')} > 0",
                        "{{reason}}",
                    )
                ],
                unit="cps",
                width=6,
                nothing="none seen",
            ),
            lines(
                "What is not seen?",
                "Connections in groups beyond clients.top, which are counted as other, by cut; rows that "
                "could not be read; and commands that the exporter's user may not run. Empty is good.",
                [
                    Query(
                        f"{total(highest('redis_connection_exporter_folded_connections'), 'cut')} > 0",
                        "{{cut}} in other",
                    ),
                    Query(
                        f"{highest('redis_connection_exporter_client_list_unreadable_rows')} > 0",
                        "unreadable rows",
                    ),
                    Query(highest("redis_connection_exporter_command_denied"), "denied: {{command}}"),
                ],
                unit="locale",
                width=6,
                nothing="nothing",
                decimals=0,
            ),
        ],
        collapsed=True,
    )


def server() -> Json:
    """Build the dashboard of one server, or of a few together."""
    return dashboard(
        SERVER,
        "One Redis or Valkey server (or several, such as the shards of a cluster, added up): how close it is "
        "to maxclients, who holds the connections, since when, and what they do.",
        [fullest_target_variable()],
        [_holders(), _since_when(), _doing_what(), _from_where(), _cost(), _exporter_cost()],
    )
