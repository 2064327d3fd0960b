"""Mutated replies from a server on loopback, to polls as the daemon makes them."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from random import Random

import uvloop

from exporter.connection.link import Link
from exporter.model import Access, ClientPlan, Outage, Pace, Reading, RedisUrl, Target
from exporter.poll.listing.lister import Lister
from exporter.poll.redis import poll_once
from tests.fake_server import commands
from tests.fuzz import mutations
from tests.fuzz.inside import Surprise, resident_bytes

_AT_ONCE = 20
_TIMEOUT = 1.0
_PLAN = ClientPlan(interval=60.0)


@dataclass
class Answered:
    """What came of the polls."""

    polls: int = 0
    readings: int = 0
    lists: int = 0
    replies: int = 0
    longest: float = 0.0


class _Server:
    """Answers INFO and CLIENT LIST with mutated replies, all else with OK; some it leaves in the middle."""

    def __init__(self, seed: int, answered: Answered) -> None:
        self._chances = Random(seed)
        self._answered = answered

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chances = self._chances
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            async for words in commands(reader):
                asked = b" ".join(words[:2]).upper()
                if asked.startswith(b"INFO"):
                    told = (
                        mutations.info(chances) if chances.random() < 0.5 else chances.choice(mutations.INFOS)
                    )
                elif asked == b"CLIENT LIST":
                    told = mutations.client_list(chances)
                else:
                    writer.write(b"+OK\r\n")
                    continue
                self._answered.replies += 1
                hurt = chances.random() < 0.3
                writer.write(mutations.frame(chances, told) if hurt else b"$%d\r\n%b\r\n" % (len(told), told))
                if hurt and chances.random() < 0.3:
                    break
        writer.transport.abort()


async def _poll(port: int, answered: Answered, polls: int) -> None:
    target = Target("t", Access(RedisUrl("127.0.0.1", port)))
    pace = Pace(2 * _TIMEOUT, _TIMEOUT)
    link = Link(target.access, pace)
    while answered.polls < polls:
        answered.polls += 1
        started = time.monotonic()
        observation = await poll_once(target, link, _TIMEOUT, Lister(_PLAN))  # one that lists at once
        answered.longest = max(answered.longest, time.monotonic() - started)
        match observation:
            case Reading():
                answered.readings += 1
                answered.lists += observation.clients is not None
            case Outage():
                link.close()
                link = Link(target.access, pace)
        await asyncio.sleep(0)
    link.close()


def run(seed: int, polls: int, most_bytes: int) -> Answered:
    """Poll so often.

    Raises:
        Surprise: a poll raised something, or took longer than its timeout, or memory grew.

    """
    answered = Answered()

    async def main() -> None:
        server = await asyncio.start_server(_Server(seed, answered).serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(_poll(port, answered, polls))

    before = resident_bytes()
    try:
        uvloop.run(main())
    except BaseExceptionGroup as error:
        raise Surprise(f"seed {seed}, poll {answered.polls}: {error.exceptions}") from error
    grown = resident_bytes() - before
    if grown > most_bytes:
        raise Surprise(f"seed {seed}: {grown / 1e6:.0f} MB more after {polls} polls")
    return answered
