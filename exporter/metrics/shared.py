"""What costs much to make is made seldom, and the same for all who want it meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from exporter.limits import PAGES_PER_SECOND

T = TypeVar("T")

_SHORTEST_SECONDS, _LONGEST_SECONDS = 1 / PAGES_PER_SECOND, 1.0
_TIMES_THE_MAKING = 4  # making thus takes a fifth of the time, while the longest allows that


class Shared(Generic[T]):
    """Makes something when it is asked for, and gives the same to all until it is a quarter second old.

    Where making takes long it lives longer, up to a second; and no longer than `edition` is the same.
    """

    def __init__(self, make: Callable[[], Awaitable[T]], edition: Callable[[], int]) -> None:
        self._make = make
        self._edition = edition
        self._making = asyncio.Lock()
        self._kept: tuple[int, T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """Take the newest one, or make one; who comes while it is being made waits for it."""
        async with self._making:
            begun, edition = time.monotonic(), self._edition()
            if self._kept is not None and self._kept[0] == edition and begun < self._until:
                return self._kept[1]
            self._kept = None  # two at a time would be twice as large
            made = await self._make()
            now = time.monotonic()
            lives = max(_SHORTEST_SECONDS, _TIMES_THE_MAKING * (now - begun))
            self._kept, self._until = (edition, made), now + min(_LONGEST_SECONDS, lives)
            return made
