"""One target's loop: when to ask what, and one Observation from each poll."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace

from exporter.analyse.asking import in_commands, parameters_to_ask
from exporter.analyse.slots import count_slots
from exporter.link import Link, LinkError, Reply
from exporter.model import (
    Activity,
    ClientPlan,
    Observation,
    Outage,
    Pace,
    Reading,
    ServerConfig,
    ServerInfo,
    State,
    Survey,
    Target,
)
from exporter.parse import ReplyError
from exporter.parse.config import parse_config
from exporter.parse.info import parse_cluster_known_nodes, parse_info
from exporter.survey import Surveyor

_TICK_SECONDS = 0.001  # of uvloop's timers, which may be early by less than one
_CONFIG_SECONDS = 60.0  # for which an answer to CONFIG GET is used
_FIRST_WITH_LINKS, _FIRST_THAT_TELLS = (6, 0), (6, 2)


async def poll_once(
    target: Target,
    link: Link,
    timeout: float,  # noqa: ASYNC109
    surveyor: Surveyor | None = None,
) -> Observation:
    """Ask a server once. `timeout` (seconds) bounds connect, handshake and every reply together.

    Its clients are asked for last: that this fails costs only them.
    """
    at, started = time.time(), time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            info = parse_info(await link.info())
            config, known_nodes = ServerConfig(), None
            with contextlib.suppress(LinkError):  # the link is closed then; what INFO told stands
                config = await _server_config(link, info, target.access.username)
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
    limit, reserved = config.max_clients or target.max_clients, target.max_clients_reserved
    if reserved is None:
        reserved = config.reserved
    slots = count_slots(info, limit=limit, known_nodes=known_nodes, reserved=reserved)
    clients = await _survey(surveyor, link, info, started + timeout) if surveyor is not None else None
    return Reading(at, time.monotonic() - started, info, slots, link.denied, clients, config)


async def _survey(surveyor: Surveyor, link: Link, info: ServerInfo, deadline: float) -> Survey | None:
    """Ask for the clients in what time is left; None where there is no list that may be shown."""
    if not surveyor.is_due(link):
        return surveyor.newest()
    left = deadline - time.monotonic()
    try:
        async with asyncio.timeout(left):
            return await surveyor.survey(link, info, until=deadline - left / 2)
    except (TimeoutError, LinkError):
        return None  # the link is closed then; the next poll says what is wrong


async def _server_config(link: Link, info: ServerInfo, username: str | None) -> ServerConfig:
    """What CONFIG GET tells, where it is to be asked; the link keeps the answer for a minute."""
    now = time.monotonic()
    fresh = now < link.config_until
    parameters = parameters_to_ask(info, username, fresh=fresh)
    words: list[Reply] = []
    for each in in_commands(parameters, info.version):
        reply = await link.ask_if_allowed("config|get", "CONFIG", "GET", *each)
        words += reply if isinstance(reply, list) else []
    told = parse_config(words)
    if fresh:
        return replace(link.config, max_clients=told.max_clients)
    link.config, link.config_until = told, now + _CONFIG_SECONDS
    return told


async def _known_nodes(link: Link) -> int | None:
    """Ask a cluster node of Redis 6.0, which counts its links against the limit and does not tell them."""
    reply = await link.ask_if_allowed("cluster|info", "CLUSTER", "INFO")
    return parse_cluster_known_nodes(reply) if isinstance(reply, bytes) else None


class Poller:
    """Polls one target for ever over one link, and hands itself and each observation to `report`.

    Target, pace and plan may be changed while it runs.
    """

    def __init__(
        self,
        target: Target,
        pace: Pace,
        plan: ClientPlan,
        report: Callable[["Poller", Observation], None],
    ) -> None:
        self.target = target
        self.pace = pace
        self.link = Link(target.access)
        self._plan = plan
        self._surveyor = Surveyor(plan)
        self._report = report
        self._changed = asyncio.Event()

    @property
    def activity(self) -> Activity:
        """What was done for the target so far."""
        return Activity(connects=self.link.connects)

    def change(self, target: Target, pace: Pace, plan: ClientPlan) -> None:
        """Go on with other labels, pace or plan over the same connection, from now on.

        Another plan makes other groups of the clients, so their history begins anew.
        """
        self.target, self.pace = target, pace
        if plan != self._plan:
            self._plan, self._surveyor = plan, Surveyor(plan)
        self._changed.set()

    async def run(self, first_delay: float) -> None:
        """Poll until cancelled; anything but a LinkError or ReplyError is a bug and ends the process."""
        try:
            await asyncio.sleep(first_delay)
            while True:
                started = time.monotonic()
                observation = await poll_once(self.target, self.link, self.pace.timeout, self._surveyor)
                self._report(self, observation)
                await self._rest(started)
        finally:
            self.link.close()

    async def _rest(self, started: float) -> None:
        """Wait until the next poll is due, by the pace that is in force then."""
        chance = random.random()  # noqa: S311  no secret
        while (left := started + self.pace.gap(chance) - time.monotonic()) > 0:
            self._changed.clear()
            alarm = asyncio.get_running_loop().call_later(left + _TICK_SECONDS, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                alarm.cancel()
