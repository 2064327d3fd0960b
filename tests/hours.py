"""Hours of polls and lists within seconds: pollers, connections and pages are real, servers and time are not.

Time stands still while anything is to be done, and jumps to the next timer when nothing is.
"""

import asyncio
import gc
import json
import selectors
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

from exporter import threads
from exporter.analyse.pulse import WINDOW_SECONDS
from exporter.app import Fleet
from exporter.board import Board
from exporter.metrics.exposition import Pages
from exporter.metrics.own import OwnMetrics
from exporter.model import Access, ClientPlan, Pace, RedisUrl, Target
from tests.cheap_server import CheapServer
from tests.daemon import ROOT

# All that is kept is there at the end: a list each minute for hours, then a beat each 10 s.
_SLOW, _PACE = (Pace(interval=seconds, timeout=2.0, grid=0.05) for seconds in (59.0, 5.0))
_PLAN = ClientPlan(interval=60.0)


class _Selector(selectors.DefaultSelector):
    """Lets the clock jump where the loop would sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; without that it is as if the whole timeout had passed."""
        ready = super().select(0)
        while not ready and threads.running():  # which take time of the world
            ready = super().select(0.01)
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        return ready


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


def pass_hours(
    folder: Path, hours: float, *, targets: int, apps: int, memory: Callable[[], int] | None = None
) -> Watched:
    """Watch some targets of so many apps, with a list a minute. The folder gets their sockets.

    Memory is what Python has allocated, unless another way to measure that of the process is given.
    """
    selector = _Selector()
    with (
        patch.object(time, "monotonic", lambda: selector.now),
        patch.object(time, "time", lambda: selector.now + 1.7e9),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner,
    ):
        return runner.run(_watch(folder, hours * 3600, targets, apps, memory))


def pass_hours_alone(folder: Path, hours: float, *, apps: int) -> Watched:
    """Watch one target in a new process, where nothing is remembered of what was before."""
    command = [sys.executable, "-m", "tests.hours", str(folder), str(hours), str(apps)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return Watched(**json.loads(done.stdout))


async def _watch(
    folder: Path, seconds: float, targets: int, apps: int, memory: Callable[[], int] | None
) -> Watched:
    board = Board()
    async with AsyncExitStack() as stack:
        known, *watched = [await _target(stack, folder / str(number), apps) for number in range(targets + 1)]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        fleet = Fleet(tasks, board, Pages(board, OwnMetrics()))
        fleet.watch((known,), _SLOW, _PLAN)
        await asyncio.sleep(1900)  # what all targets share is there then, labels of all windows too
        if memory is None:
            tracemalloc.start()
            stack.callback(tracemalloc.stop)
        look = memory or (lambda: tracemalloc.get_traced_memory()[0])
        before = look()
        fleet.watch(tuple(watched), _SLOW, _PLAN)
        await asyncio.sleep(seconds - WINDOW_SECONDS)
        fleet.watch(tuple(watched), _PACE, _PLAN)
        await asyncio.sleep(WINDOW_SECONDS)
        gc.collect()
        held = look() - before
        watches, delay = list(board), fleet.poll_delay
        fleet.watch((), _PACE, _PLAN)
    await asyncio.sleep(1)  # the servers see the connections end
    return Watched(
        held / targets,
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
    await stack.enter_async_context(await loop.create_unix_server(lambda: CheapServer(apps), socket))
    return Target(f"t{socket.name}", Access(RedisUrl(path=str(socket))))


if __name__ == "__main__":
    after = pass_hours(Path(sys.argv[1]), float(sys.argv[2]), targets=1, apps=int(sys.argv[3]))
    print(json.dumps(asdict(after)))
