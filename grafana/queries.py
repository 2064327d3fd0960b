"""What more than one dashboard asks."""

from collections.abc import Iterable

from exporter.verdicts import Evidence, Verdict
from grafana.dashboard import state_number
from grafana.panels import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, YELLOW
from grafana.promql import highest, listed, per_second, series, threshold, total

WATCH = threshold("utilization_watch")
WARNING, CRITICAL = threshold("utilization_warning"), threshold("utilization_critical")

# How many servers a panel draws where there may be hundreds.
SHOWN = 15

USED = highest("redis_connection_slots_used")
LIMIT = highest("redis_connection_slots_limit")
# Who refuses newcomers is full, also where the exporter itself came too late to get the numbers.
_RATIO = series("redis_connection_utilization_ratio")
_AT_LIMIT = series("redis_target_state", state="at_limit")
UTILISATION = (
    f"({highest('redis_connection_utilization_ratio')} or on (target) max by (target) ({_AT_LIMIT}) == 1)"
)
STATE = state_number()

# Growth is steep from so many connections per second on, and so many in its window.
_STEEP_PER_SECOND, _STEEP = 0.01, 5
_WINDOWS = {"5m": 300, "15m": 900, "1h": 3600}


def _steep(window: str) -> str:
    return f">= {max(_STEEP_PER_SECOND, _STEEP / _WINDOWS[window]):.3g}"


def _growth_of_slots(window: str) -> str:
    """The lesser growth of a window's two halves: one step, such as a deploy, falls into one of them only."""
    half, used = f"{_WINDOWS[window] // 2}s", series("redis_connection_slots_used")
    late = f"max by (target) (deriv({used}[{half}]))"
    early = f"max by (target) (deriv({used}[{half}] offset {half}))"
    return f"({late} < {early} or {early} and {late})"


# Seconds until no slot is free if the growth goes on: that of the shortest window in which it is steep, else
# of an hour. Nothing without growth, and nothing where less is in use than the alerts look at: after a
# restart every app grows from nothing.
GROWTH = (
    f"({_growth_of_slots('5m')} {_steep('5m')} or {_growth_of_slots('15m')} {_steep('15m')}"
    f" or {_growth_of_slots('1h')})"
)
EXHAUSTION = f"({LIMIT} - {USED}) / ({GROWTH} > 0) and on (target) {UTILISATION} > {WATCH}"


def held(*by: str, **labels: str) -> str:
    """The connections of apps, by some of app, target and state."""
    return total(listed("redis_app_connections", **labels), *by)


def most_in_use(*by: str, **labels: str) -> str:
    """The most connections that apps which are there now ever had in use at once.

    An exporter remembers it for 6 hours and forgets it when it restarts; Prometheus does not.
    """
    peak = f"max_over_time({series('redis_app_needed_connections_peak', **labels)}[6h])"
    present = series("redis_app_connections", **labels)
    return total(f"max by (target, app) ({peak}) and on (target, app) {present}", *by)


def above_since() -> str:
    """When a server above the warning was last below it, else since when it has been seen at all."""
    last_below = f"max by (target) (max_over_time(timestamp({_RATIO} < {WARNING})[$__range:1m]))"
    first_seen = f"min by (target) (min_over_time(timestamp({_RATIO} or {_AT_LIMIT} == 1)[$__range:1m]))"
    return f"1000 * ({last_below} or {first_seen}) and on (target) {UTILISATION} >= {WARNING}"


def top(expression: str, ranked_by: str) -> str:
    """Keep the series of the targets that rank highest over the whole range, so that none comes and goes."""
    return f"{expression} and on (target) topk({SHOWN}, {ranked_by})"


def most(metric: str, **labels: str) -> str:
    """The highest value of a gauge per target within the range."""
    return f"max by (target) (max_over_time({series(metric, **labels)}[$__range] @ end()))"


def increase(metric: str, **labels: str) -> str:
    """By how much a counter per target grew within the range that is shown."""
    return f"max by (target) (increase({series(metric, **labels)}[$__range] @ end()))"


def longest_not_ok() -> str:
    """Rank targets by their share of the range in another state than ok, those at the limit before all."""

    def share(state: str) -> str:
        within = f"{series('redis_target_state', state=state)}[$__range] @ end()"
        return f"max by (target) (avg_over_time({within})) > 0"

    return f"1 + ({share('at_limit')}) or {share('!ok')}"


def suspected_leaks(*by: str, **labels: str) -> str:
    """The suspected leaks of apps, of the exporter that suspects most: evidence is lost in a restart."""
    return total(highest("redis_app_suspected_leaked_connections", **labels), *by)


def growth(metric: str, *by: str, **labels: str) -> str:
    """Growth of apps per second, in the shortest window in which it is steep, else in the longest known."""

    def over(window: str) -> str:
        return f"max by (target, app) ({series(metric, window=window, **labels)})"

    steep = (
        f"{over('5m')} {_steep('5m')}",
        f"({over('15m')} {_steep('15m')} and on (target, app) {over('5m')} > 0)",
    )
    return total(" or ".join((*steep, *map(over, reversed(_WINDOWS)))), *by)


