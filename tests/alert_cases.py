"""When each alert fires, when it stays quiet, and what it says: series of the exporter, and alerts to expect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

STEPS = 2 * 60 * 4  # of 15 s: so long every series goes on

REJECTED = "redis_rejected_connections_total"
REFUSED = "redis_connection_exporter_connects_refused_total"  # the exporter's own attempts
LISTED = "redis_connection_exporter_client_list_timestamp_seconds"
# Who holds the connections of `orders`, in most of the cases.
HELD: dict[str, float | str] = {
    LISTED: 0,
    'redis_app_connections{app="cart",state="stale"}': 60,
    'redis_app_connections{app="cart",state="idle"}': 5,
    'redis_app_connections{app="login",state="active"}': 20,
    'redis_app_suspected_leaked_connections{app="cart"}': 55,
}
USED = "85 of 100 connections in use"
UNSEEN = "unknown of unknown connections in use when last seen"
HOLDERS = "\nHeld by cart 65 (55 suspected leaked), login 20."
LAST_LISTED = "\nHeld by cart 65 (55 suspected leaked), login 20, when last listed."
NOBODY = "\nHeld by apps that no list has named, when last listed."
OK: dict[str, float | str] = {"redis_up": 1, 'redis_target_state{state="ok"}': 1}


def slots(used: float, limit: float = 100) -> dict[str, float | str]:
    """Series of a server's slots."""
    return {
        "redis_connection_slots_used": used,
        "redis_connection_slots_used_peak": used,
        "redis_connection_slots_limit": limit,
        "redis_connection_utilization_ratio": used / limit,
    }


def with_labels(series: Mapping[str, float | str], **labels: str) -> dict[str, float | str]:
    """Series with more labels."""
    added = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return {
        f"{name.rstrip('}')}{',' if '{' in name else '{'}{added}}}": value for name, value in series.items()
    }


def also(series: Mapping[str, float | str], instance: str = "second") -> dict[str, float | str]:
    """Series of another exporter that watches the same servers."""
    return with_labels(series, instance=instance)


def apps(at: float | str, **held: float) -> dict[str, float | str]:
    """Series of one list of the clients, made at that moment."""
    return {LISTED: at} | {
        f'redis_app_connections{{app="{app}",state="idle"}}': count for app, count in held.items()
    }


def counter(*rises: int, first: int = 0) -> str:
    """Values of a counter that rises so much from each scrape to the next, and then stands still."""
    values = accumulate(rises, initial=first)
    return f"{' '.join(map(str, values))} {first + sum(rises)}x{STEPS}"


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


def quiet(sentence: str, alert: str, series: Mapping[str, float | str], at: str = "16m") -> Case:
    return Case(sentence, alert, series, {at: ()})


def _in_states(states: tuple[str, ...]) -> dict[str, float | str]:
    """Give one target to each state, in it from the ninth step on and until the exporter vanishes."""
    gone: dict[str, float | str] = {}
    for state in states:
        gone |= {
            f'redis_up{{target="{state}"}}': "1x7 0x80 stale",
            f'redis_target_state{{target="{state}",state="ok"}}': "1x7 0x80 stale",
            f'redis_target_state{{target="{state}",state="{state}"}}': "0x7 1x80 stale",
        }
    return gone


def at_limit(used: str, state: str = "at_limit", holders: str = NOBODY) -> tuple[Fires, ...]:
    """The page of a server that refuses newcomers."""
    says = f"orders refuses newcomers, or did so within the last minute: {used}. State: {state}.{holders}"
    return (Fires(says, "critical"),)


def rejected(count: int, used: str = UNSEEN, holders: str = NOBODY) -> tuple[Fires, ...]:
    """The ticket of a server that has rejected somebody."""
    says = f"orders has rejected {count} connections in 5 minutes, the exporters' own attempts not counted; {used}.{holders}"
    return (Fires(says),)


def unlisted(failed: str, denied: str, holders: str) -> Fires:
    """The ticket of a server whose clients cannot be listed."""
    return Fires(
        f"The exporter cannot list the clients of orders, or only at times. Lists that failed in 10 minutes:{failed}. "
        f"Denied commands:{denied}.{holders}"
    )


def quarters(first: int, last: int) -> dict[str, tuple[Fires, ...]]:
    """Nothing at any step from one to another."""
    return {f"{15 * step}s": () for step in range(first, last + 1)}


