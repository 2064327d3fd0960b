"""A reply that comes in pieces, cut after whole rows."""

from exporter.limits import ROW_BYTES


class RowCutter:
    """Puts pieces together again and cuts them after the last whole row of each.

    What does not end within ROW_BYTES is no row: it is dropped to its end, and counted as one that cannot be
    read.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._in_dropped = False
        self.dropped = 0

    def cut(self, piece: bytes) -> bytes:
        """Take a piece, and give all rows that are whole by now."""
        if self._in_dropped:
            begin = piece.find(b"\n") + 1
            if not begin:
                return b""
            piece, self._in_dropped = piece[begin:], False
        end = piece.rfind(b"\n") + 1
        whole = self._rest + piece[:end] if end else b""
        self._rest = piece[end:] if end else self._rest + piece
        if len(self._rest) > ROW_BYTES:
            self._rest, self._in_dropped = b"", True
            self.dropped += 1
        return whole

    def end(self) -> bytes:
        """What is left when the reply is over."""
        rest, self._rest = self._rest, b""
        return rest