# The worst first. No app is `unknown` to an exporter that has just begun where another one knows it.
VERDICTS = {
    1: (Verdict.LEAKING, RED),
    2: (Verdict.CHURNING, ORANGE),
    3: (Verdict.GROWING, YELLOW),
    4: (Verdict.UNKNOWN, GREY),
    5: (Verdict.WAITING, PURPLE),
    6: (Verdict.OVERSIZED, BLUE),
    7: (Verdict.HEALTHY, GREEN),
}
# The strongest first.
EVIDENCE = dict(
    enumerate(
        (
            Evidence.LEFT_BEHIND,
            Evidence.HELD_TRANSACTION,
            Evidence.OPENED_AND_UNUSED,
            Evidence.GROWTH_WITHOUT_NEED,
            Evidence.REAPED_BY_TIMEOUT,
            Evidence.NEVER_USED,
            Evidence.PINGED_ONLY,
        ),
        1,
    )
)


def _numbered(verdicts: Iterable[Verdict], **labels: str) -> str:
    numbers = {verdict: number for number, (verdict, _) in VERDICTS.items()}
    terms = (f"{series('redis_app_verdict', verdict=each, **labels)} * {numbers[each]}" for each in verdicts)
    return f"min by (target, app) ({' or '.join(terms)})"


def verdict(*by: str, **labels: str) -> str:
    """The verdict on apps as its number in VERDICTS, the worst of all servers."""
    known = _numbered([each for each in Verdict if each is not Verdict.UNKNOWN], **labels)
    unknown = _numbered([Verdict.UNKNOWN], **labels)
    return f"min by ({', '.join(by)}) ({known} or {unknown})"


def evidence(*by: str, **labels: str) -> str:
    """The strongest evidence on apps as its number in EVIDENCE."""
    terms = (
        f"{series('redis_app_leak_evidence_connections', evidence=each, **labels)} * 0 + {number}"
        for number, each in EVIDENCE.items()
    )
    return f"min by ({', '.join(by)}) ({' or '.join(terms)})"


def worst_instance(*by: str, **labels: str) -> str:
    """The connections of the worst instance of leaking apps; its name is `exported_instance`."""
    within = series("redis_app_worst_instance_connections", **labels).removesuffix("}")
    # Prometheus calls the label so, unless honor_labels is set.
    named = f'label_replace({within},exported_instance=""}}, "exported_instance", "$1", "instance", "(.*)")'
    both = f'{within},exported_instance!=""}} or {named}'
    return f"topk by ({', '.join(by)}) (1, max by ({', '.join((*by, 'exported_instance'))}) ({both}))"


def pool_use(*by: str, **labels: str) -> str:
    """The open connections of apps over the size of their pools, where clients' names tell it."""
    pools = f"max by (target, app) ({series('redis_app_pool_max_connections', **labels)})"
    mine = total(listed("redis_app_connections", **labels), "target", "app")
    return f"{total(f'{mine} and on (target, app) {pools}', *by)} / {total(pools, *by)}"


# What a tile of suspected leaks says where there are none.
NONE, NOT_KNOWN, GROWS, UNUSED = -1, -2, -3, -4
SUSPICIONS = {
    NONE: ("none", GREEN),
    NOT_KNOWN: ("not known yet", GREY),
    GROWS: ("grows without need", ORANGE),
    UNUSED: ("opened and unused", ORANGE),
}


def most_suspected(**labels: str) -> str:
    """The app with most suspected leaks, else one in which a leak may have begun, or that is not known yet.

    There are none only where the verdict on every app is known.
    """

    def spoken_for(each: Evidence, number: int) -> str:
        found = series("redis_app_leak_evidence_connections", evidence=each, **labels)
        return f"topk(1, max by (app) ({found})) * 0 + {number}"

    judged = verdict("app", **labels)
    unknown = next(number for number, (each, _) in VERDICTS.items() if each is Verdict.UNKNOWN)
    none = f'label_replace(max({judged}) * 0 + {NONE}, "app", "every app is known", "", "")'
    return " or on () ".join(
        (
            f"topk(1, {suspected_leaks('app', **labels)} > 0)",
            f"({spoken_for(Evidence.OPENED_AND_UNUSED, UNUSED)})",
            f"({spoken_for(Evidence.GROWTH_WITHOUT_NEED, GROWS)})",
            f"(topk(1, {judged} == {unknown}) * 0 + {NOT_KNOWN})",
            none,
        )
    )


_MOSTLY_UNSEEN = f"{highest('redis_connections_seen_ratio')} < {threshold('seen_share')}"


def opened(*by: str, **labels: str) -> str:
    """Connections that apps open per second, on the servers where lists see enough of them to name an app."""
    rate = per_second("redis_app_connections_opened_total", **labels)
    return total(f"{rate} unless on (target) {_MOSTLY_UNSEEN}", *by)


def closed(*by: str) -> str:
    """Connections that apps close per second, on the same servers."""
    rate = per_second("redis_app_connections_closed_total")
    return total(f"{rate} unless on (target) {_MOSTLY_UNSEEN}", *by)


def opened_unseen() -> str:
    """Connections opened per second on the other servers, where nobody can be named."""
    return total(f"{per_second('redis_connections_received_total')} and on (target) {_MOSTLY_UNSEEN}")
