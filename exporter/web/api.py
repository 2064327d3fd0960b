"""What is told of targets, as JSON; docs/api.md describes it."""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

from exporter.board import Board, Watch
from exporter.limits import TARGETS_SHARED
from exporter.metrics.shared import Shared
from exporter.poll import bugs
from exporter.report import API_VERSION, TargetAnswer, TargetReport, TargetsAnswer
from exporter.reporting import bare_report, report_of

_TARGETS_AT_ONCE = 4  # then the loop turns

log = logging.getLogger(__name__)


def safe_report(watch: Watch, at: float, now: float, *, whole: bool = True) -> TargetReport:
    """Report on a target; one that cannot be told of costs no other. For the arguments see report_of."""
    try:
        return report_of(watch, at, now, whole=whole)
    except Exception as error:
        if bugs.are_raised():
            raise
        log.exception("target not told of", extra={"fields": {"target": watch.target.name}})
        return bare_report(watch, bugs.explain_bug(error))


async def reports(watches: Iterable[Watch]) -> AsyncIterator[TargetReport]:
    """Report on targets without their instances, and let the loop turn now and then."""
    at, now = time.time(), time.monotonic()
    for number, watch in enumerate(tuple(watches)):
        if number % _TARGETS_AT_ONCE == 0:
            await asyncio.sleep(0)
        yield safe_report(watch, at, now, whole=False)


class Api:
    """Makes the answers of the API; who asks for the same within a moment shares one."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._all = Shared(self._make_all, self._edition)
        self._each: OrderedDict[str, Shared[bytes]] = OrderedDict()

    async def targets(self) -> bytes:
        """All targets."""
        return await self._all.get()

    async def target(self, name: str) -> bytes | None:
        """One target, with the instances of its apps; None where there is none of that name."""
        if self._board.get(name) is None:
            return None
        shared = self._each.pop(name, None) or Shared(partial(self._make_one, name), self._edition)
        self._each[name] = shared
        if len(self._each) > TARGETS_SHARED:
            self._each.popitem(last=False)
        return await shared.get() or None

    def _edition(self) -> int:
        return self._board.edition

    async def _make_all(self) -> bytes:
        texts = [_encode(report) async for report in reports(self._board)]
        frame = _encode(TargetsAnswer(API_VERSION, time.time(), ()))
        head, tail = frame.rsplit(b"[]", 1)
        return b"%b[%b]%b\n" % (head, b", ".join(texts), tail)

    async def _make_one(self, name: str) -> bytes:
        watch = self._board.get(name)
        if watch is None:  # a reload has come in between
            return b""
        at = time.time()
        report = safe_report(watch, at, time.monotonic())
        return _encode(TargetAnswer(API_VERSION, at, report)) + b"\n"


def _encode(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


def _as_mapping(report: Any) -> dict[str, object]:  # noqa: ANN401  any class of report.py, which have slots
    """Take a report apart; dataclasses.asdict would copy all that it holds."""
    return {name: getattr(report, name) for name in report.__slots__}


_ENCODER = json.JSONEncoder(default=_as_mapping, allow_nan=False, check_circular=False)
