"""Labelled sequences of CLIENT LIST, read and judged by the product, list by list as they came.

A sequence is `NAME.list.gz` (lists, each behind a line `#T <unix time> <fields of INFO>`) and
`NAME.leaked.json.gz` (client id -> the moment at which a list first showed it leaked).
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import AppNames
from exporter.model import AppRules, ServerInfo
from exporter.parse.info import parse_info
from exporter.poll.listing.counting import Counting
from exporter.verdicts import AppTrend, Evidence, Verdict
from tests.blocks import take

_OBSERVERS = (b" name=capture ", b" name=redis-connection-exporter ")
_FIRST_WORDS = {Evidence.OPENED_AND_UNUSED, Evidence.GROWTH_WITHOUT_NEED}
_ALERT_ABOVE, _ALERT_SECONDS = 10, 180.0  # of RedisConnectionsLeaking
_UNIX_TIME = 1e9  # labels below it are seconds after the first list


@dataclass(slots=True)
class Told:
    """What the product said of an app. Moments are in seconds after the first list; None is never.

    `found`, `wrong` and `missed` count connections in the last list, `worst` the most healthy ones that were
    suspected in any list. `leaked_at` is when the first one leaked; the product's first word of it, its
    verdict, and the alert, which waits, came at the moments after that.
    """

    found: int = 0
    wrong: int = 0
    missed: int = 0
    worst: int = 0
    leaked_at: float | None = None
    first_word: float | None = None
    leaking: float | None = None
    alert: float | None = None
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    _above: float | None = None

    def take(self, trend: AppTrend, at: float) -> None:
        """Take what is said after one list."""
        leaking = trend.verdict is Verdict.LEAKING
        if trend.verdict is not None:
            self.verdicts[trend.verdict] += 1
        if self.first_word is None and (leaking or _FIRST_WORDS & set(trend.evidence)):
            self.first_word = at
        if self.leaking is None and leaking:
            self.leaking = at
        if not leaking or trend.suspected <= _ALERT_ABOVE:
            self._above = None
        elif self._above is None:
            self._above = at
        elif self.alert is None and at - self._above >= _ALERT_SECONDS:
            self.alert = at


def sequences(folder: Path) -> list[str]:
    """The names of the sequences in a folder."""
    return sorted(path.name.removesuffix(".list.gz") for path in folder.glob("*.list.gz"))


def replay(folder: Path, name: str, stale_after: float) -> dict[str, Told]:
    """Judge each list of a sequence, and return what was said of each app."""
    with gzip.open(folder / f"{name}.leaked.json.gz", "rt") as file:
        truth: dict[bytes, float] = {client.encode(): moment for client, moment in json.load(file).items()}
    names = AppNames(AppRules())
    history = History(stale_after, top=1000)
    told: dict[str, Told] = {}
    begun = before = 0.0
    for now, info, rows in lists(folder / f"{name}.list.gz"):
        begun = begun or now
        counting = Counting(Tally(names, stale_after, since=now - before if before else 15.0))
        counting.take(rows)
        counting.end_reply()
        counting.count()
        take(history, counting.tally, info, now=now)
        before = now
        for app, trend in history.trends.items():
            told.setdefault(app, Told()).take(trend, now - begun)
        _score(told, history, truth, begun)
    return told


def _score(told: dict[str, Told], history: History, truth: Mapping[bytes, float], begun: float) -> None:
    """Compare who is suspected with who leaked."""
    found: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for position, (client, app) in enumerate(history.apps_by_id()):
        moment = truth.get(client)
        if moment is not None:
            moment -= begun if moment > _UNIX_TIME else 0.0
            known = told[app].leaked_at
            told[app].leaked_at = moment if known is None else min(known, moment)
            (found if position in history.suspected else missed)[app] += 1
        elif position in history.suspected:
            wrong[app] += 1
    for app, each in told.items():
        each.found, each.wrong, each.missed = found[app], wrong[app], missed[app]
        each.worst = max(each.worst, wrong[app])


def lists(path: Path) -> Iterator[tuple[float, ServerInfo, bytes]]:
    """Each list with its moment (Unix time) and what INFO told."""
    now, info = 0.0, ServerInfo({}, {})
    rows: list[bytes] = []
    with gzip.open(path) as file:
        for line in file:
            if line.startswith(b"#T "):
                if now:
                    yield now, info, b"".join(rows)
                _, moment, *fields = line.split()
                now, rows = float(moment), []
                info = parse_info(b"\r\n".join([b"# Server", *fields, b""]))
            elif not any(observer in line for observer in _OBSERVERS):
                rows.append(line)
    yield now, info, b"".join(rows)
