"""Polls one Redis or Valkey server once."""

import asyncio
import contextlib
import time
from dataclasses import replace

from exporter.analyse.asking import in_commands, parameters_to_ask
from exporter.analyse.slots import count_slots
from exporter.connection.errors import LinkError
from exporter.connection.link import Link
from exporter.connection.session import Session
from exporter.model import Observation, Outage, Reading, ServerConfig, ServerInfo, Slots, State, Target
from exporter.parse import ReplyError
from exporter.parse.config import parse_config
from exporter.parse.info import parse_cluster_known_nodes, parse_info
from exporter.poll.listing.lister import Lister
from exporter.poll.steps import Steps

_CONFIG_SECONDS = 60.0  # for which an answer to CONFIG GET is used
_FIRST_WITH_LINKS, _FIRST_THAT_TELLS = (6, 0), (6, 2)


async def poll_once(
    target: Target,
    link: Link,
    timeout: float,  # noqa: ASYNC109
    lister: Lister | None = None,
) -> Observation:
    """Ask a server once. `timeout` (seconds) bounds every reply together; connecting may go on after it.

    INFO comes first. Nothing else is begun with less than half of the time left, and that it fails costs only
    itself; the clients are asked for last.
    """
    at, started = time.time(), time.monotonic()
    deadline, steps = started + timeout, Steps(started)
    try:
        async with asyncio.timeout(timeout):
            reply = await _ask_info(link, steps, started)
            with steps.step("read INFO"):
                info = parse_info(reply)
    except TimeoutError:
        detail = "; ".join(filter(None, (f"no answer within {timeout:g} s", link.progress)))
        return Outage(at, time.monotonic() - started, State.TIMEOUT, detail, steps.all())
    except LinkError as error:
        return Outage(at, time.monotonic() - started, error.state, error.detail, steps.all())
    except ReplyError as error:
        link.drop()
        return Outage(at, time.monotonic() - started, State.PROTOCOL, str(error), steps.all())
    session, may_begin_until = link.session, started + timeout / 2
    if session is not None and time.monotonic() < may_begin_until:
        # It may be late, or cost the connection: what INFO told stands.
        with contextlib.suppress(LinkError, TimeoutError):
            async with asyncio.timeout(deadline - time.monotonic()):
                await _ask_more(session, info, target.access.username, steps)
    slots = _slots(target, info, session)
    link.near_limit = slots.near_limit
    if (
        lister is not None
        and session is not None
        and not session.closed
        and time.monotonic() < may_begin_until
        and lister.is_due(session, info, slots.utilization)
    ):
        await lister.list_clients(session, info, link.accepted, deadline, steps)
        link.reopen()
    return Reading(
        at,
        time.monotonic() - started,
        info,
        slots,
        denied=session.denied if session is not None else frozenset(),
        clients=lister.newest() if lister is not None else None,
        config=session.config if session is not None else ServerConfig(),
        steps=steps.all(),
    )


async def _ask_info(link: Link, steps: Steps, started: float) -> bytes:
    """Ask INFO; what it took to connect first, if that was done, is noted step by step."""
    before = link.session
    try:
        with steps.step("INFO"):
            return await link.info()
    finally:
        if link.session is None or link.session is not before:
            steps.connected(link.opening_since(started))


async def _ask_more(session: Session, info: ServerInfo, username: str | None, steps: Steps) -> None:
    """Ask what INFO does not tell, and say who we are; the session keeps the answers."""
    await _ask_config(session, info, username, steps)
    if info.count(b"cluster_enabled") and _FIRST_WITH_LINKS <= info.version < _FIRST_THAT_TELLS:
        with steps.step("CLUSTER INFO"):
            session.known_nodes = await _known_nodes(session)
    if not session.introduced:
        with steps.step("CLIENT SETNAME and others"):
            await session.introduce(info.version)


def _slots(target: Target, info: ServerInfo, session: Session | None) -> Slots:
    """Count the slots by INFO, by what the session keeps, and by the settings."""
    config = session.config if session is not None else ServerConfig()
    known_nodes = session.known_nodes if session is not None else None
    reserved = config.reserved if target.max_clients_reserved is None else target.max_clients_reserved
    limit = config.max_clients or target.max_clients
    return count_slots(info, limit=limit, known_nodes=known_nodes, reserved=reserved)


async def _ask_config(session: Session, info: ServerInfo, username: str | None, steps: Steps) -> None:
    """Ask CONFIG GET where it is to be asked; an answer is used for a minute, the limit for one poll."""
    now = time.monotonic()
    fresh = now < session.config_until
    parameters = parameters_to_ask(info, username, fresh=fresh)
    words: list[object] = []
    for each in in_commands(parameters, info.version):
        if "config|get" in session.denied:
            break
        with steps.step("CONFIG GET"):
            reply = await session.ask_if_allowed("config|get", "CONFIG", "GET", *each)
        words += reply if isinstance(reply, list) else []
    told = parse_config(words)
    if not fresh:
        session.config, session.config_until = told, now + _CONFIG_SECONDS
    elif parameters:
        session.config = replace(session.config, max_clients=told.max_clients)


async def _known_nodes(session: Session) -> int | None:
    """Ask a cluster node of Redis 6.0, which counts its links against the limit and does not tell them."""
    reply = await session.ask_if_allowed("cluster|info", "CLUSTER", "INFO")
    return parse_cluster_known_nodes(reply) if isinstance(reply, bytes) else None
