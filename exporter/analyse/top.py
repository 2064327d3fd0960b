"""Bounded groups: the biggest have a slot of their own and keep it, the rest are `other`."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

OTHER = "other"
KEPT_SECONDS = 3600.0

_DISPLACES_AT = 2.0  # a newcomer takes the slot of one that is less than half as big
_AT_LEAST = 10

Key = TypeVar("Key", bound=Hashable)


class StickyTop(Generic[Key]):
    """Gives out a fixed number of slots; one is free again when its group had nobody for an hour.

    So a group that comes and goes makes no new series. Only when every slot is taken may a newcomer displace
    the smallest group, if it is at least twice as big: the app that leaks must be named whatever came before
    it. There are no more displacements in an hour than slots.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: dict[Key, float] = {}
        self._displaced: list[float] = []
        self._chosen: frozenset[Key] = frozenset()

    def choose(self, counts: Mapping[Key, int], now: float) -> frozenset[Key]:
        """The groups that have a slot after a list with these counts, at a moment (monotonic seconds)."""
        if len(counts) <= self._size and counts.keys() == self._seen.keys():  # the same as ever
            self._seen = dict.fromkeys(self._seen, now)
            return self._chosen
        seen = {key: at for key, at in self._seen.items() if at > now - KEPT_SECONDS}
        seen |= {key: now for key in seen if counts.get(key)}
        others = sorted((key for key in counts if key not in seen), key=lambda key: -counts[key])
        free = self._size - len(seen)
        seen |= dict.fromkeys(others[: max(free, 0)], now)
        self._displaced = [at for at in self._displaced if at > now - KEPT_SECONDS]
        for key in others[max(free, 0) :]:
            smallest = min(seen, key=lambda each: counts.get(each, 0), default=None)
            big_enough = smallest is not None and counts[key] >= max(
                _AT_LEAST, _DISPLACES_AT * counts.get(smallest, 0)
            )
            if smallest is None or not big_enough or len(self._displaced) >= self._size:
                break
            del seen[smallest]
            seen[key] = now
            self._displaced.append(now)
        self._seen, self._chosen = seen, frozenset(seen)
        return self._chosen
