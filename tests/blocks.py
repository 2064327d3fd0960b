"""Whole replies of CLIENT LIST, cut up and read as the product reads them while they come."""

from collections.abc import Iterator

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
