"""Many servers in one thread, which all give the same answers."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tests.fake_server import commands
from tests.strange import Answer


@contextlib.contextmanager
def many_servers(count: int, answer: Answer) -> Iterator[tuple[int, ...]]:
    """Answer each command by a function until the block ends; yields the ports."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    ports: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for words in commands(reader):
                writer.write(answer(words))
                await writer.drain()
        writer.transport.abort()

    async def main() -> None:
        servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for _ in range(count)]
        ports.extend(server.sockets[0].getsockname()[1] for server in servers)
        ready.set()
        await over.wait()
        for server in servers:
            server.close()

    def run() -> None:
        loop.run_until_complete(main())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield tuple(ports)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
