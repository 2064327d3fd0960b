"""Try servers once, as the daemon would: what came of it is a Trial."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from exporter.connection.errors import LinkError
from exporter.connection.link import Link
from exporter.connection.session import Session
from exporter.denied import missing_without
from exporter.model import Config, Outage, Pace, ServerInfo, State, Target
from exporter.poll.bugs import explain_bug
from exporter.poll.redis import poll_once

_AT_ONCE = 8
_LIST = "client|list"
_FIRST_WITH_IDS = (6, 2)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one attempt told of a server: `read` where the daemon would have numbers of it.

    `detail` says what went wrong, for people and free of secrets; `denied` are commands that this user may
    not run or this server does not know. `version` is empty and `limit` None where they were not told.
    """

    target: Target
    state: State
    read: bool
    version: str = ""
    limit: int | None = None
    denied: frozenset[str] = frozenset()
    detail: str = ""

    @property
    def user(self) -> str:
        """Who the exporter is there; empty where it shows no credentials."""
        access = self.target.access
        has_password = access.password is not None or access.password_file is not None
        return access.username or ("default" if has_password else "")

    @property
    def note(self) -> str:
        """What went wrong, and what is denied and missing because of that, in a few words."""
        missing = missing_without(self.denied, limit_known=self.limit is not None)
        told = []
        for text, alike in groupby(missing, itemgetter(1)):
            names = ", ".join(name for name, _ in alike)
            told.append(f"{names}: {text}" if text else names)
        return "; ".join(filter(None, [self.detail, *told]))


async def try_target(target: Target, pace: Pace, *, lists: bool) -> Trial:
    """Read a server once over a connection of its own; `lists` tells whether CLIENT LIST will be wanted.

    All of it takes at most pace.connect_timeout + pace.timeout. Only this function knows how the daemon asks.
    """
    link, patience = Link(target.access, pace), pace.connect_timeout + pace.timeout
    deadline = time.monotonic() + patience
    try:
        observation = await poll_once(target, link, patience)
        if isinstance(observation, Outage):
            return Trial(target, observation.state, read=False, detail=observation.detail)
        session = link.session
        detail, denied = "", observation.denied
        if session is not None and lists:
            detail = await _try_list(session, observation.info.version, deadline)
            denied |= session.denied
    finally:
        link.close()
    return Trial(
        target,
        observation.state,
        read=True,
        version=_version(observation.info),
        limit=observation.slots.limit,
        denied=denied,
        detail=detail,
    )


async def _try_list(session: Session, version: tuple[int, ...], deadline: float) -> str:
    """Find out for one row at most whether CLIENT LIST is denied, and say so where that cannot be told.

    A server looks at the rights first, and then at the words: one that does not know of ids yet answers with
    a syntax error to those who may ask.
    """
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            row = await session.ask_if_allowed(_LIST, "CLIENT", "LIST", "ID", session.own_id.decode() or "1")
    except TimeoutError:
        return f"{_LIST}: no answer in time"
    except LinkError as error:
        return f"{_LIST}: {error.detail}"
    told = isinstance(row, bytes) or _LIST in session.denied or version < _FIRST_WITH_IDS
    return "" if told else f"{_LIST}: unknown"


def _version(info: ServerInfo) -> str:
    """`valkey 8.1.1`, or the version of Redis that the server is or says it is compatible with."""
    valkey, redis = info.texts.get("valkey_version"), info.texts.get("redis_version")
    return f"valkey {valkey}" if valkey else f"redis {redis}" if redis else ""


def try_all(configs: Sequence[Config], done: Callable[[], None]) -> list[list[Trial]]:
    """Try every target of some configurations, each with the pace of its own; `done` is called after each.

    Up to eight are under way at any time, of whichever configuration. The results are in their order.
    """

    async def main() -> list[list[Trial]]:
        turn = asyncio.Semaphore(_AT_ONCE)

        async def in_turn(target: Target, config: Config) -> Trial:
            async with turn:
                try:
                    return await try_target(target, config.pace, lists=config.clients.enabled)
                except Exception as error:  # noqa: BLE001  a bug costs one row, not the table
                    return Trial(target, State.UNKNOWN, read=False, detail=explain_bug(error))
                finally:
                    done()

        async with asyncio.TaskGroup() as tasks:
            tried = [
                [tasks.create_task(in_turn(target, config)) for target in config.targets]
                for config in configs
            ]
        return [[task.result() for task in each] for each in tried]

    return asyncio.run(main())
