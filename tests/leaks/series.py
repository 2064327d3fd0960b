"""`python -m tests.leaks.series`: what the exporter says of recorded apps, as series for promtool.

It judges the lists of tests/leaks/data every 15 s and writes tests/data/leak_series.json, which the cases of
the alerts read: name of the recording -> series -> values. The last value of a series goes on.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import AppNames
from exporter.model import AppClients, AppRules
from exporter.poll.listing.counting import Counting
from exporter.verdicts import AppTrend
from tests.blocks import take
from tests.daemon import ROOT
from tests.leaks.replay import lists

FILE = ROOT / "tests" / "data" / "leak_series.json"
_DATA = Path(__file__).parent / "data"
_STALE_AFTER, _INTERVAL = 300.0, 15.0
_EVERY = 3  # lists were taken every 5 s
_STEPS, _GOES_ON = 24, 80
_LEAKS = ("R-rates", "V-rates", "R-forgotten", "R-multi", "R-pinged", "R-timeout")
_HEALTHY = ("pods", "nameless-pods", "bursts", "pools", "minimum", "single", "waiting")

Series = dict[str, dict[int, int]]


def _of_app(app: str, clients: AppClients, trend: AppTrend) -> Iterator[tuple[str, int]]:
    yield f'redis_app_connections{{app="{app}",state="idle"}}', sum(clients.states.values())
    yield f'redis_app_suspected_leaked_connections{{app="{app}"}}', trend.suspected
    if trend.verdict is not None:
        yield f'redis_app_verdict{{app="{app}",verdict="{trend.verdict}"}}', 1
    for evidence, number in trend.evidence.items():
        yield f'redis_app_leak_evidence_connections{{app="{app}",evidence="{evidence}"}}', number
    if trend.worst is not None:
        instance, number = trend.worst
        yield (
            f'redis_app_worst_instance_connections{{app="{app}",exported_instance="{instance}"}}',
            number,
        )


def _said(recording: str) -> Series:
    """Each series of a recording: its value at each step at which it is there."""
    names = AppNames(AppRules())
    history = History(_STALE_AFTER, top=1000)
    series: Series = defaultdict(dict)
    begun = before = 0.0
    for number, (now, info, rows) in enumerate(lists(_DATA / f"{recording}.list.gz")):
        if number % _EVERY:
            continue
        begun = begun or now
        counting = Counting(Tally(names, _STALE_AFTER, since=now - before if before else _INTERVAL))
        before = now
        counting.take(rows)
        counting.end_reply()
        counting.count()
        take(history, counting.tally, info, now=now)
        groups = history.groups
        step = round((now - begun) / _INTERVAL)
        for app, trend in history.trends.items():
            wanted = recording not in _LEAKS or "-leak" in app or "-forget" in app
            if wanted and app in groups.apps and app != "other" and step < _STEPS:
                for name, value in _of_app(app, groups.apps[app], trend):
                    series[name][step] = value
    return series


def _written(values: Mapping[int, int]) -> str:
    words = [str(values.get(step, "_")) for step in range(max(values) + 1)]
    if len(words) < _STEPS:
        return " ".join([*words, "stale"])
    last, times = words[-1], _GOES_ON
    while words and words[-1] == last:
        words.pop()
        times += 1
    return " ".join([*words, f"{last}x{times - 1}"])


def main() -> None:
    """Write the file."""
    recordings = (*_LEAKS, *(f"{server}-{name}" for name in _HEALTHY for server in "RV"))
    tree = {name: {series: _written(values) for series, values in _said(name).items()} for name in recordings}
    FILE.write_text(json.dumps(tree, indent=1) + "\n")


if __name__ == "__main__":
    main()
