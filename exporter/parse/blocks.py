"""A reply that comes in pieces, cut after whole rows."""

from exporter.limits import ROW_BYTES


class RowCutter:
    """Puts pieces together again and cuts them after the last whole row of each.

    What does not end within ROW_BYTES is no row: it is dropped, and counted as one that cannot be read.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.dropped = 0

    def cut(self, piece: bytes) -> bytes:
        """Take a piece, and give all rows that are whole by now."""
        end = piece.rfind(b"\n") + 1
        if not end:
            self._rest += piece
            if len(self._rest) > ROW_BYTES:
                self._rest = b""
                self.dropped += 1
            return b""
        whole, self._rest = self._rest + piece[:end], piece[end:]
        return whole

    def end(self) -> bytes:
        """What is left when the reply is over."""
        rest, self._rest = self._rest, b""
        return rest
