"""Bytes to values. Pure: no clock, no log, no settings."""


class ReplyError(Exception):
    """A reply that is not what its command promises; the text says what is missing, not what stood there."""


class GarbageError(Exception):
    """Bytes that no Redis server sends."""
