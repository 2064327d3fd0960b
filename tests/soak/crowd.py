"""Clients that never have one name twice, at one server that many targets lead to."""

import asyncio
import contextlib
import random
import string
import uuid
from collections.abc import Sequence
from typing import Any

CLIENTS = 60
_TURN_SECONDS = 0.03  # in which each client has another name
_COMMANDS = (
    *("GET", "STRLEN", "TTL", "PTTL", "TYPE", "EXISTS", "DEL", "UNLINK", "PERSIST", "DUMP", "TOUCH"),
    *("HGETALL", "HLEN", "HKEYS", "HVALS", "LLEN", "LPOP", "RPOP"),
    *("SCARD", "SPOP", "SMEMBERS", "SRANDMEMBER", "ZCARD", "ZPOPMIN", "ZPOPMAX"),
)


class _Client(asyncio.Protocol):
    """Writes, and reads nothing of what comes."""

    transport: asyncio.WriteTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport


def draw_name(chance: random.Random) -> str:
    """Draw a name as pods have them, whose app is always the same, or one that is an app of its own."""
    if chance.random() < 0.5:
        return f"worker-{uuid.UUID(int=chance.getrandbits(128))}"
    return "".join(chance.choices(string.ascii_letters, k=16))


class Crowd:
    """Renames all its clients again and again; each also asks one of 25 commands."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(f"{seed} crowd")
        self._clients: Sequence[_Client] = ()
        self._renaming: asyncio.Task[None]

    async def start(self) -> "Crowd":
        """Connect them all, and begin."""
        loop = asyncio.get_running_loop()
        opened = [await loop.create_connection(_Client, "127.0.0.1", self._port) for _ in range(CLIENTS)]
        self._clients = [client for _, client in opened]
        self._renaming = asyncio.create_task(self._rename())
        return self

    async def stop(self) -> None:
        """Leave."""
        self._renaming.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._renaming
        for client in self._clients:
            client.transport.close()

    async def _rename(self) -> None:
        while True:
            for client in self._clients:
                name, command = draw_name(self._chance), self._chance.choice(_COMMANDS)
                client.transport.write(f"CLIENT SETNAME {name}\r\n{command} nobody\r\n".encode())
            await asyncio.sleep(_TURN_SECONDS)
