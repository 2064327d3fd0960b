"""How many series a server makes, and what they may not say."""

from dataclasses import replace

import pytest

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import AppNames
from exporter.model import AppRules, ListCost, Reading, ServerInfo, Survey
from exporter.verdicts import Window
from tests.blocks import read_rows, take
from tests.one_page import DATA, info_of, reading_of, series_of

_ROW = (
    b"id=%d addr=10.0.%d.%d:%d laddr=10.0.0.1:6379 fd=8 name=app%c-7c9f8d6b5-x2x%dk age=%d idle=%d flags=N "
    b"db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 qbuf=0 omem=0 tot-mem=22426 events=r cmd=%b user=default "
    b"redir=-1 resp=2 lib-name=redis-py lib-ver=5.0 tot-net-in=50 tot-net-out=9 tot-cmds=%d\n"
)


def clients(count: int, apps: int, at: int) -> bytes:
    return b"".join(
        _ROW
        % (
            *(n + 10, n % apps, n % 25, 20_000 + n, 97 + n % apps, n % 9),
            *(3000 + at + n % 997, (n * 7919) % 600, b"get" if n % 11 else b"incr", n),
        )
        for n in range(count)
    )


def listed(count: int, apps: int, hours: float) -> Reading:
    """A server with so many clients, after so long a time of lists."""
    history, info = History(300.0, 20), ServerInfo({b"total_connections_received": b"20000"}, {"run_id": "a"})
    names, steps = AppNames(AppRules()), int(hours * 60)
    for step in range(steps + 1):
        tally = Tally(names, 300.0)
        tally.add(*read_rows(clients(count if step == steps else 40, apps, 60 * step)))
        take(history, tally, info, now=1e6 + 60.0 * step)
    told = replace(reading_of((DATA / "info-valkey-9.1.txt").read_bytes()), clients=None)
    cost = ListCost(0.01, 0.01, 1, 1.0)
    return replace(
        told, clients=Survey(1.8e9, history.groups, history.trends, 5, history.folded, cost, share_seen=0.9)
    )


@pytest.mark.parametrize("hours", [0, 0.1, 1.5])
def test_a_server_with_10000_clients_of_20_apps_makes_some_500_series_at_most(hours: float) -> None:
    series = series_of(listed(10_000, 20, hours))
    of_the_server = [name for name in series if not name.startswith(("process_", "python_"))]
    print(f"\nmeasured: 10,000 clients of 20 apps after {hours:g} hours: {len(of_the_server)} series")
    assert sum(series[name] for name in series if name.startswith("redis_app_connections{")) == 10_000
    windows = {window for window in Window if any(f'window="{window}"' in name for name in series)}
    assert len(windows) == {0: 0, 0.1: 1, 1.5: 3}[hours]
    assert len(of_the_server) <= 500


def test_a_mean_lifetime_is_at_most_the_servers_uptime() -> None:
    def at(received: int) -> Reading:
        told = {"total_connections_received": received, "total_commands_processed": received}
        return reading_of(info_of(connected_clients=500, uptime_in_seconds=90, **told))

    assert series_of(at(1000), at(1001))["redis_connection_mean_lifetime_seconds"] == 90
    assert series_of(at(1000), at(1000 + 500))["redis_connection_mean_lifetime_seconds"] == 1
