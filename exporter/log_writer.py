"""Lines for a reader who may stall: a bounded queue, and a thread that writes. What is too much is lost."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from exporter.limits import LOG_WAITING_BYTES

_AT_ONCE_BYTES = 64 * 1024
_AGAIN_SECONDS = 1.0  # after a write that failed


class Writer:
    """A bounded queue of lines for a file descriptor, and the daemon thread that empties it.

    `about_drops` makes the line that says how many were dropped; it follows as soon as there is room again.

    Raises:
        OSError: the system starts no more threads for this process.

    """

    def __init__(self, descriptor: int, about_drops: Callable[[int], str]) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._about_drops = about_drops
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._bytes = self._untold = 0
        self._writing = False
        try:
            threading.Thread(target=self._write_for_ever, name="log", daemon=True).start()
        except RuntimeError as error:
            raise OSError(f"no thread can be started for the log: {error}") from None

    def put(self, line: str) -> None:
        """Hand over a line; never waits."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._changed:
            if self._bytes + len(data) > LOG_WAITING_BYTES:
                self.dropped += 1
                self._untold += 1
                return
            self._lines.append(data)
            self._bytes += len(data)
            self._changed.notify_all()

    def flush(self, within: float) -> None:
        """Wait until all is written, for so many seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._lines or self._writing), within)

    def _write_for_ever(self) -> None:
        while True:
            data = self._take()
            while data and (written := self._write(data)) is not None:
                data = data[written:]
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _take(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._lines)
            self._writing = True
            taken: list[bytes] = []
            size = 0
            while self._lines and size < _AT_ONCE_BYTES:
                taken.append(self._lines.popleft())
                size += len(taken[-1])
            self._bytes -= size
            if self._untold and not self._lines:
                taken.append(self._about_drops(self._untold).encode() + b"\n")
                self._untold = 0
            return b"".join(taken)

    def _write(self, data: bytes) -> int | None:
        """Write some of it; None when it cannot be written at all: it is lost then."""
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # whoever started us has made it so; others may share it, so it stays so
            select.select([], [self._descriptor], [], _AGAIN_SECONDS)
            return 0
        except OSError:  # nobody reads it any more, or the disk is full
            with self._changed:
                self.dropped += data.count(b"\n")
            time.sleep(_AGAIN_SECONDS)  # of this thread alone: a write would fail again at once
            return None
