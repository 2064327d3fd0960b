"""Something that is read beside the loop every so often: a file, a name."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from exporter.connection.errors import LinkError

T = TypeVar("T")


class Recurring(Generic[T]):
    """Reads again and again, one reading at a time however long it takes. A failed reading is no news."""

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float, first: float) -> None:
        self._read = read
        self._seconds = seconds
        self._due = first
        self._reading: asyncio.Future[T] | None = None

    def soon(self) -> None:
        """Read anew at the next look, whatever was read or is being read now."""
        self.close()
        self._due = 0.0

    def news(self, now: float) -> T | None:
        """What was read since the last look, or None; begins the next reading when it is due (monotonic)."""
        found: T | None = None
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            with contextlib.suppress(LinkError, OSError, asyncio.CancelledError):
                found = reading.result()
        if self._reading is None and now >= self._due:
            self._due = now + self._seconds
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(_look_at)
        return found

    def close(self) -> None:
        """Give up what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


def _look_at(reading: "asyncio.Future[Any]") -> None:
    """See a failure that nobody may ask for, or asyncio reports it as forgotten."""
    if not reading.cancelled():
        reading.exception()
