"""The rows of one list, counted while they come."""

from exporter.analyse.groups import Tally
from exporter.limits import LIST_ROWS
from exporter.parse.blocks import RowCutter
from exporter.parse.clients import BLOCK_BYTES, RowReader

_ENOUGH_BYTES = BLOCK_BYTES // 2  # less waits for more, as each block costs something however short it is


class Counting:
    """Counts the rows of one list, in blocks of some size whatever pieces its replies come in."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._reader = RowReader()
        self._cutter = RowCutter()
        self._waiting = b""

    def take(self, piece: bytes) -> None:
        """Take the next piece of a reply."""
        self._waiting += self._cutter.cut(piece)
        if len(self._waiting) >= _ENOUGH_BYTES:
            self.count()

    def end_reply(self) -> None:
        """Take note that a reply is over."""
        if rest := self._cutter.end():
            self._waiting += rest + b"\n"
        self.tally.add((), self._cutter.dropped)
        self._cutter = RowCutter()

    def count(self) -> None:
        """Count what waits."""
        rows, self._waiting = self._waiting, b""
        if rows and self.tally.total < LIST_ROWS:
            self.tally.add(*self._reader.read(rows))
        elif rows:
            self.tally.add((), rows.count(b"\n"))