def _unobservable(severity: str, explained: str, states: tuple[str, ...]) -> Case:
    fires = tuple(
        Fires(f"{state} answers, but its state is {state}.\n{explained}{NOBODY}", severity, target=state)
        for state in states
    )
    return Case(
        f"not observable for five minutes: {', '.join(states)}",
        "RedisConnectionTargetUnobservable",
        _in_states(states),
        {"6m45s": (), "7m": fires},
    )


DOWN = ("refused", "timeout", "unreachable", "dns")


_SCRAPED = {"namespace": "prod", "service": "exporter", "container": "exporter", "endpoint": "http"}


def _in_pod(pod: str, series: Mapping[str, float | str], namespace: str = "prod") -> dict[str, float | str]:
    """Series as a ServiceMonitor of Kubernetes labels them."""
    labels = _SCRAPED | {"namespace": namespace, "pod": pod, "instance": f"{pod}:10051"}
    return with_labels(series, **labels)


def near(share: int, *, state: str = "ok", holders: str = HOLDERS) -> str:
    """Describe how near the limit `orders` is."""
    return (
        f"orders had {share}% of its 100 connections in use at the peak of the last minute that was seen. "
        f"State: {state}.{holders}"
    )


CASES = [
    Case(
        "down for two minutes, whatever the reason, and still so when its exporter vanishes",
        "RedisConnectionTargetDown",
        _in_states(DOWN),
        {
            at: tuple(
                Fires(f"{state} cannot be reached: {state}. {UNSEEN}.{NOBODY}", "critical", target=state)
                for state in DOWN
            )
            if at != "3m45s"
            else ()
            for at in ("3m45s", "4m", "26m")
        },
    ),
    Case(
        "a server that is down was seen before, and is no longer down as soon as it is back",
        "RedisConnectionTargetDown",
        until_cut_off(slots(85) | HELD)
        | {
            "redis_up": "1x8 0x40 1x100",
            'redis_target_state{state="ok"}': "1x8 0x40 1x100",
            'redis_target_state{state="refused"}': "0x8 1x40 0x100",
        },
        {
            "10m": (
                Fires(f"orders cannot be reached: refused. {USED} when last seen.{LAST_LISTED}", "critical"),
            ),
            "12m30s": (),
        },
    ),
    _unobservable(
        "critical",
        "busy: a script or a module runs and holds everybody. loading: it reads its data.",
        ("busy", "loading"),
    ),
    _unobservable(
        "warning",
        "auth: wrong user or password. tls: no trust in the certificate, or the handshake was cut off. noperm: +info is missing. protocol: it does not speak Redis. unknown: something else, see the exporter's log.",
        ("auth", "tls", "noperm", "protocol", "unknown"),
    ),
    Case(
        "a server that answers one poll of three",
        "RedisConnectionTargetFlapping",
        slots(85)
        | HELD
        | {
            "redis_connection_exporter_polls_total": "0+3x200",
            'redis_connection_exporter_poll_failures_total{reason="timeout"}': "0+2x200",
            'redis_connection_exporter_poll_failures_total{reason="dns"}': 0,
        },
        {
            "9m": (),
            "20m": (
                Fires(
                    f"66.67% of the polls of orders within 10 minutes have failed: timeout 80. {USED}.{HOLDERS}"
                ),
            ),
        },
    ),
    quiet(
        "a server that answers three polls of four",
        "RedisConnectionTargetFlapping",
        {
            "redis_connection_exporter_polls_total": "0+4x200",
            'redis_connection_exporter_poll_failures_total{reason="timeout"}': "0+1x200",
        },
    ),
    quiet(
        "a server that answers never is not flapping",
        "RedisConnectionTargetFlapping",
        {
            "redis_connection_exporter_polls_total": "0+4x200",
            'redis_connection_exporter_poll_failures_total{reason="timeout"}': "0x20 0+4x180",
        },
    ),
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
    quiet(
        "a server that another exporter reads, while the TLS of this one is cut off",
        "RedisConnectionTargetUnobservable",
        OK | also({"redis_up": 0, 'redis_target_state{state="tls"}': 1}),
    ),
    quiet(
        "a server that is loading for three minutes",
        "RedisConnectionTargetUnobservable",
        {"redis_up": "1x8 0x11 1x200", 'redis_target_state{state="loading"}': "0x8 1x11 0x200"},
        at="7m",
    ),
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
            "6m": (
                Fires(near(92, state="at_limit", holders=LAST_LISTED)),
                Fires(near(92, state="at_limit", holders=LAST_LISTED), "critical"),
            ),
            "55m": (
                Fires(near(92, state="at_limit", holders=LAST_LISTED)),
                Fires(near(92, state="at_limit", holders=LAST_LISTED), "critical"),
            ),
            "1h15m": (),
        },
    ),
    Case(
        "a dip of four minutes resolves nothing",
        "RedisConnectionsNearLimit",
        HELD | OK | {"redis_connection_slots_used_peak": "85x40 70x60", "redis_connection_slots_limit": 100},
        {"14m": (Fires(near(85)),), "16m": ()},
    ),
    Case(
        "a peak between two scrapes counts",
        "RedisConnectionsNearLimit",
        slots(50) | {"redis_connection_slots_used_peak": 85} | HELD | OK,
        {"5m": (Fires(near(85)),)},
    ),
    Case(
        "two pods that watch one server make one alert",
        "RedisConnectionsNearLimit",
        _in_pod("a", slots(85) | HELD | OK) | _in_pod("b", slots(84) | HELD | OK),
        {"5m": (Fires(near(85), labels=_SCRAPED),)},
    ),
    Case(
        "the same names in another namespace are another server",
        "RedisConnectionsNearLimit",
        _in_pod("a", slots(85) | HELD | OK)
        | _in_pod("b", slots(7000, 100_000) | HELD | OK, namespace="staging"),
        {"5m": (Fires(near(85), labels=_SCRAPED),)},
    ),
    Case(
        "a target whose own labels have changed is one target",
        "RedisConnectionsNearLimit",
        until_cut_off(
            with_labels(slots(95) | HELD, team="a"),
        )
        | {name: f"_x10 {value}x200" for name, value in (slots(85) | HELD | OK).items()},
        {"20m": (Fires(near(85)),)},
    ),
    Case(
        "exactly 0.9 is a ticket and no page",
        "RedisConnectionsNearLimit",
        slots(90) | HELD | OK,
        {"31m": (Fires(near(90)),)},
    ),
    quiet("exactly 0.8 is no ticket", "RedisConnectionsNearLimit", slots(80) | OK),
    Case(
        "a part of the limit that is a reserve is not there for all",
        "RedisConnectionsNearLimit",
        slots(68) | {"redis_connection_utilization_ratio": 0.85} | HELD | OK,
        {"6m": (Fires(near(85)),)},
    ),
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
                    f"orders refuses newcomers, or did so within the last minute: {USED} when last seen. State: at_limit.{LAST_LISTED}",
                    "critical",
                ),
            ),
            "20m": (),
        },
    ),
    Case(
        "an app that is gone holds nothing, and what was listed over an hour ago is forgotten",
        "RedisConnectionsAtLimit",
        {
            'redis_target_state{state="at_limit"}': 1,
            LISTED: "0x20 stale",
            'redis_app_connections{app="cart",state="idle"}': "60x8 stale",
            'redis_app_connections{app="login",state="idle"}': "20x20 stale",
        },
        {
            at: (
                Fires(
                    f"orders refuses newcomers, or did so within the last minute: {UNSEEN}. State: at_limit.\n{held}",
                    "critical",
                ),
            )
            for at, held in {
                "2m": "Held by cart 60, login 20.",
                "4m": "Held by login 20.",
                "50m": "Held by login 20, when last listed.",
                "1h10m": "Held by apps that no list has named, when last listed.",
            }.items()
        },
    ),
    Case(
        "a page at the limit does not flap within a minute",
        "RedisConnectionsAtLimit",
        {
            "redis_up": 1,
            'redis_target_state{state="at_limit"}': "1x8 0x3 1x3 0x60",
            'redis_target_state{state="ok"}': "0x8 1x3 0x3 1x60",
        },
        {
            at: (
                Fires(
                    f"orders refuses newcomers, or did so within the last minute: {UNSEEN}. State: at_limit.{NOBODY}",
                    "critical",
                ),
            )
            for at in ("2m", "2m45s", "3m15s")
        }
        | {"6m": ()},
    ),
    Case(
        "nothing free pages at once",
        "RedisConnectionsAtLimit",
        slots(100) | HELD | OK,
        {
            "15s": (
                Fires(
                    f"orders refuses newcomers, or did so within the last minute: 100 of 100 connections in use. State: ok.{HOLDERS}",
                    "critical",
                ),
            )
        },
    ),
    quiet("one free slot is not the limit", "RedisConnectionsAtLimit", slots(99) | OK),
    quiet(
        "an exporter that is cut off, while another reads that the server is not full",
        "RedisConnectionsAtLimit",
        slots(300, 1000) | OK | also({"redis_up": 0, 'redis_target_state{state="at_limit"}': 1}),
    ),
    Case(
        "nothing free but the reserve pages at once",
        "RedisConnectionsAtLimit",
        slots(80) | {"redis_connection_utilization_ratio": 1} | HELD | OK,
        {
            "15s": (
                Fires(
                    f"orders refuses newcomers, or did so within the last minute: 80 of 100 connections in use. State: ok.{HOLDERS}",
                    "critical",
                ),
            )
        },
    ),
    Case(
        "two exporters, and both are refused",
        "RedisConnectionsAtLimit",
        also({"redis_up": 0, 'redis_target_state{state="at_limit"}': 1})
        | {"redis_up": 0, 'redis_target_state{state="at_limit"}': 1},
        {"0s": at_limit(UNSEEN)},
    ),
    Case(
        "an exporter that is refused, while another reads that the server is full",
        "RedisConnectionsAtLimit",
        slots(100)
        | {"redis_up": 1, 'redis_target_state{state="at_limit"}': 1}
        | also({"redis_up": 0, 'redis_target_state{state="at_limit"}': 1}),
        {"15s": at_limit("100 of 100 connections in use")},
    ),
    Case(
        "an exporter that is refused, while two others read no limit",
        "RedisConnectionsAtLimit",
        {"redis_connection_slots_used": 85}
        | OK
        | also(OK, "third")
        | also({"redis_up": 0, 'redis_target_state{state="at_limit"}': 1}),
        {"15s": at_limit("85 of unknown connections in use", "ok at_limit")},
    ),
    Case(
        "newcomers are refused though slots are free, as where some are reserved",
        "RedisConnectionsAtLimit",
        slots(85) | {"redis_up": 1, 'redis_target_state{state="at_limit"}': 1},
        {"15s": at_limit("85 of 100 connections in use")},
    ),
    Case(
        "rejected connections are told after a minute, and resolve when no more come",
        "RedisConnectionsRejected",
        slots(100) | HELD | {REJECTED: "0x8 3x200"},
        {
            "3m15s": (),
            "3m30s": rejected(3, "100 of 100 connections in use", HOLDERS),
            "10m": (),
        },
    ),
    Case(
        "two pods that see the same rejections make one alert",
        "RedisConnectionsRejected",
        _in_pod("a", {REJECTED: "0x8 3x200"}) | _in_pod("b", {REJECTED: "0x8 3x200"}),
        {"3m30s": (Fires(rejected(3)[0].says, labels=_SCRAPED),)},
    ),
    Case(
        "an exporter's own attempts, each seen late",
        "RedisConnectionsRejected",
        {REJECTED: counter(*[0] * 8, *[3] * 30)} | also({REFUSED: counter(*[0] * 8, 2, *[3] * 29, 1)}),
        quarters(8, 70),
    ),
    Case(
        "an exporter's own attempts, each seen early",
        "RedisConnectionsRejected",
        {REJECTED: counter(*[0] * 8, 2, *[3] * 29, 1)} | also({REFUSED: counter(*[0] * 8, *[3] * 30)}),
        quarters(8, 70),
    ),
    Case(
        "an exporter's own attempts, where scrapes are a minute apart",
        "RedisConnectionsRejected",
        {REJECTED: counter(*[0] * 8, *[12, 0, 0, 0] * 8)}
        | also({REFUSED: counter(*[0] * 11, *[12, 0, 0, 0] * 8)}),
        quarters(8, 70),
    ),
    Case(
        "the attempts of two exporters, now late and now early",
        "RedisConnectionsRejected",
        {REJECTED: counter(*[0] * 8, *[6, 5, 8, 5] * 8), REFUSED: "0"}
        | also({REFUSED: counter(*[0] * 9, *[3, 4, 2, 3] * 8)})
        | also({REFUSED: counter(*[0] * 7, *[2, 3, 3, 4] * 8)}, "third"),
        quarters(7, 70),
    ),
    Case(
        "ten are rejected while another exporter is refused all the time",
        "RedisConnectionsRejected",
        {REJECTED: counter(*[3] * 40, 13, *[3] * 99)} | also({REFUSED: counter(*[3] * 140)}),
        quarters(1, 44) | {"11m30s": rejected(1), "14m": rejected(1), "17m": ()},
    ),
    Case(
        "one is rejected, minutes after another exporter was refused for a while",
        "RedisConnectionsRejected",
        {REJECTED: counter(*[0] * 8, 3, 3, *[0] * 10, 1)} | also({REFUSED: counter(*[0] * 9, 3, 3)}),
        quarters(8, 25) | {f"{15 * step}s": rejected(1) for step in range(26, 43)} | {"13m": ()},
    ),
    Case(
        "one is rejected, and the exporter that was refused ten times tells it when it is back",
        "RedisConnectionsRejected",
        {
            REJECTED: "100x8 stale _x15 111x200",
            REFUSED: counter(*[0] * 8, *[1] * 10),
        },
        {"7m15s": (), "7m30s": rejected(1)},
    ),
    Case(
        "nobody but the exporter was rejected while it was away",
        "RedisConnectionsRejected",
        {
            REJECTED: "100x8 stale _x15 110x200",
            REFUSED: counter(*[0] * 8, *[1] * 10),
        },
        quarters(8, 64),
    ),
    Case(
        "a new exporter is refused in place of an old one",
        "RedisConnectionsRejected",
        {REJECTED: counter(*[0] * 9, 2, 3, 3, first=40)}
        | also({REFUSED: "40x5 stale"})
        | also({REFUSED: "_x10 2 5 8x200"}, "third"),
        quarters(8, 64),
    ),
    Case(
        "one is rejected after the server's counter was set to zero",
        "RedisConnectionsRejected",
        {REJECTED: "100x8 1x200"} | also({REFUSED: 60}),
        {"3m15s": (), "3m30s": rejected(1)},
    ),
    Case(
        "the server's counter was set to zero",
        "RedisConnectionsRejected",
        {REJECTED: "100x8 0x200"} | also({REFUSED: 60}),
        quarters(8, 64),
    ),
    quiet(
        "another exporter's counters of the same name, which have no target",
        "RedisConnectionsRejected",
        {f"{REJECTED}{{target=''}}": "0+1x200"},
    ),
    quiet(
        "another exporter's counters of cut clients",
        "RedisConnectionsCut",
        {"redis_evicted_clients_total{target=''}": "0+1x200"},
    ),
    quiet(
        "another exporter's blocked clients",
        "RedisConnectionsBlocked",
        {"redis_blocked_clients{target=''}": 50},
    ),
    quiet(
        "connections rejected long ago",
        "RedisConnectionsRejected",
        slots(50) | {REJECTED: 3},
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
            "39m": (),
            "42m": (
                Fires(
                    "orders will have no free connection in 1h 58m 0s if it keeps growing as it does now; "
                    f"70.5 of 100 connections in use.{HOLDERS}"
                ),
            ),
        },
    ),
    Case(
        "a second leak within the hour, after the first one was closed",
        "RedisConnectionsExhaustedSoon",
        {
            "redis_connection_slots_used": "60x20 60+15x40 60x40 65+2x100",
            "redis_connection_slots_limit": 1000,
            "redis_connection_utilization_ratio": 0.6,
        },
        {
            "30m": (),
            "41m": (
                Fires(
                    "orders will have no free connection in 1h 41m 37s if it keeps growing as it does now; "
                    f"187 of 1000 connections in use.{NOBODY}"
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
        at="31m",
    ),
    Case(
        "one step, and no growth since",
        "RedisConnectionsExhaustedSoon",
        {
            "redis_connection_slots_used": "52x60 60x300",
            "redis_connection_slots_limit": 100,
            "redis_connection_utilization_ratio": "0.52x60 0.6x300",
        },
        {f"{minute}m": () for minute in range(16, 80, 2)},
    ),
    quiet(
        "no growth, however full",
        "RedisConnectionsExhaustedSoon",
        slots(79) | OK,
        at="31m",
    ),
    Case(
        "a limit lower than that of a server with the same labels",
        "RedisConnectionLimitBelowPeers",
        {
            'redis_connection_slots_limit{target="orders",team="checkout"}': 4064,
            'redis_connection_slots_used{target="orders",team="checkout"}': 100,
            'redis_connection_slots_limit{target="baskets",team="checkout"}': 10000,
            'redis_app_connections{target="orders",team="checkout",app="cart",state="idle"}': 9,
            f'{LISTED}{{target="orders",team="checkout"}}': 0,
            "up{target=''}": 1,
        },
        {
            "14m": (),
            "15m": (
                Fires(
                    "orders takes 4064 connections; others with the same labels take more. 100 of 4064 connections in use. "
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
                    "orders does not tell its maxclients: 85 of unknown connections in use. Set max_clients for this "
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
                    "cart holds 76.47% of the clients of orders; 85 of 100 connections in use." + HOLDERS,
                    labels={"app": "cart"},
                ),
            ),
        },
    ),
    Case(
        "a holder's ticket outlasts a gap of ten minutes, and no longer one",
        "RedisConnectionsHeldByOneApp",
        until_cut_off(slots(85) | HELD | OK, 48),
        {
            "21m": (
                Fires(
                    "cart holds 76.47% of the clients of orders; 85 of 100 connections in use." + HOLDERS,
                    labels={"app": "cart"},
                ),
            ),
            "24m": (),
        },
    ),
    Case(
        "the newest list of two exporters tells the share of an app, not what both together say",
        "RedisConnectionsHeldByOneApp",
        slots(85)
        | OK
        | apps("15+15x400", cart=55, login=25, batch=20)
        | also(apps("10+15x400", cart=40, login=61)),
        {
            "10m": (
                Fires(
                    f"cart holds 55% of the clients of orders; {USED}.\nHeld by cart 55, login 25, batch 20.",
                    labels={"app": "cart"},
                ),
            ),
        },
    ),
    Case(
        "two exporters whose lists take turns in being the newest",
        "RedisConnectionsHeldByOneApp",
        slots(85)
        | OK
        | apps("15 15 45 45 75 75 " * 50, cart=55, login=45)
        | also(apps("0 30 30 60 60 90 " * 50, cart=60, batch=40)),
        {
            "10m": (
                Fires(
                    f"cart holds 55% of the clients of orders; {USED}.\nHeld by cart 55, login 45.",
                    labels={"app": "cart"},
                ),
            ),
            "10m15s": (
                Fires(
                    f"cart holds 60% of the clients of orders; {USED}.\nHeld by cart 60, batch 40.",
                    labels={"app": "cart"},
                ),
            ),
        },
    ),
    Case(
        "two lists of the same moment count once",
        "RedisConnectionsHeldByOneApp",
        slots(85) | OK | apps(7, cart=55, login=45) | also(apps(7, cart=55, login=45)),
        {
            "10m": (
                Fires(
                    f"cart holds 55% of the clients of orders; {USED}.\nHeld by cart 55, login 45.",
                    labels={"app": "cart"},
                ),
            ),
        },
    ),
    Case(
        "an exporter that has no list any more leaves the word to the other",
        "RedisConnectionsHeldByOneApp",
        slots(85)
        | OK
        | until_cut_off(apps("15+15", cart=40, login=61))
        | also(apps("10+15x400", cart=55, login=45)),
        {
            "11m45s": (),
            "12m15s": (
                Fires(
                    f"cart holds 55% of the clients of orders; {USED}.\nHeld by cart 55, login 45.",
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
        slots(85) | {LISTED: 0, 'redis_app_connections{app="other",state="idle"}': 80} | OK,
    ),
    Case(
        "over half of the connections are stale",
        "RedisConnectionsStale",
        slots(85) | HELD | OK,
        {
            "14m": (),
            "15m": (
                Fires(
                    "70.59% of the clients of orders are stale; 85 of 100 connections in use. Stale "
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
            LISTED: 0,
            'redis_app_connections{app="cart",state="stale"}': 40,
            'redis_app_connections{app="cart",state="idle"}': 40,
        },
    ),
    quiet(
        "they were stale in the older list of two exporters",
        "RedisConnectionsStale",
        slots(85)
        | OK
        | apps(15, cart=80)
        | also({LISTED: 10, 'redis_app_connections{app="cart",state="stale"}': 80}),
    ),
    Case(
        "stale in the newer list of two exporters",
        "RedisConnectionsStale",
        slots(85)
        | OK
        | {
            LISTED: 15,
            'redis_app_connections{app="cart",state="stale"}': 60,
            'redis_app_connections{app="login",state="idle"}': 40,
        }
        | also({LISTED: 10, 'redis_app_connections{app="login",state="stale"}': 80}),
        {
            "15m": (
                Fires(
                    f"60% of the clients of orders are stale; {USED}. Stale connections by app: cart 60."
                    "\nHeld by cart 60, login 40."
                ),
            )
        },
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
    Case(
        "a client without a pool, of which the lists see little",
        "RedisConnectionsChurning",
        HELD
        | {
            "redis_connections_opened_per_command": 0.5,
            "redis_connection_mean_lifetime_seconds": 0.25,
            "redis_connections_received_total": "0+750x200",
            "redis_connections_seen_ratio": 0.2,
            'redis_app_connections_opened_total{app="login"}': "0+150x200",
        },
        {
            "12m": (
                Fires(
                    "On orders 0.50 connections are opened for each command, 50.0 per second; a connection lives "
                    "250ms. Opened per second, by app: nobody can be named, because most were gone before the "
                    f"clients were listed.{HOLDERS}"
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
    Case(
        "a dip of four minutes frees nobody",
        "RedisConnectionsBlocked",
        {"redis_blocked_clients": "12x40 0x60", "redis_blocked_longest_seconds": 90},
        {
            "14m": (
                Fires(
                    f"12 clients of orders wait in blocking commands, the longest for 1m 30s. By command:.{NOBODY}"
                ),
            ),
            "16m": (),
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
                    "The exporter exporter:10051 of job redis-connections is gone. More than half full when last seen: orders 85%.",
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
                    "The exporter exporter:10051 of job redis-connections is gone. More than half full when last seen: none.",
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
                    "Nothing is known of any Redis server: no exporter is scraped, or its series are dropped. More than half full when last seen: none.",
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
    Case(
        "the pod of one of several exporters that share the servers has vanished",
        "RedisConnectionExporterTargetsLost",
        until_cut_off(
            {
                'redis_up{instance="first"}': 1,
                'up{target="",instance="first"}': 1,
                'redis_connection_exporter_build_info{target="",instance="first"}': 1,
            },
            40,
        )
        | {
            'redis_up{target="baskets",instance="second"}': 1,
            'up{target="",instance="second"}': 1,
            'redis_connection_exporter_build_info{target="",instance="second"}': 1,
        },
        {
            "13m": (),
            "14m": (
                Fires(
                    "Servers watched by nobody since an exporter of job redis-connections is gone: 1. "
                    "Fullest when last seen: unknown.",
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
        "a bug shows at a server, twice",
        "RedisConnectionExporterPollerCrashed",
        HELD | {"redis_connection_exporter_poller_crashes_total": "0x40 2x300"},
        {
            "10m": (),
            "12m": (
                Fires(
                    "The exporter ran into a bug of its own at orders: 2 times in 15 minutes. "
                    f"The traceback is in its log. Other servers are not concerned.{HOLDERS}"
                ),
            ),
        },
    ),
    quiet(
        "no bug shows",
        "RedisConnectionExporterPollerCrashed",
        OK | {"redis_connection_exporter_poller_crashes_total": 0},
    ),
    Case(
        "polls begin late in each minute, which is told with what the exporter takes",
        "RedisConnectionExporterPollsLate",
        {
            "redis_connection_exporter_poll_delay_seconds{target=''}": 2.5,
            "redis_connection_exporter_targets_overdue{target=''}": 4100,
            "redis_connection_exporter_targets{target=''}": 5000,
            "process_cpu_seconds_total{target=''}": "0+14.85x100",
        },
        {
            "9m": (),
            "10m": (
                Fires(
                    "The exporter exporter:10051 of job redis-connections polls up to 2.5s later than it should, and "
                    "4100 of its 5000 targets late. It takes 0.99 of a core.",
                    labels={"instance": "exporter:10051"},
                    target=None,
                ),
            ),
        },
    ),
    quiet(
        "one minute in which polls began late, and others in which they hardly did",
        "RedisConnectionExporterPollsLate",
        {"redis_connection_exporter_poll_delay_seconds{target=''}": "0.01x10 7x4 0.8x100"},
    ),
    Case(
        "the loop is held in each minute",
        "RedisConnectionExporterLoopHeld",
        {"redis_connection_exporter_event_loop_lag_seconds{target=''}": 1.5},
        {
            "9m": (),
            "10m": (
                Fires(
                    "The exporter exporter:10051 of job redis-connections does nothing at all for up to 1.5s: no poll, "
                    "no page.",
                    labels={"instance": "exporter:10051"},
                    target=None,
                ),
            ),
        },
    ),
    quiet(
        "the host was busy for a minute",
        "RedisConnectionExporterLoopHeld",
        {"redis_connection_exporter_event_loop_lag_seconds{target=''}": "0.01x10 7x4 0.01x100"},
    ),
    Case(
        "clients have more names than are remembered, and half of them are forgotten from time to time",
        "RedisConnectionExporterNamesFull",
        {"redis_connection_exporter_names_remembered{target=''}": "70000x40 40000x20 70000x100"},
        {
            "29m": (),
            "31m": (
                Fires(
                    "The exporter exporter:10051 of job redis-connections remembers up to 70000 names, identities and "
                    "hosts of clients, nearly all that it may: what is beyond is read anew in each list.",
                    "info",
                    labels={"instance": "exporter:10051"},
                    target=None,
                ),
            ),
        },
    ),
    quiet(
        "many names, all of which are remembered",
        "RedisConnectionExporterNamesFull",
        {"redis_connection_exporter_names_remembered{target=''}": 40000},
        at="59m",
    ),
    Case(
        "the list of the clients is denied",
        "RedisConnectionExporterListUnavailable",
        OK
        | {
            "redis_connection_exporter_client_list_available": 0,
            'redis_connection_exporter_client_list_failures_total{reason="refused"}': "0x40 1x200",
            'redis_connection_exporter_client_list_failures_total{reason="timeout"}': 0,
            'redis_connection_exporter_command_denied{command="client|list"}': 1,
        },
        {
            "14m": (),
            "15m": (unlisted(" refused 1", " client|list", NOBODY),),
        },
    ),
    Case(
        "lists are cut off and time out, each for a reason",
        "RedisConnectionExporterListUnavailable",
        OK
        | {
            "redis_connection_exporter_client_list_available": 0,
            'redis_connection_exporter_client_list_failures_total{reason="cut_off"}': "0+1x200",
            'redis_connection_exporter_client_list_failures_total{reason="timeout"}': "0x40 2x200",
            'redis_connection_exporter_client_list_failures_total{reason="refused"}': 7,
        },
        {
            "15m": (unlisted(" cut_off 40 timeout 2", " none", NOBODY),),
            "25m": (unlisted(" cut_off 40", " none", NOBODY),),
        },
    ),
    Case(
        "every other list fails, so there is one half of the time",
        "RedisConnectionExporterListUnavailable",
        OK
        | apps(f"{'0 ' * 20}{'300 ' * 40}{'900 ' * 40}{'1500 ' * 40}{'2100 ' * 40}{'2700 ' * 40}", cart=65)
        | {
            "redis_connection_exporter_client_list_available": f"{'1 ' * 20}{'0 ' * 20}" * 6,
            'redis_connection_exporter_client_list_failures_total{reason="cut_off"}': " ".join(
                f"{fails} " * 40 for fails in range(6)
            ),
        },
        {"55m": (unlisted(" cut_off 1", " none", "\nHeld by cart 65."),)},
    ),
    quiet(
        "one list of ten fails",
        "RedisConnectionExporterListUnavailable",
        OK
        | apps("0+15x400", cart=65)
        | {
            "redis_connection_exporter_client_list_available": 1,
            'redis_connection_exporter_client_list_failures_total{reason="timeout"}': "0+0.1x400",
        },
        at="59m",
    ),
    quiet(
        "another exporter has its lists",
        "RedisConnectionExporterListUnavailable",
        OK
        | apps("0+15x400", cart=65)
        | {
            "redis_connection_exporter_client_list_available": 1,
            'redis_connection_exporter_client_list_failures_total{reason="timeout"}': 0,
        }
        | also(
            apps("0+60x100", cart=65)
            | {
                "redis_connection_exporter_client_list_available": 1,
                'redis_connection_exporter_client_list_failures_total{reason="timeout"}': "0+1x400",
            }
        ),
        at="59m",
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
            LISTED: 0,
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
            LISTED: 0,
            'redis_app_connections{app="other",state="idle"}': 25,
            'redis_app_connections{app="cart",state="idle"}': 75,
            'redis_connection_exporter_folded_connections{cut="apps"}': 25,
            'redis_connection_exporter_folded_connections{cut="hosts"}': 90,
        },
        at="31m",
    ),
    quiet(
        "a quarter is folded in the older list of two exporters",
        "RedisConnectionExporterAppsFolded",
        apps(15, other=20, cart=80)
        | {'redis_connection_exporter_folded_connections{cut="apps"}': 20}
        | also(
            apps(10, other=30, cart=70) | {'redis_connection_exporter_folded_connections{cut="apps"}': 30}
        ),
        at="31m",
    ),
    quiet("all thresholds are there", "RedisConnectionRulesIncomplete", OK),
]
