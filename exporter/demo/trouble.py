"""The clients that make trouble: idle ones, waiting ones, and an app that leaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

LEAK_PAUSE_SECONDS = 0.2

Place = tuple[str, int]  # host and port


def trouble(
    orders: Place, queue: Place, sessions: Place, when_full: Callable[[str], None]
) -> list[Coroutine[object, object, None]]:
    """The clients of three servers: of a healthy one, one where many wait, and one that fills up."""
    return [
        *(busy_client(orders, f"checkout-{n % 4}", 0.1 + n / 50) for n in range(20)),
        *(waiting_client(queue, "mail-worker", timeout) for timeout in (0, 0, 0, 0, 0, 0, 0, 5, 5, 5, 5, 5)),
        *(idle_client(queue, "report-pool") for _ in range(15)),
        *(busy_client(sessions, "login", 0.5) for _ in range(10)),
        leaking_app(sessions, "cart-service", LEAK_PAUSE_SECONDS, when_full),
    ]


@contextlib.asynccontextmanager
async def _client(
    server: Place, name: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect and say a name; that the server goes away ends the client's part, and nothing else."""
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(f"CLIENT SETNAME {name}\r\n".encode())
        with contextlib.suppress(ConnectionError):
            yield reader, writer
    finally:
        writer.transport.abort()


async def busy_client(server: Place, name: str, pause: float) -> None:
    """Run a small command, rest for so many seconds, and again."""
    async with _client(server, name) as (reader, writer):
        while await reader.readline():
            await asyncio.sleep(pause)
            writer.write(b"INCR visits\r\n")


async def waiting_client(server: Place, name: str, timeout: int) -> None:  # noqa: ASYNC109  Redis's own timeout
    """Wait in BLPOP for a list that nobody fills; 0 is for ever."""
    async with _client(server, name) as (reader, writer):
        while await reader.readline():
            writer.write(f"BLPOP jobs {timeout}\r\n".encode())


async def idle_client(server: Place, name: str) -> None:
    """Connect, say a name, and never use the connection again."""
    async with _client(server, name) as (reader, _):
        await reader.read()


async def leaking_app(server: Place, name: str, pause: float, when_full: Callable[[str], None]) -> None:
    """Open a connection every so many seconds and never close one; when refused, say so and try on."""
    told = False
    async with contextlib.AsyncExitStack() as leaked:
        while True:
            answer = ""
            with contextlib.suppress(OSError):
                async with contextlib.AsyncExitStack() as attempt:
                    reader, _ = await attempt.enter_async_context(_client(server, name))
                    answer = (await reader.readline()).decode(errors="replace").strip()
                    if answer.startswith("+"):
                        leaked.push_async_exit(attempt.pop_all())
            if answer.startswith("-") and not told:
                when_full(answer)
                told = True
            await asyncio.sleep(pause if answer.startswith("+") else 1)
