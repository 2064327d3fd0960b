"""The page of one target after one reading, without a server: each series with its number."""

import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from exporter.analyse.slots import count_slots
from exporter.board import Board
from exporter.metrics.exposition import Pages
from exporter.metrics.negotiation import Format
from exporter.metrics.own import OwnMetrics
from exporter.model import Access, Activity, Reading, RedisUrl, Target
from exporter.parse.info import parse_info
from exporter.report import TargetReport
from exporter.reporting import report_of

DATA = Path(__file__).parent / "data"
ORDERS = Target("orders", Access(RedisUrl("orders", 6379)))


def info_of(**fields: object) -> bytes:
    """A reply to INFO with these fields, and some clients."""
    told = {"connected_clients": 1} | fields
    return b"# X\r\n" + b"".join(f"{name}:{value}\r\n".encode() for name, value in told.items())


def reading_of(reply: bytes) -> Reading:
    info = parse_info(reply)
    return Reading(1.8e9, 0.001, info, count_slots(info, limit=None, known_nodes=None))


def report_on(*readings: Reading, after: float = 0.0) -> TargetReport:
    """What is told of the target so many seconds after the last of some readings, a second apart."""
    board = Board()
    board.set_targets([ORDERS])
    for number, reading in enumerate(readings):
        board.record(ORDERS.name, reading, Activity(), now=float(number), patience=10.0)
    (watch,) = board
    return report_of(watch, (readings[-1].at if readings else 0.0) + after, len(readings) - 1 + after)


def series_of(*readings: Reading) -> dict[str, float]:
    """By name and labels but `target`, as in `redis_target_state{state="ok"}`, after the last of them."""
    board = Board()
    pages = Pages(board, OwnMetrics())
    board.set_targets([ORDERS])
    pages.set_targets()
    for number, reading in enumerate(readings):
        board.record(ORDERS.name, reading, Activity(), now=float(number), patience=10.0)
    pages.update(ORDERS.name)
    text = asyncio.run(pages.page_of(ORDERS.name, Format.TEXT_0_0_4)).plain.decode()
    series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items() if key != "target")
            series[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return series
