"""Groups without bound to bounded ones: each cut keeps its biggest, and folds the rest into `other`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from exporter.analyse.top import OTHER, StickyTop
from exporter.model import AppClients, ClientGroups, ClientState

_OTHER_LIBRARY = (OTHER, "")

Key = TypeVar("Key", str, tuple[str, str])


class Bounds:
    """The slots of every cut of one server's clients."""

    def __init__(self, size: int) -> None:
        self.apps: frozenset[str] = frozenset()
        self._apps = StickyTop[str](size)
        self._libraries = StickyTop[tuple[str, str]](size)
        self._cuts = {
            name: StickyTop[str](size) for name in ("hosts", "users", "commands", "databases", "blocked")
        }

    def label(self, app: str) -> str:
        """What an app is called in bounded groups."""
        return app if app in self.apps else OTHER

    def bound(self, groups: ClientGroups, now: float) -> tuple[ClientGroups, Mapping[str, int]]:
        """Fold the groups, and tell how many connections of each cut are in its `other`."""
        self.apps = self._apps.choose({name: app.total for name, app in groups.apps.items()}, now) - {OTHER}
        apps = _fold_apps(groups.apps, self.apps)
        libraries = fold(groups.libraries, self._libraries.choose(groups.libraries, now), _OTHER_LIBRARY)
        cuts = {
            name: fold(getattr(groups, name), top.choose(getattr(groups, name), now), OTHER)
            for name, top in self._cuts.items()
        }
        folded = {name: counts.get(OTHER, 0) for name, counts in cuts.items()}
        folded |= {
            "apps": apps[OTHER].total if OTHER in apps else 0,
            "libraries": libraries.get(_OTHER_LIBRARY, 0),
        }
        bounded = replace(
            groups,
            apps=apps,
            libraries=libraries,
            hosts=cuts["hosts"],
            users=cuts["users"],
            commands=cuts["commands"],
            databases=cuts["databases"],
            blocked=cuts["blocked"],
        )
        return bounded, folded


def fold(counts: Mapping[Key, int], kept: frozenset[Key], other: Key) -> dict[Key, int]:
    """The counts of those who have a slot, 0 among them, and of all others together where there are any."""
    bounded = {key: counts.get(key, 0) for key in sorted(kept)}
    rest = sum(count for key, count in counts.items() if key not in kept)
    if rest:
        bounded[other] = bounded.get(other, 0) + rest
    return bounded


def _fold_apps(apps: Mapping[str, AppClients], kept: frozenset[str]) -> dict[str, AppClients]:
    nobody = _nobody_beside(apps.values())
    bounded = {name: apps.get(name, nobody) for name in sorted(kept)}
    if rest := [app for name, app in apps.items() if name not in kept]:
        bounded[OTHER] = _together(rest)
    return bounded


def _nobody_beside(apps: Collection[AppClients]) -> AppClients:
    """An app without connections, on a server that tells as much as it does of these."""
    return AppClients(
        states={},
        memory_bytes=0 if any(app.memory_bytes is not None for app in apps) else None,
        oldest_idle_seconds=0,
        subscriptions=0 if any(app.subscriptions is not None for app in apps) else None,
        output_buffer_bytes=0 if any(app.output_buffer_bytes is not None for app in apps) else None,
    )


def _together(apps: Sequence[AppClients]) -> AppClients:
    states: dict[ClientState, int] = {}
    for app in apps:
        for state, count in app.states.items():
            states[state] = states.get(state, 0) + count
    return AppClients(
        states,
        _sum(app.memory_bytes for app in apps),
        max(app.oldest_idle_seconds for app in apps),
        _sum(app.subscriptions for app in apps),
        _sum(app.output_buffer_bytes for app in apps),
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    told = [number for number in numbers if number is not None]
    return sum(told) if told else None
