"""When each alert fires, when it stays quiet, and what it says: series of the exporter, and alerts to expect."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Who holds the connections of `orders`, in most of the cases.
HELD: dict[str, float | str] = {
    'redis_app_connections{app="cart",state="stale"}': 60,
    'redis_app_connections{app="cart",state="idle"}': 5,
    'redis_app_connections{app="login",state="active"}': 20,
    'redis_app_suspected_leaked_connections{app="cart"}': 55,
}
HOLDERS = "\nHeld by cart 65 (55 suspected leaked), login 20."
NOBODY = "\nHeld by apps that no list has named."
OK: dict[str, float | str] = {"redis_up": 1, 'redis_target_state{state="ok"}': 1}


def slots(used: float, limit: float = 100) -> dict[str, float | str]:
    """Series of a server's slots."""
    return {
        "redis_connection_slots_used": used,
        "redis_connection_slots_used_peak": used,
        "redis_connection_slots_limit": limit,
        "redis_connection_utilization_ratio": used / limit,
    }


def until_cut_off(series: Mapping[str, float | str], steps: int = 8) -> dict[str, float | str]:
    """Series that end after so many steps of 15 s, as those of a failed poll do."""
    return {name: f"{value}x{steps} stale" for name, value in series.items()}


@dataclass(frozen=True)
class Fires:
    """An alert with all that it says, and labels that it has besides severity, job and target."""

    says: str
    severity: str = "warning"
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str | None = "orders"


@dataclass(frozen=True)
class Case:
    """Series of the exporter, by name and labels, and which alerts of one name fire at which times."""

    sentence: str
    alert: str
    series: Mapping[str, float | str]
    fires: Mapping[str, tuple[Fires, ...]]


def quiet(sentence: str, alert: str, series: Mapping[str, float | str], at: str = "31m") -> Case:
    return Case(sentence, alert, series, {at: ()})


def _state_cases() -> list[Case]:
    cases = []
    for state in ("refused", "timeout", "unreachable", "dns"):
        gone = until_cut_off(slots(85) | HELD) | {
            "redis_up": "1x8 0x200",
            'redis_target_state{state="ok"}': "1x8 0x200",
            f'redis_target_state{{state="{state}"}}': "0x8 1x200",
        }
        says = (
            f"orders cannot be reached: {state}.\nWhen it was last seen, 85 of 100 connections were in use."
            + HOLDERS
        )
        cases.append(
            Case(
                f"down for two minutes with the state {state}",
                "RedisConnectionTargetDown",
                gone,
                {"4m": (), "4m15s": (Fires(says, "critical"),), "30m": (Fires(says, "critical"),)},
            )
        )
    names = {
        "critical": ("busy", "loading"),
        "warning": ("auth", "tls", "noperm", "protocol", "unknown"),
    }
    explained = (
        "auth: wrong user or password. tls: no trust in the certificate. noperm: +info is missing. busy: a "
        "script runs and holds everybody. loading: it reads its data and serves nobody. protocol: it does not "
        "speak Redis. unknown: something else, see the exporter's log."
    )
    for severity, states in names.items():
        for state in states:
            says = f"orders answers, but its state is {state}.\n{explained}{NOBODY}"
            cases.append(
                Case(
                    f"not observable for five minutes with the state {state}",
                    "RedisConnectionTargetUnobservable",
                    {"redis_up": 0, f'redis_target_state{{state="{state}"}}': 1},
                    {"4m45s": (), "5m": (Fires(says, severity),)},
                )
            )
    return cases


def near(share: int, *, state: str = "ok") -> str:
    """Describe how near the limit `orders` is."""
    return (
        f"orders had {share}% of its 100 connections in use at the peak of the last minute that was seen. "
        f"State: {state}.{HOLDERS}"
    )


