"""Long pieces are read one in each turn of the event loop, however many connections have one."""

import asyncio
import heapq
from weakref import WeakKeyDictionary

_Waiting = tuple[int, float, int, "asyncio.Future[None]"]


class _Turns:
    """Gives turns by level, and within one to whoever asked first; a turn ends with that of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._taken = False
        self._waiting: list[_Waiting] = []
        self._count = 0

    async def take(self, level: int, asked: float) -> None:
        if self._taken:
            self._count += 1
            mine = self._loop.create_future()
            heapq.heappush(self._waiting, (level, asked, self._count, mine))
            await mine
        else:
            self._taken = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            *_, next_one = heapq.heappop(self._waiting)
            if not next_one.done():  # cancelled: out of time
                next_one.set_result(None)
                self._loop.call_soon(self._next)
                return
        self._taken = False


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


async def take_turn(level: int, asked: float) -> None:
    """Wait until it is our turn to hold the loop for some milliseconds.

    The lowest level is first. Within a level it is the reply that was asked for first (monotonic) until it is
    whole: if all went on at the same time, none would be whole in time where there are too many of them.
    """
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns(loop)
    await turns.take(level, asked)
