"""What more than one dashboard asks."""

from grafana.dashboard import state_number
from grafana.promql import highest, listed, series, threshold, total

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

# Seconds until no slot is free if the growth of the last hour goes on. Nothing without growth, and nothing
# where less is in use than the alerts look at: after a restart every app grows from nothing.
GROWTH = f"max by (target) (deriv({series('redis_connection_slots_used')}[1h]))"
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


def most_suspected() -> str:
    """The app with most suspected leaks; where there are none, 0 of none."""
    suspected = suspected_leaks("app")
    none = f'label_replace(sum({suspected}), "app", "none", "", "")'
    return f"topk(1, {suspected} > 0) or on () {none}"
