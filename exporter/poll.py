"""One target's loop: when to ask what, and one Observation from each poll."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

from exporter.analyse.slots import count_slots
from exporter.link import Link, LinkError, Reply
from exporter.model import Observation, Outage, Pace, Reading, ServerInfo, State, Target
from exporter.parse import ReplyError
from exporter.parse.info import parse_cluster_known_nodes, parse_info

_FIRST_WITH_LINKS, _FIRST_THAT_TELLS = (6, 0), (6, 2)


async def poll_once(target: Target, link: Link, timeout: float) -> Observation:  # noqa: ASYNC109
    """Ask a server once. `timeout` (seconds) bounds connect, handshake and every reply together."""
    at, started = time.time(), time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            info = parse_info(await link.info())
            slots = count_slots(info, **await _what_info_lacks(target, link, info))
            if not link.introduced:
                await _introduce(link, info)
    except TimeoutError:
        return Outage(at, time.monotonic() - started, State.TIMEOUT, f"no answer within {timeout:g} s")
    except LinkError as error:
        return Outage(at, time.monotonic() - started, error.state, error.detail)
    except ReplyError as error:
        link.close()
        return Outage(at, time.monotonic() - started, State.PROTOCOL, str(error))
    return Reading(at, time.monotonic() - started, info, slots, link.denied)


async def _introduce(link: Link, info: ServerInfo) -> None:
    """Introduce us; what INFO told stands even when the server hangs up on that."""
    try:
        await link.introduce(info.version)
    except LinkError:
        link.close()


async def _what_info_lacks(target: Target, link: Link, info: ServerInfo) -> dict[str, int | None]:
    """Ask Redis before 6.2 for its limit and cluster nodes, which INFO tells only since then.

    Redis 5 does not count cluster links against its limit, so there they are not asked for.
    """
    limit, known_nodes = target.max_clients, None
    if info.count(b"maxclients") is None and info.count(b"max_clients") is None:
        reply = await link.ask_if_allowed("config|get", "CONFIG", "GET", "maxclients")
        limit = _second_number(reply) or limit
    if info.count(b"cluster_enabled") and _FIRST_WITH_LINKS <= info.version < _FIRST_THAT_TELLS:
        nodes = await link.ask_if_allowed("cluster|info", "CLUSTER", "INFO")
        known_nodes = parse_cluster_known_nodes(nodes) if isinstance(nodes, bytes) else None
    return {"limit": limit, "known_nodes": known_nodes}


def _second_number(reply: Reply) -> int | None:
    """The value in a CONFIG GET reply: `[name, value]`."""
    match reply:
        case [bytes(), bytes() as digits] if digits.isdigit():
            return int(digits)
    return None


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
