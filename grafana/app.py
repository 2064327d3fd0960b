"""One app, over all servers: what it holds, what it uses, what it would need."""

from grafana.dashboard import APP, app_variable, dashboard, number_variable, target_variable
from grafana.panels import (
    BLUE,
    DASHED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Column,
    Form,
    Json,
    Panel,
    Query,
    Row,
    bars,
    coloured,
    fixed,
    lines,
    stat,
    table,
)
from grafana.promql import highest, listed, per_second, total
from grafana.queries import (
    SHOWN,
    held,
    increase,
    most,
    most_in_use,
    opened,
    pool_use,
    suspected_leaks,
    top,
)
from grafana.server import BY_STATE
from grafana.tables import (
    BAR,
    LINK_TO_SERVER,
    NO_LIST,
    growth_per_hour,
    pool_look,
    suspected_tile,
    verdict_columns,
)

_MINE = "$app"
_OPEN = held(app=_MINE)
_PEAK = most_in_use(app=_MINE)
_SUSPECTED = suspected_leaks(app=_MINE)
_OTHERS = "other servers"


def _numbers() -> list[Panel]:
    return [
        stat(
            "Open",
            "Connections that the app holds on all chosen servers.",
            Query(_OPEN, form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(BLUE),
        ),
        stat(
            "In use at most",
            "The most that were in use in one list of the clients, summed over the servers: active, blocked "
            "or subscribed. Of the last 6 hours for sure, and of no more than 12.",
            Query(_PEAK, form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(BLUE),
        ),
        stat(
            "Open / in use",
            "Open connections for each that was ever in use at once within 6 hours; all of them where none "
            "was. 1 to 3 is a pool that fits. Bad: 10, a pool ten times too large, or a leak.",
            Query(f"{_OPEN} / clamp_min({_PEAK}, 1)", form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(GREEN, (5, ORANGE), (10, RED)),
            decimals=1,
        ),
        stat(
            "Stale",
            "Connections idle for longer than clients.stale_after. A cost, and bad only if it grows.",
            Query(held(app=_MINE, state="stale"), form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(BLUE),
        ),
        suspected_tile("Suspected leaks", 3, app=_MINE),
        stat(
            "Growth per hour",
            "Connections more per hour, over the shortest of 5, 15 and 60 minutes in which growth is steep "
            "(5 connections, and 36 an hour), else over the longest that is known. Bad: above 0 for long, "
            "while those in use do not grow.",
            Query(growth_per_hour(app=_MINE), form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(GREEN, (10, ORANGE), (100, RED)),
            decimals=0,
        ),
        stat(
            "Longest idle",
            "The longest time that one of its connections has not been used.",
            Query(f"max({highest('redis_app_oldest_idle_seconds', app=_MINE)})", form=Form.NOW),
            unit="s",
            width=3,
            look=coloured(BLUE),
            decimals=0,
        ),
        stat(
            "Blocked",
            "Connections that wait in a blocking command. Normal for workers of a queue.",
            Query(held(app=_MINE, state="blocked"), form=Form.NOW),
            unit="locale",
            width=3,
            look=coloured(PURPLE),
        ),
    ]


def _held() -> Row:
    of_fullest = top(held("target", app=_MINE), most("redis_app_connections", app=_MINE))
    return Row(
        "What does $app hold, and what does it use?",
        [
            *_numbers(),
            lines(
                "Open against in use",
                "Open: what the app holds. In use: active, blocked or subscribed in this list. Most in use "
                "at once: of the last 6 hours. Bad: open far above the others, which is a pool that is too "
                "large, or open that climbs while they do not, which is a leak.",
                [
                    Query(_OPEN, "open"),
                    Query(held(app=_MINE, state="active|blocked|pubsub"), "in use"),
                    Query(_PEAK, "most in use at once"),
                    Query(held(app=_MINE, state="stale"), "stale"),
                    Query(_SUSPECTED, "suspected leaks"),
                ],
                unit="locale",
                width=12,
                height=9,
                overrides=[
                    fixed("open", BLUE, custom__lineWidth=2),
                    fixed("in use", GREEN, custom__fillOpacity=40),
                    fixed("most in use at once", GREEN, custom__lineStyle=DASHED),
                    fixed("stale", ORANGE),
                    fixed("suspected leaks", RED, custom__lineWidth=2),
                ],
                decimals=0,
            ),
            lines(
                "On which servers?",
                f"Connections of the app by server, stacked: the {SHOWN} with most, and all others as one. "
                "Bad: one server that gets many more than its equals.",
                [Query(of_fullest, "{{target}}"), Query(f"{_OPEN} - sum({of_fullest}) > 0", _OTHERS)],
                unit="locale",
                width=12,
                height=9,
                stacked=True,
                overrides=[fixed(_OTHERS, GREY)],
                decimals=0,
            ),
            _servers(),
        ],
    )


def _servers() -> Panel:
    return table(
        "What does it do on each server?",
        "The app's connections now, by server. Compare Connections with Most in use. Pool: open connections "
        "over the size of its pools, where names tell it (orders@pool=20). The server's name leads to its "
        "dashboard.",
        [
            Column("Server", label="target", link=LINK_TO_SERVER, width=200),
            Column("Connections", held("target", app=_MINE), look=BAR | coloured(BLUE)),
            Column(
                "Share of the server",
                f"{held('target', app=_MINE)} / on (target) ({held('target')} > 0)",
                unit="percentunit",
                look={"decimals": 0},
                width=150,
            ),
            *verdict_columns("target", app=_MINE),
            Column("Active", held("target", app=_MINE, state="active"), width=75),
            Column("Idle", held("target", app=_MINE, state="idle"), width=75),
            Column("Stale", held("target", app=_MINE, state="stale"), width=75),
            Column("Blocked", held("target", app=_MINE, state="blocked"), width=80),
            Column("Growth/h", growth_per_hour("target", app=_MINE), look={"decimals": 0}, width=85),
            Column("Most in use", most_in_use("target", app=_MINE), width=100),
            Column("Pool", pool_use("target", app=_MINE), unit="percentunit", look=pool_look(), width=60),
            Column(
                "Memory",
                total(listed("redis_app_memory_bytes", app=_MINE), "target"),
                unit="bytes",
                width=90,
            ),
        ],
        sort=["Connections"],
        width=24,
        height=8,
        nothing=NO_LIST,
    )


def _calculator() -> Row:
    """Little's law: connections in use = commands per second * time that each holds its connection."""
    # What is typed gets "+ 0", for the field may have been cleared.
    mine, all_active = held("target", app=_MINE, state="active"), held("target", state="active")
    share = f"{mine} / on (target) clamp_min({all_active}, 1)"
    estimate = f"sum({per_second('redis_commands_processed_total')} * on (target) ({share}))"
    rate = f"(vector($rate + 0) > 0 or on () {estimate})"
    missed = "scalar(1 - clamp(vector($hit_percent + 0), 0, 100) / 100)"
    now = f"{rate} * ($hold_ms + 0) / 1000"
    then = f"{now} * {missed}"

    def pool(mean: str) -> str:
        """Add room for chance, mean + 2 * sqrt(mean), written so that the mean is computed once."""
        return f"clamp_min(ceil((sqrt({mean}) + 1) ^ 2 - 1), 1)"

    return Row(
        "How many connections would $app need?",
        [
            bars(
                "With a hold time of $hold_ms ms, and a cache that answers $hit_percent%",
                "Little's law: connections in use = commands per second x time that each holds its "
                "connection, with room for chance (twice the square root). Hold time, hit ratio of an "
                "in-process cache and commands per second are variables at the top; the time is from "
                "checkout to return, which only the app can tell. A pool is per process: no process can do "
                "with less than one connection. Bad: open ten times what is needed.",
                [
                    Query(_OPEN, "open now", Form.NOW),
                    Query(_PEAK, "most in use at once (6 h)", Form.NOW),
                    Query(pool(now), "needed now", Form.NOW),
                    Query(pool(then), "needed with the cache", Form.NOW),
                ],
                unit="locale",
                width=9,
                height=7,
                overrides=[
                    fixed("open now", BLUE),
                    fixed("most in use at once (6 h)", "#5794F2"),
                    fixed("needed now", ORANGE),
                    fixed("needed with the cache", GREEN),
                ],
            ),
            lines(
                "Commands per second",
                "What the calculator reckons with: the variable Commands per second, or where that is 0 an "
                "estimate: the servers' commands, divided by the apps' shares of the active connections. "
                "Redis does not count commands by app; the app's own metrics are better.",
                [
                    Query(rate, "now"),
                    Query(f"{rate} * {missed}", "with the cache"),
                ],
                unit="cps",
                width=6,
                height=7,
                overrides=[fixed("now", ORANGE), fixed("with the cache", GREEN)],
            ),
            lines(
                "Connections needed",
                "The same calculation over the time shown, beside what the lists of the clients saw in use. "
                "If what was seen is far above what is needed, the real hold time is longer than $hold_ms "
                "ms: a slow transaction, or a connection that is kept while other work is done.",
                [
                    Query(pool(now), "needed"),
                    Query(pool(then), "needed with the cache"),
                    Query(held(app=_MINE, state="active|blocked|pubsub"), "seen in use"),
                ],
                unit="locale",
                width=9,
                height=7,
                overrides=[
                    fixed("needed", ORANGE),
                    fixed("needed with the cache", GREEN),
                    fixed("seen in use", BLUE),
                ],
                decimals=0,
            ),
        ],
    )


def _behaviour() -> Row:
    by_server, all_opened = opened("target", app=_MINE), opened(app=_MINE)
    blocked = held("target", app=_MINE, state="blocked")
    hosts = f"{listed('redis_host_connections')} and on (target) {held('target', app=_MINE)} > 0"
    return Row(
        "How does $app treat its connections?",
        [
            lines(
                "What are they doing?",
                "Connections by state, stacked. Bad: stale that grows while active does not.",
                [Query(f"{held('state', app=_MINE)} > 0", "{{state}}")],
                unit="locale",
                width=8,
                stacked=True,
                overrides=BY_STATE,
                decimals=0,
            ),
            lines(
                "Does it grow with its use?",
                "Growth per hour of all its connections and of those in use, over 5, 15 and 60 minutes; each "
                "from when it is half full. Both together is traffic. The first one alone is a leak, and the "
                "shortest window shows it first.",
                [
                    Query(f"3600 * {total(highest(metric, app=_MINE), 'window')}", f"{name} {{{{window}}}}")
                    for metric, name in (
                        ("redis_app_connections_growth_per_second", "open"),
                        ("redis_app_needed_connections_growth_per_second", "in use"),
                    )
                ],
                unit="locale",
                width=8,
                overrides=[
                    fixed(f"{name} {window}", colour, custom__lineWidth=width)
                    for name, colour in (("open", RED), ("in use", GREEN))
                    for window, width in (("5m", 3), ("15m", 2), ("1h", 1))
                ],
                decimals=0,
                signed=True,
                nothing="not known in the first minutes",
            ),
            lines(
                "How often does it connect?",
                "Connections opened per second, by server, where lists of the clients see at least half of "
                "them. A pool opens few. Bad: as many as requests.",
                [
                    Query(
                        top(by_server, increase("redis_app_connections_opened_total", app=_MINE)),
                        "{{target}}",
                    )
                ],
                unit="cps",
                width=8,
            ),
            lines(
                "How long do its connections live?",
                "Mean lifetime by Little's law: open connections over connections opened per second. Bad: "
                "seconds. Empty: none was opened.",
                [Query(f"{_OPEN} / ({all_opened} > 0)", "mean lifetime")],
                unit="s",
                width=8,
                nothing="none was opened",
            ),
            lines(
                "Who is blocked, and where?",
                "Connections of the app in blocking commands, by server. Normal for workers of a queue.",
                [
                    Query(
                        top(blocked, most("redis_app_connections", app=_MINE, state="blocked")), "{{target}}"
                    )
                ],
                unit="locale",
                width=8,
                nothing="none is blocked",
                decimals=0,
            ),
            bars(
                "Which hosts are on its servers?",
                "Connections by host on the servers that the app uses, of all apps: Redis is not asked for "
                "hosts of each app. Bad: one host of many equal ones that has far more.",
                [Query(f"sort_desc(topk(12, sum by (host) ({hosts}) > 0))", "{{host}}", Form.NOW)],
                unit="locale",
                width=8,
            ),
        ],
    )


def app() -> Json:
    """Build the dashboard of one app."""
    return dashboard(
        APP,
        "One app on all Redis and Valkey servers: what it holds against what it uses, leaks, and how many "
        "connections it would need.",
        [
            target_variable(),
            app_variable(),
            number_variable("hold_ms", "Hold time (ms)", "2"),
            number_variable("hit_percent", "Cache hits (%)", "80"),
            number_variable("rate", "Commands/s (0: estimate)", "0"),
        ],
        [_held(), _calculator(), _behaviour()],
    )
