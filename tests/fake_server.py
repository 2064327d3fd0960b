"""A fake server's side of a conversation, for answers that no real server can be made to give."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

INFO_REPLY = b"$32\r\n# Clients\r\nconnected_clients:3\r\n\r\n"


async def commands(reader: asyncio.StreamReader) -> AsyncIterator[list[bytes]]:
    """Read the commands that come, one after the other, until the other side hangs up."""
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        yield words


def answering(reply: Callable[[list[bytes]], bytes | None]) -> Serve:
    """Serve with a function from a command to its answer; None hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for words in commands(reader):
            answer = reply(words)
            if answer is None:
                return
            writer.write(answer)

    return serve
