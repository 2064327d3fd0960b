"""Hours of polls and lists within seconds: pollers, connections and pages are real, servers and time are not.

Time stands still while anything is to be done, and jumps to the next timer when nothing is.
"""

import asyncio
import gc
import re
import selectors
import time
import tracemalloc
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from exporter.analyse.pulse import WINDOW_SECONDS
from exporter.app import Fleet
from exporter.board import Board
from exporter.metrics.exposition import Pages
from exporter.metrics.own import OwnMetrics
from exporter.model import Access, ClientPlan, Pace, RedisUrl, Target

_CAPTURE = (Path(__file__).parent / "data" / "info-system-redis.txt").read_bytes()
# What rises from poll to poll, as wide as in the capture that stands around it.
_RISING = (b"total_connections_received", b"total_commands_processed", b"used_memory")
_INFO = re.sub(rb"(?m)^(%b):\d+" % b"|".join(_RISING), rb"\1:<rises>", _CAPTURE)
_ROW = (
    b"id=%d addr=10.0.0.%d:%d laddr=10.0.0.1:6379 fd=8 name=app-%c age=%d idle=%d flags=N db=0 sub=0 psub=0 "
    b"ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 "
    b"tot-mem=1928 events=r cmd=get user=default redir=-1 resp=2\n"
)
# All that is kept is there at the end: a list each minute for hours, then a beat each 10 s.
_SLOW, _PACE = (Pace(interval=seconds, timeout=2.0, grid=0.05) for seconds in (59.0, 5.0))
_PLAN = ClientPlan(interval=60.0)
_EACH = 3


class _Selector(selectors.DefaultSelector):
    """Lets the clock jump where the loop would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; without that it is as if the whole timeout had passed."""
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        return ready


class FakeServer(asyncio.Protocol):
    """Answers at once, of so many apps with some connections each; numbers rise from poll to poll."""

    def __init__(self, apps: int) -> None:
        self._apps = apps
        self._polls = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer whole commands; ours always come whole."""
        commands = data.upper().split(b"*")[1:]
        self._transport.write(b"".join(map(self._answer, commands)))

    def _answer(self, command: bytes) -> bytes:
        if b"INFO" in command and b"SETINFO" not in command:
            self._polls += 1
            return _bulk(_INFO.replace(b"<rises>", b"%d" % (100_000 + 7 * self._polls)))
        if b"LIST" in command:
            return _bulk(self._rows())
        if b"CONFIG" in command:
            return b"*0\r\n"
        return b":5\r\n" if b"\r\nID\r\n" in command else b"+OK\r\n"

    def _rows(self) -> bytes:
        """All clients; in each list one more of each app is idle, and one of each has come anew."""
        count = self._apps * _EACH
        return b"".join(
            _ROW
            % (
                10 + number + (self._apps * self._polls if number < self._apps else 0),
                number % 250,
                1024 + number,
                ord("a") + number % self._apps,
                5000,
                (number + self._polls) % 3,
            )
            for number in range(count)
        )


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


@dataclass(frozen=True, slots=True)
class Watched:
    """What some hours came to: bytes that are held for each target, and what was done for all of them.

    `delay` is by how many seconds polls began late, of a clock that stands still while anything is done.
    """

    memory: float
    delay: float
    polls: int
    failures: int
    named: int


def pass_hours(folder: Path, hours: float, *, targets: int, apps: int) -> Watched:
    """Watch some targets of so many apps, with a list a minute. The folder gets their sockets."""
    selector = _Selector()
    with (
        patch.object(time, "monotonic", lambda: selector.now),
        patch.object(time, "time", lambda: selector.now + 1.7e9),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner,
    ):
        return runner.run(_watch(folder, hours * 3600, targets, apps))


async def _watch(folder: Path, seconds: float, targets: int, apps: int) -> Watched:
    board = Board()
    async with AsyncExitStack() as stack:
        known, *watched = [await _target(stack, folder / str(number), apps) for number in range(targets + 1)]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        fleet = Fleet(tasks, board, Pages(board, OwnMetrics()))
        fleet.watch((known,), _SLOW, _PLAN)
        await asyncio.sleep(2 * _PLAN.interval)  # what all targets share is there then
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        fleet.watch(tuple(watched), _SLOW, _PLAN)
        await asyncio.sleep(seconds - WINDOW_SECONDS)
        fleet.watch(tuple(watched), _PACE, _PLAN)
        await asyncio.sleep(WINDOW_SECONDS)
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
        watches, delay = list(board), fleet.poll_delay
        fleet.watch((), _PACE, _PLAN)
    await asyncio.sleep(1)  # the servers see the connections end
    return Watched(
        memory / targets,
        delay,
        sum(watch.polls for watch in watches),
        sum(sum(watch.failures.values()) for watch in watches),
        sum(
            len(watch.reading.clients.groups.apps)
            for watch in watches
            if watch.reading and watch.reading.clients
        ),
    )


async def _target(stack: AsyncExitStack, socket: Path, apps: int) -> Target:
    """A server behind a unix socket: what is written there can be read at once, without any time."""
    loop = asyncio.get_running_loop()
    await stack.enter_async_context(await loop.create_unix_server(lambda: FakeServer(apps), socket))
    return Target(f"t{socket.name}", Access(RedisUrl(path=str(socket))))