CASES = [
    *_state_cases(),
    quiet(
        "a server that another exporter reaches is not down",
        "RedisConnectionTargetDown",
        {
            "redis_up": 0,
            'redis_target_state{state="timeout"}': 1,
            'redis_up{instance="second"}': 1,
            'redis_target_state{instance="second",state="ok"}': 1,
        },
    ),
    quiet("a server that is loading for a moment", "RedisConnectionTargetUnobservable", OK),
    Case(
        "above 0.8 for five minutes is a ticket",
        "RedisConnectionsNearLimit",
        slots(85) | HELD | OK,
        {"4m45s": (), "5m": (Fires(near(85)),)},
    ),
    Case(
        "above 0.9 for two minutes is a page",
        "RedisConnectionsNearLimit",
        slots(92) | HELD | OK,
        {
            "1m45s": (),
            "2m": (Fires(near(92), "critical"),),
            "5m": (Fires(near(92)), Fires(near(92), "critical")),
        },
    ),
    Case(
        "it does not resolve when the series vanish at the limit",
        "RedisConnectionsNearLimit",
        until_cut_off(slots(92) | HELD, 20)
        | {
            "redis_up": "1x20 0x400",
            'redis_target_state{state="ok"}': "1x20 0x400",
            'redis_target_state{state="at_limit"}': "0x20 1x400",
        },
        {
            "6m": (Fires(near(92, state="at_limit")), Fires(near(92, state="at_limit"), "critical")),
            "55m": (Fires(near(92, state="at_limit")), Fires(near(92, state="at_limit"), "critical")),
            "1h15m": (),
        },
    ),
    Case(
        "a peak between two scrapes counts",
        "RedisConnectionsNearLimit",
        slots(50) | {"redis_connection_slots_used_peak": 85} | HELD | OK,
        {"5m": (Fires(near(85)),)},
    ),
    Case(
        "two exporters of one server make one alert",
        "RedisConnectionsNearLimit",
        slots(85)
        | HELD
        | OK
        | {
            name.replace("{", '{instance="second",') if "{" in name else f'{name}{{instance="second"}}': value
            for name, value in (slots(84) | HELD | OK).items()
        },
        {"5m": (Fires(near(85)),)},
    ),
    Case(
        "exactly 0.9 is a ticket and no page",
        "RedisConnectionsNearLimit",
        slots(90) | HELD | OK,
        {"31m": (Fires(near(90)),)},
    ),
    quiet("exactly 0.8 is no ticket", "RedisConnectionsNearLimit", slots(80) | OK),
    Case(
        "refused newcomers page at once",
        "RedisConnectionsAtLimit",
        until_cut_off(slots(85) | HELD)
        | {
            "redis_up": "1x8 0x100",
            'redis_target_state{state="ok"}': "1x8 0x100",
            'redis_target_state{state="at_limit"}': "0x8 1x20 0x80",
        },
        {
            "2m": (),
            "2m15s": (
                Fires(
                    "orders refuses newcomers, or did so within the last minute: 85 of 100 connections are in "
                    f"use. State: at_limit.{HOLDERS}",
                    "critical",
                ),
            ),
            "20m": (),
        },
    ),
    Case(
        "nothing free pages at once",
        "RedisConnectionsAtLimit",
        slots(100) | HELD | OK,
        {
            "15s": (
                Fires(
                    "orders refuses newcomers, or did so within the last minute: 100 of 100 connections are in "
                    f"use. State: ok.{HOLDERS}",
                    "critical",
                ),
            )
        },
    ),
    quiet("one free slot is not the limit", "RedisConnectionsAtLimit", slots(99) | OK),
    Case(
        "rejected connections are told at once, and resolve when no more come",
        "RedisConnectionsRejected",
        slots(100) | HELD | {"redis_rejected_connections_total": "0x8 3x200"},
        {
            "2m": (),
            "2m30s": (
                Fires(f"orders has rejected 3 connections in 5 minutes; 100 of 100 are in use.{HOLDERS}"),
            ),
            "10m": (),
        },
    ),
    quiet(
        "connections rejected long ago",
        "RedisConnectionsRejected",
        slots(50) | {"redis_rejected_connections_total": 3},
    ),
    Case(
        "growth that leaves less than four hours",
        "RedisConnectionsExhaustedSoon",
        HELD
        | {
            "redis_connection_slots_used": "60+0.0625x400",
            "redis_connection_slots_limit": 100,
            "redis_connection_utilization_ratio": "0.6+0.000625x400",
        },
        {
            "8m": (),
            "32m": (
                Fires(
                    "orders will have no free connection in 2h 8m 0s if the growth of the last hour goes on; "
                    f"68 of 100 are in use.{HOLDERS}"
                ),
            ),
        },
    ),
    quiet(
        "the same growth with plenty free",
        "RedisConnectionsExhaustedSoon",
        {
            "redis_connection_slots_used": "5+0.0625x400",
            "redis_connection_slots_limit": 100,
            "redis_connection_utilization_ratio": "0.05+0.000625x400",
        },
    ),
    quiet(
        "no growth, however full",
        "RedisConnectionsExhaustedSoon",
        slots(79) | OK,
    ),
    Case(
        "a limit lower than that of a server with the same labels",
        "RedisConnectionLimitBelowPeers",
        {
            'redis_connection_slots_limit{target="orders",team="checkout"}': 4064,
            'redis_connection_slots_used{target="orders",team="checkout"}': 100,
            'redis_connection_slots_limit{target="baskets",team="checkout"}': 10000,
            'redis_app_connections{target="orders",team="checkout",app="cart",state="idle"}': 9,
            "up{target=''}": 1,
        },
        {
            "14m": (),
            "15m": (
                Fires(
                    "orders takes 4064 connections; others with the same labels take more. 100 are in use. "
                    "Where the limit is 32 below a round number, the limit of open files has cut it."
                    "\nHeld by cart 9.",
                    "info",
                    {"team": "checkout"},
                ),
            ),
        },
    ),
    quiet(
        "targets without labels of their own are no peers",
        "RedisConnectionLimitBelowPeers",
        {
            'redis_connection_slots_limit{target="orders"}': 4064,
            'redis_connection_slots_limit{target="baskets"}': 10000,
            "up{target=''}": 1,
        },
    ),
    quiet(
        "targets with other labels are no peers",
        "RedisConnectionLimitBelowPeers",
        {
            'redis_connection_slots_limit{target="orders",team="checkout"}': 4064,
            'redis_connection_slots_limit{target="baskets",team="search"}': 10000,
            "up{target=''}": 1,
        },
    ),
    Case(
        "a server that does not tell its limit",
        "RedisConnectionLimitUnknown",
        {"redis_connection_slots_used": 85} | HELD | OK,
        {
            "14m": (),
            "15m": (
                Fires(
                    "orders does not tell its maxclients; 85 connections are in use. Set max_clients for this "
                    f"target.{HOLDERS}"
                ),
            ),
        },
    ),
    quiet("a limit that is known", "RedisConnectionLimitUnknown", slots(85) | OK),
    Case(
        "one app holds over half of a server that is over half full",
        "RedisConnectionsHeldByOneApp",
        slots(85) | HELD | OK,
        {
            "9m": (),
            "10m": (
                Fires(
                    "cart holds 76.47% of the clients of orders; 85 of 100 connections are in use." + HOLDERS,
                    labels={"app": "cart"},
                ),
            ),
        },
    ),
    quiet(
        "one app alone on a server that is half empty",
        "RedisConnectionsHeldByOneApp",
        slots(50) | HELD | OK,
    ),
    quiet(
        "what is folded into other is not one app",
        "RedisConnectionsHeldByOneApp",
        slots(85) | {'redis_app_connections{app="other",state="idle"}': 80} | OK,
    ),
    Case(
        "over half of the connections are stale",
        "RedisConnectionsStale",
        slots(85) | HELD | OK,
        {
            "14m": (),
            "15m": (
                Fires(
                    "70.59% of the clients of orders are stale; 85 of 100 connections are in use. Stale "
                    f"connections by app: cart 60.{HOLDERS}"
                ),
            ),
        },
    ),
    quiet(
        "half of the connections are stale",
        "RedisConnectionsStale",
        slots(85)
        | {
            'redis_app_connections{app="cart",state="stale"}': 40,
            'redis_app_connections{app="cart",state="idle"}': 40,
        },
    ),
    Case(
        "more than ten suspected leaks of one app",
        "RedisConnectionsLeaking",
        slots(85) | HELD | OK | {'redis_app_connections_growth_per_second{app="cart"}': 0},
        {
            "9m": (),
            "10m": (
                Fires(
                    "cart has 55 connections to orders that it will probably not use again, and its number of "
                    f"connections does not fall; 85 of 100 connections of the server are in use.{HOLDERS}",
                    labels={"app": "cart"},
                ),
            ),
        },
    ),
    quiet(
        "the app's connections fall",
        "RedisConnectionsLeaking",
        slots(85) | HELD | OK | {'redis_app_connections_growth_per_second{app="cart"}': -0.01},
    ),
    quiet(
        "ten suspected leaks",
        "RedisConnectionsLeaking",
        slots(85) | {'redis_app_suspected_leaked_connections{app="cart"}': 10},
    ),
    Case(
        "a client without a pool",
        "RedisConnectionsChurning",
        HELD
        | {
            "redis_connections_opened_per_command": 0.5,
            "redis_connection_mean_lifetime_seconds": 0.25,
            "redis_connections_received_total": "0+750x200",
            'redis_app_connections_opened_total{app="cart"}': "0+600x200",
            'redis_app_connections_opened_total{app="login"}': "0+150x200",
        },
        {
            "9m": (),
            "12m": (
                Fires(
                    "On orders 0.50 connections are opened for each command, 50.0 per second; a connection lives "
                    f"250ms. Opened per second, by app: cart 40.0 login 10.0.{HOLDERS}"
                ),
            ),
        },
    ),
    quiet(
        "as much churn beside many commands",
        "RedisConnectionsChurning",
        {"redis_connections_opened_per_command": 0.1, "redis_connections_received_total": "0+750x200"},
    ),
    quiet(
        "few connections, each for one command",
        "RedisConnectionsChurning",
        {"redis_connections_opened_per_command": 1, "redis_connections_received_total": "0+150x200"},
    ),
    Case(
        "clients cut off for their buffers",
        "RedisConnectionsCut",
        HELD
        | {
            "redis_evicted_clients_total": "0x200",
            "redis_client_query_buffer_limit_disconnections_total": "0x200",
            "redis_client_output_buffer_limit_disconnections_total": "0x8 2x200",
            'redis_app_memory_bytes{app="cart"}': 2**20,
            'redis_app_memory_bytes{app="login"}': 2**10,
        },
        {
            "2m": (),
            "2m30s": (
                Fires(
                    "In 5 minutes orders has cut off clients: 2 for their output buffer; memory by app: cart "
                    f"1MiB login 1kiB.{HOLDERS}"
                ),
            ),
            "10m": (),
        },
    ),
    Case(
        "clients evicted for the memory of all, on a server that tells no more",
        "RedisConnectionsCut",
        {"redis_evicted_clients_total": "0x8 4x200"},
        {
            "2m30s": (
                Fires(
                    "In 5 minutes orders has cut off clients: 4 for the memory of all clients; memory by "
                    f"app:.{NOBODY}"
                ),
            )
        },
    ),
    quiet("nobody was cut off of late", "RedisConnectionsCut", {"redis_evicted_clients_total": 7}),
    Case(
        "more than ten blocked clients",
        "RedisConnectionsBlocked",
        HELD
        | {
            "redis_blocked_clients": 12,
            "redis_blocked_longest_seconds": 90,
            'redis_blocked_connections{cmd="blpop"}': 10,
            'redis_blocked_connections{cmd="xread"}': 2,
        },
        {
            "4m": (),
            "5m": (
                Fires(
                    "12 clients of orders wait in blocking commands, the longest for 1m 30s. By command: blpop "
                    f"10 xread 2.{HOLDERS}"
                ),
            ),
        },
    ),
    quiet("ten blocked clients", "RedisConnectionsBlocked", {"redis_blocked_clients": 10}),
    Case(
        "clients that wait without a timeout",
        "RedisConnectionsBlockedForever",
        HELD | {"redis_blocked_clients_without_timeout": 3, 'redis_blocked_connections{cmd="blpop"}': 3},
        {
            "14m": (),
            "15m": (
                Fires(
                    "3 clients of orders wait in blocking commands without a timeout, and no setting of the "
                    f"server will ever close them. By command: blpop 3.{HOLDERS}",
                    "info",
                ),
            ),
        },
    ),
    quiet(
        "everybody who waits has a timeout",
        "RedisConnectionsBlockedForever",
        {"redis_blocked_clients_without_timeout": 0},
    ),
    Case(
        "the only exporter of a job cannot be scraped",
        "RedisConnectionExporterAbsent",
        until_cut_off(slots(85)) | {"up{target=''}": "1x8 0x100", 'up{target="",job="node"}': 1},
        {
            "5m": (),
            "5m15s": (
                Fires(
                    "Every exporter of job redis-connections is gone, and with it every other warning of these "
                    "rules. More than half full when last seen: orders 85%.",
                    "critical",
                    target=None,
                ),
                Fires(
                    "The exporter exporter:10051 of job redis-connections is gone, and with it every other "
                    "warning of these rules. More than half full when last seen: orders 85%.",
                    labels={"instance": "exporter:10051"},
                    target=None,
                ),
            ),
        },
    ),
    Case(
        "one of two exporters cannot be scraped",
        "RedisConnectionExporterAbsent",
        OK | {"up{target=''}": 0, "up{target='',instance='second'}": 1},
        {
            "3m": (
                Fires(
                    "The exporter exporter:10051 of job redis-connections is gone, and with it every other "
                    "warning of these rules. More than half full when last seen: none.",
                    labels={"instance": "exporter:10051"},
                    target=None,
                ),
            )
        },
    ),
    Case(
        "no exporter is there at all",
        "RedisConnectionExporterAbsent",
        {'up{target="",job="node"}': 1},
        {
            "2m45s": (),
            "3m": (
                Fires(
                    "Every exporter of Redis connections is gone, and with it every other warning of these "
                    "rules. More than half full when last seen: none.",
                    "critical",
                    {"job": ""},
                    target=None,
                ),
            ),
        },
    ),
    Case(
        "one of several exporters that share the servers cannot be scraped",
        "RedisConnectionExporterTargetsLost",
        until_cut_off(slots(85) | {"redis_up": 1})
        | {
            "up{target=''}": "1x8 0x100",
            "up{target='',instance='second'}": 1,
            'redis_up{target="baskets",instance="second"}': 1,
        },
        {
            "5m": (),
            "5m15s": (
                Fires(
                    "Servers watched by nobody since an exporter of job redis-connections is gone: 1. "
                    "Fullest when last seen: orders 85%.",
                    "critical",
                    target=None,
                ),
            ),
        },
    ),
    quiet(
        "another exporter watches the same servers",
        "RedisConnectionExporterTargetsLost",
        until_cut_off({"redis_up": 1})
        | {
            "up{target=''}": "1x8 0x100",
            "up{target='',instance='second'}": 1,
            'redis_up{instance="second"}': 1,
        },
    ),
    quiet(
        "a target that was taken out of the configuration",
        "RedisConnectionExporterTargetsLost",
        until_cut_off({"redis_up": 1}) | {"up{target=''}": 1},
    ),
    quiet("the exporter is there", "RedisConnectionExporterAbsent", OK | {"up{target=''}": 1}),
    Case(
        "no poll for longer than two minutes",
        "RedisConnectionExporterPollsStale",
        HELD | {"redis_connection_exporter_last_poll_timestamp_seconds": 0},
        {
            "4m": (),
            "5m": (Fires(f"The last poll of orders was 5m 0s ago.{HOLDERS}"),),
        },
    ),
    quiet(
        "polls go on",
        "RedisConnectionExporterPollsStale",
        {"redis_connection_exporter_last_poll_timestamp_seconds": "0+15x300"},
    ),
    Case(
        "the list of the clients is denied",
        "RedisConnectionExporterListUnavailable",
        OK
        | {
            "redis_connection_exporter_client_list_available": 0,
            'redis_connection_exporter_command_denied{command="client|list"}': 1,
        },
        {
            "14m": (),
            "15m": (
                Fires(
                    "There is no list of the clients of orders. Denied commands: client|list; where client|list "
                    "is not among them, the list takes longer than poll.timeout allows, or clients.enabled is "
                    f"false.{NOBODY}"
                ),
            ),
        },
    ),
    quiet(
        "a list is there",
        "RedisConnectionExporterListUnavailable",
        OK | {"redis_connection_exporter_client_list_available": 1},
    ),
    quiet(
        "a server that is down has no list either",
        "RedisConnectionExporterListUnavailable",
        {"redis_up": 0, "redis_connection_exporter_client_list_available": 0},
    ),
    Case(
        "over a quarter of the connections are folded into other",
        "RedisConnectionExporterAppsFolded",
        {
            'redis_app_connections{app="other",state="idle"}': 30,
            'redis_app_connections{app="cart",state="idle"}': 70,
            'redis_connection_exporter_folded_connections{cut="apps"}': 30,
        },
        {
            "29m": (),
            "30m": (
                Fires(
                    "30% of the clients of orders belong to apps beyond clients.top, and are counted as other."
                    "\nHeld by cart 70, other 30.",
                    "info",
                ),
            ),
        },
    ),
    quiet(
        "a quarter is folded, and many hosts",
        "RedisConnectionExporterAppsFolded",
        {
            'redis_app_connections{app="other",state="idle"}': 25,
            'redis_app_connections{app="cart",state="idle"}': 75,
            'redis_connection_exporter_folded_connections{cut="apps"}': 25,
            'redis_connection_exporter_folded_connections{cut="hosts"}': 90,
        },
    ),
    quiet("all thresholds are there", "RedisConnectionRulesIncomplete", OK),
]
