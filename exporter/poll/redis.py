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
from exporter.model import Observation, Outage, Reading, ServerConfig, ServerInfo, State, Target
from exporter.parse import ReplyError
from exporter.parse.config import parse_config
from exporter.parse.info import parse_cluster_known_nodes, parse_info
from exporter.poll.listing.lister import Lister

_CONFIG_SECONDS = 60.0  # for which an answer to CONFIG GET is used
_FIRST_WITH_LINKS, _FIRST_THAT_TELLS = (6, 0), (6, 2)


async def poll_once(
    target: Target,
    link: Link,
    timeout: float,  # noqa: ASYNC109
    lister: Lister | None = None,
) -> Observation:
    """Ask a server once. `timeout` (seconds) bounds every reply together; connecting may go on after it.

    Its clients are asked for last: that this fails costs only them.
    """
    at, started = time.time(), time.monotonic()
    try:
        async with asyncio.timeout(timeout):
            info = parse_info(await link.info())
            config, known_nodes = ServerConfig(), None
            session = link.session
            with contextlib.suppress(LinkError):  # the connection is closed then; what INFO told stands
                if session is not None:
                    config = await _server_config(session, info, target.access.username)
                    if (
                        info.count(b"cluster_enabled")
                        and _FIRST_WITH_LINKS <= info.version < _FIRST_THAT_TELLS
                    ):
                        known_nodes = await _known_nodes(session)
                    await session.introduce(info.version)
    except TimeoutError:
        detail = "; ".join(filter(None, (f"no answer within {timeout:g} s", link.progress)))
        return Outage(at, time.monotonic() - started, State.TIMEOUT, detail)
    except LinkError as error:
        return Outage(at, time.monotonic() - started, error.state, error.detail)
    except ReplyError as error:
        link.drop()
        return Outage(at, time.monotonic() - started, State.PROTOCOL, str(error))
    reserved = config.reserved if target.max_clients_reserved is None else target.max_clients_reserved
    limit = config.max_clients or target.max_clients
    slots = count_slots(info, limit=limit, known_nodes=known_nodes, reserved=reserved)
    link.near_limit = slots.near_limit
    if lister is not None and session is not None and not session.closed:
        left = started + timeout - time.monotonic()
        if left > timeout / 2 and lister.is_due(session, info, slots.utilization):
            await lister.list_clients(session, info, link.accepted, started + timeout)
            link.reopen()
    denied = session.denied if session is not None else frozenset()
    clients = lister.newest() if lister is not None else None
    return Reading(at, time.monotonic() - started, info, slots, denied, clients, config)


async def _server_config(session: Session, info: ServerInfo, username: str | None) -> ServerConfig:
    """What CONFIG GET tells, where it is to be asked; the session keeps the answer for a minute."""
    now = time.monotonic()
    fresh = now < session.config_until
    words: list[object] = []
    for each in in_commands(parameters_to_ask(info, username, fresh=fresh), info.version):
        reply = await session.ask_if_allowed("config|get", "CONFIG", "GET", *each)
        words += reply if isinstance(reply, list) else []
    if fresh and not words:
        return session.config
    told = parse_config(words)
    if fresh:
        return replace(session.config, max_clients=told.max_clients)
    session.config, session.config_until = told, now + _CONFIG_SECONDS
    return told


async def _known_nodes(session: Session) -> int | None:
    """Ask a cluster node of Redis 6.0, which counts its links against the limit and does not tell them."""
    reply = await session.ask_if_allowed("cluster|info", "CLUSTER", "INFO")
    return parse_cluster_known_nodes(reply) if isinstance(reply, bytes) else None
