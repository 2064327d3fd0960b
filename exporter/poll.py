"""One target's loop: when to ask what, and one Observation from each poll."""

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Callable

from exporter.analyse.slots import count_slots
from exporter.link import Link, LinkError
from exporter.model import Observation, Outage, Pace, Reading, State, Target
from exporter.parse import ReplyError
from exporter.parse.info import parse_cluster_known_nodes, parse_info

_FIRST_WITH_LINKS, _FIRST_THAT_TELLS = (6, 0), (6, 2)


async def poll_once(target: Target, link: Link, timeout: float) -> Observation:  # noqa: ASYNC109
    """Ask a server once. `timeout` (seconds) bounds connect, handshake and every reply together."""
    at, started = time.time(), time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            info = parse_info(await link.info())
            limit, known_nodes = target.max_clients, None
            with contextlib.suppress(LinkError):  # the link is closed then; what INFO told stands
                if info.count(b"maxclients") is None and info.count(b"max_clients") is None:
                    limit = await _configured_limit(link) or limit
                if info.count(b"cluster_enabled") and _FIRST_WITH_LINKS <= info.version < _FIRST_THAT_TELLS:
                    known_nodes = await _known_nodes(link)
                if not link.introduced:
                    await link.introduce(info.version)
    except TimeoutError:
        return Outage(at, time.monotonic() - started, State.TIMEOUT, f"no answer within {timeout:g} s")
    except LinkError as error:
        return Outage(at, time.monotonic() - started, error.state, error.detail)
    except ReplyError as error:
        link.close()
        return Outage(at, time.monotonic() - started, State.PROTOCOL, str(error))
    slots = count_slots(info, limit=limit, known_nodes=known_nodes)
    return Reading(at, time.monotonic() - started, info, slots, link.denied)


async def _configured_limit(link: Link) -> int | None:
    """Ask Redis before 6.2 for its limit; the reply is `[name, value]`."""
    match await link.ask_if_allowed("config|get", "CONFIG", "GET", "maxclients"):
        case [bytes(), bytes() as digits] if re.fullmatch(rb"[0-9]{1,10}", digits):
            return int(digits)
    return None


async def _known_nodes(link: Link) -> int | None:
    """Ask a cluster node of Redis 6.0, which counts its links against the limit and does not tell them."""
    reply = await link.ask_if_allowed("cluster|info", "CLUSTER", "INFO")
    return parse_cluster_known_nodes(reply) if isinstance(reply, bytes) else None


class Poller:
    """Polls one target for ever over one link, and hands itself and each observation to `report`.

    Target and pace may be changed while it runs.
    """

    def __init__(self, target: Target, pace: Pace, report: Callable[["Poller", Observation], None]) -> None:
        self.target = target
        self.pace = pace
        self.link = Link(target.access)
        self._report = report
        self._changed = asyncio.Event()

    def change(self, target: Target, pace: Pace) -> None:
        """Go on with other labels or another pace over the same connection, from now on."""
        self.target, self.pace = target, pace
        self._changed.set()

    async def run(self, first_delay: float) -> None:
        """Poll until cancelled; anything but a LinkError or ReplyError is a bug and ends the process."""
        try:
            await asyncio.sleep(first_delay)
            while True:
                started = time.monotonic()
                observation = await poll_once(self.target, self.link, self.pace.timeout)
                self._report(self, observation)
                await self._rest(started)
        finally:
            self.link.close()

    async def _rest(self, started: float) -> None:
        """Wait until the next poll is due, by the pace that is in force then."""
        chance = random.random()  # noqa: S311  no secret
        while (left := started + self.pace.gap(chance) - time.monotonic()) > 0:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()
