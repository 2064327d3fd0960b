"""The clients that make trouble: idle ones, waiting ones, and an app that leaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable


@contextlib.asynccontextmanager
async def _client(port: int, name: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"CLIENT SETNAME {name}\r\n".encode())
        yield reader, writer
    finally:
        writer.transport.abort()


async def busy_client(port: int, name: str, pause: float) -> None:
    """Run a small command, rest for so many seconds, and again."""
    async with _client(port, name) as (reader, writer):
        while True:
            writer.write(b"INCR visits\r\n")
            await reader.readline()
            await asyncio.sleep(pause)


async def waiting_client(port: int, name: str, timeout: int) -> None:  # noqa: ASYNC109  Redis's own timeout
    """Wait in BLPOP for a list that nobody fills; 0 is for ever."""
    async with _client(port, name) as (reader, writer):
        while True:
            writer.write(f"BLPOP jobs {timeout}\r\n".encode())
            await reader.readline()


async def idle_client(port: int, name: str) -> None:
    """Connect, say a name, and never use the connection again."""
    async with _client(port, name) as (reader, _):
        await reader.read()


async def leaking_app(port: int, name: str, pause: float, when_full: Callable[[str], None]) -> None:
    """Open a connection every so many seconds and never close one; when refused, say so and try on."""
    told = False
    async with contextlib.AsyncExitStack() as leaked:
        while True:
            reader, writer = await leaked.enter_async_context(_client(port, name))
            answer = (await reader.readline()).decode(errors="replace").strip()
            if answer.startswith("-"):
                writer.close()
                if not told:
                    when_full(answer)
                    told = True
                await asyncio.sleep(1)
            await asyncio.sleep(pause)
