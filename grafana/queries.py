"""What more than one dashboard asks."""

from grafana.dashboard import state_number
from grafana.promql import newest, series, threshold, total

WATCH = threshold("utilization_watch")
WARNING, CRITICAL = threshold("utilization_warning"), threshold("utilization_critical")

# How many servers a panel draws where there may be hundreds.
SHOWN = 15

USED = newest("redis_connection_slots_used")
LIMIT = newest("redis_connection_slots_limit")
# Who refuses newcomers is full, also where the exporter itself came too late to get the numbers.
UTILISATION = (
    f"({newest('redis_connection_utilization_ratio')} "
    f"or on (target) max by (target) ({series('redis_target_state', state='at_limit')}) == 1)"
)
STATE = state_number()

# Seconds until no slot is free if the growth of the last hour goes on. Nothing without growth, and nothing
# where less is in use than the alerts look at: after a restart every app grows from nothing.
GROWTH = f"max by (target) (deriv({series('redis_connection_slots_used')}[1h]))"
EXHAUSTION = f"({LIMIT} - {USED}) / ({GROWTH} > 0) and on (target) {UTILISATION} > {WATCH}"


def held(*by: str, **labels: str) -> str:
    """The connections of apps, by some of app, target and state."""
    return total(newest("redis_app_connections", **labels), *by)


def above_since() -> str:
    """When a server above the warning was last below it: at the earliest, the start of the range."""
    below = f"timestamp({series('redis_connection_utilization_ratio')} < {WARNING})"
    return (
        f"1000 * (max by (target) (max_over_time(({below})[$__range:1m])) or {UTILISATION} * 0 + time() - "
        f"$__range_s) and on (target) {UTILISATION} >= {WARNING}"
    )


def top(expression: str, ranked_by: str) -> str:
    """Keep the series of the targets that rank highest over the whole range, so that none comes and goes."""
    return f"{expression} and on (target) topk({SHOWN}, {ranked_by})"


def most(metric: str, **labels: str) -> str:
    """The highest value of a gauge per target within the range."""
    return f"max by (target) (max_over_time({series(metric, **labels)}[$__range] @ end()))"


def increase(metric: str, **labels: str) -> str:
    """By how much a counter per target grew within the range that is shown."""
    return f"max by (target) (increase({series(metric, **labels)}[$__range] @ end()))"


def most_suspected() -> str:
    """The app with most suspected leaks; where there are none, 0 of none."""
    suspected = total(newest("redis_app_suspected_leaked_connections"), "app")
    none = f'label_replace(sum({suspected}), "app", "none", "", "")'
    return f"topk(1, {suspected} > 0) or on () {none}"
