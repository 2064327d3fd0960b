"""A server without a free slot, and clients around it that take each one that comes free."""

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import redis

from exporter.demo.servers import Server
from tests.crowd import Crowd
from tests.hungry import Hungry
from tests.waiting import eventually

EXPORTER = "redis-connection-exporter"

Talk = Callable[..., redis.Redis]


def rows_of_ours(control: redis.Redis) -> list[dict[str, Any]]:
    """The exporter's own connections, as the server lists them."""
    return [row for row in control.client_list() if row["name"] == EXPORTER]


def ids_of_ours(control: redis.Redis) -> list[str]:
    return sorted(str(row["id"]) for row in rows_of_ours(control))


class Packed:
    """A server with a limit, a held connection of the test, and room for the exporter until `fill`."""

    def __init__(self, server: Server, control: redis.Redis) -> None:
        self.server = server
        self.control = control
        self.crowd = Crowd(server.port)
        self.hungry = Hungry(server.port)
        self.held: list[str] = []
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._ending.enter_context(self.crowd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server.port}"

    def remember_ours(self) -> None:
        """Remember the exporter's connection, once there is exactly one with its name."""
        self.held = eventually(lambda: ids if len(ids := ids_of_ours(self.control)) == 1 else [])

    def fill(self) -> None:
        """Take every slot, and let others wait for one; the exporter's connection is remembered before."""
        self.remember_ours()
        limit = int(str(self.control.config_get("maxclients")["maxclients"]))

        def full() -> bool:
            self.crowd.fill()
            return int(self.control.info("clients")["connected_clients"]) >= limit

        eventually(full)
        self._ending.enter_context(self.hungry)

    def kept_its_slot(self) -> bool:
        """Whether the exporter's connection is the one that was remembered, and none but that."""
        return ids_of_ours(self.control) == self.held and not self.hungry.fed
