"""Bytes to values. Pure: no clock, no log, no settings."""

_FIRST_BYTES = 64


class ReplyError(Exception):
    """A reply that is not what its command promises; the text says what is missing, not what stood there."""


class GarbageError(Exception):
    """Bytes that no Redis server sends; `first` are the first of them, where they are at hand."""

    def __init__(self, first: bytes = b"") -> None:
        self.first = first[:_FIRST_BYTES]
        super().__init__()
