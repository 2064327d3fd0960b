"""Whole replies of CLIENT LIST, cut up and read as the product reads them while they come."""

from collections.abc import Iterator

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.model import ServerInfo
from exporter.parse.clients import BLOCK_BYTES, Row, RowReader


def split_blocks(reply: bytes) -> Iterator[bytes]:
    """Cut a reply after whole rows into blocks of about BLOCK_BYTES; one row is never cut."""
    start = 0
    while start < len(reply):
        end = reply.find(b"\n", start + BLOCK_BYTES) + 1 or len(reply)
        yield reply[start:end]
        start = end


def read_rows(reply: bytes) -> tuple[list[Row], int]:
    """Read a list of one block."""
    return RowReader().read(reply)


def take(history: History, tally: Tally, info: ServerInfo, *, ours: int = 0, now: float = 0.0) -> None:
    """Let a history take the next list, all steps at once."""
    for _ in history.take(tally, info, ours, now):
        pass
