"""Clients that want every slot of a full server, and try again 30 ms after each refusal."""

import asyncio
import contextlib

_RETRY_SECONDS = 0.03
_ANSWER_SECONDS = 1.0
_AT_ONCE = 2


class Hungry:
    """So many clients at the most hold a slot; two at a time try to get one more."""

    def __init__(self, port: int, most: int) -> None:
        self._port = port
        self._most = most
        self._held: list[asyncio.StreamWriter] = []
        self._eating = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.refused = 0

    @property
    def held(self) -> int:
        """How many slots they have now."""
        return len(self._held)

    async def start(self) -> "Hungry":
        """Be there, and want nothing until eat() is called."""
        self._tasks = [asyncio.create_task(self._want()) for _ in range(_AT_ONCE)]
        return self

    async def make_room(self, slots: int) -> None:
        """Give up some slots, and want none until eat() is called."""
        self._eating.clear()
        for _ in range(min(slots, len(self._held))):
            self._held.pop().close()

    async def eat(self) -> None:
        """Want every slot again."""
        self._eating.set()

    async def stop(self) -> None:
        """Leave, all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.make_room(len(self._held))

    async def _want(self) -> None:
        while True:
            await self._eating.wait()
            if len(self._held) < self._most:
                await self._try()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _try(self) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            fed = False
            try:
                writer.write(b"PING\r\n")
                async with asyncio.timeout(_ANSWER_SECONDS):  # a TimeoutError is an OSError
                    fed = (await reader.read(64)).startswith(b"+PONG")
                self.refused += not fed
            finally:
                if fed and self._eating.is_set():
                    self._held.append(writer)
                else:
                    writer.transport.abort()
