"""How a real server is asked for its clients: whole lists, batches, and what they cost it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from exporter.connection.link import Link
from exporter.connection.session import Session
from exporter.demo.servers import Server
from exporter.model import Access, ClientPlan, RedisUrl, ServerInfo, Survey
from exporter.parse.info import parse_info
from exporter.poll.listing.lister import Lister
from tests.conftest import StartServer
from tests.crowd import crowd
from tests.daemon import quick, running_exporter, target
from tests.servers.kinds import KINDS, OLDEST, ServerKind
from tests.waiting import eventually

MANY = 1100
OFTEN = ClientPlan(interval=0.001, server_time_budget=1.0)


class Asking:
    """A lister with its link, asked when the test wants."""

    def __init__(self, server: Server, plan: ClientPlan = OFTEN) -> None:
        self.link = Link(Access(RedisUrl("127.0.0.1", server.port)))
        self.lister = Lister(plan)
        self.told: Callable[[ServerInfo], ServerInfo] = lambda info: info

    async def info(self) -> ServerInfo:
        """Ask INFO, and say who we are where that is new."""
        info = parse_info(await self.link.info())
        await self.session.introduce(info.version)
        return info

    @property
    def session(self) -> Session:
        session = self.link.session
        assert session is not None
        return session

    async def ask(self) -> Survey:
        """Poll as the poller does; the list is due each time."""
        info = await self.info()
        await asyncio.sleep(0.002)
        assert self.lister.is_due(self.session, info, None)
        return await self.list_now(info)

    async def list_now(self, info: ServerInfo) -> Survey:
        """List without asking whether it is due."""
        told, link = self.told(info), self.link
        deadline = time.monotonic() + 10
        survey = await self.lister.list_clients(self.session, told, link.accepted, deadline)
        assert survey is not None
        assert self.lister.failure is None
        return survey


def lists(client: redis.Redis) -> int:
    """How many CLIENT LISTs the server has run."""
    stats = client.info("commandstats")
    return sum(
        stat["calls"] for name, stat in stats.items() if name in ("cmdstat_client|list", "cmdstat_client")
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not OLDEST], ids=lambda kind: kind.name)
def test_many_clients_are_listed_in_batches_that_find_newcomers_and_miss_nobody(
    start_server: StartServer, kind: ServerKind
) -> None:
    server = start_server(kind=kind)

    async def use() -> None:
        asking = Asking(server)
        with crowd(server.port) as clients:
            clients.join(MANY)
            whole = await asking.ask()
            assert (whole.groups.total, whole.cost.commands) == (MANY, 1)
            clients.join(7)
            batches = await asking.ask()
            assert (batches.groups.total, batches.cost.commands) == (MANY + 7, 5)
            assert batches.cost.longest < whole.cost.total
            clients.leave(50)
            eventually(lambda: len(clients.members) == MANY - 43, 5)
            await asyncio.sleep(0)
            assert (await asking.ask()).groups.total == MANY - 43
            survey = await asking.ask()  # some have left before they were old enough to be called nameless
            assert sum(trend.opened for trend in survey.trends.values()) + survey.unseen == 7
        asking.link.close()

    asyncio.run(use())


def test_an_old_server_and_one_with_few_clients_are_asked_for_one_list(start_server: StartServer) -> None:
    async def use(server: Server, count: int) -> None:
        asking = Asking(server)
        with crowd(server.port) as clients:
            clients.join(count)
            for _ in range(2):
                survey = await asking.ask()
                assert (survey.groups.total, survey.cost.commands) == (count, 1)
        asking.link.close()

    asyncio.run(use(start_server(kind=OLDEST), MANY))
    asyncio.run(use(start_server(), 100))


def test_where_batches_find_other_clients_than_info_counts_a_whole_list_repairs_it(
    start_server: StartServer,
) -> None:
    server = start_server()

    async def use() -> None:
        asking = Asking(server)
        with crowd(server.port) as clients:
            clients.join(MANY)
            await asking.ask()
            clients.join(100)
            # As if internal clients had used up ids: the counter tells of fewer newcomers than there are.
            asking.told = lambda info: replace(
                info,
                numbers={
                    **info.numbers,
                    b"total_connections_received": b"%d"
                    % ((info.count(b"total_connections_received") or 0) - 100),
                },
            )
            survey = await asking.ask()
            assert survey.groups.total == MANY + 100
            assert survey.cost.commands > 2
        asking.link.close()

    asyncio.run(use())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_our_own_connection_is_left_out_over_a_unix_socket_too(
    start_server: StartServer, kind: ServerKind, tmp_path: Path
) -> None:
    path = tmp_path / "redis.sock"
    server = start_server("--unixsocket", str(path), kind=kind)

    async def use() -> None:
        asking = Asking(server)
        asking.link = Link(Access(RedisUrl(path=str(path))))
        with crowd(server.port) as clients:
            clients.join(3)
            survey = await asking.ask()
            assert survey.groups.hosts == {"127.0.0.1": 3}
        asking.link.close()

    asyncio.run(use())


def test_valkey_leaves_us_out_by_itself_where_we_may_not_ask_for_our_id(
    start_server: StartServer, tmp_path: Path, talk: Callable[[Server], redis.Redis]
) -> None:
    path = tmp_path / "valkey.sock"
    valkey = next(kind for kind in KINDS if kind.name == "debian13-valkey")
    server = start_server("--unixsocket", str(path), kind=valkey)
    rules = ("on", ">secret", "-@all", "+info", "+client|list")
    talk(server).execute_command("ACL", "SETUSER", "exporter", *rules)  # type: ignore[no-untyped-call]

    async def use() -> None:
        asking = Asking(server)
        asking.link = Link(Access(RedisUrl(path=str(path)), "exporter", "secret"))
        assert (await asking.ask()).groups.hosts == {"127.0.0.1": 1}
        assert "client|id" in asking.session.denied
        asking.link.close()

    asyncio.run(use())


def test_over_a_new_connection_a_whole_list_is_asked_for_again(start_server: StartServer) -> None:
    server = start_server()

    async def use() -> None:
        asking = Asking(server)
        with crowd(server.port) as clients:
            clients.join(MANY)
            await asking.ask()
            assert (await asking.ask()).cost.commands > 1
        asking.link.close()
        with crowd(server.port) as clients:
            clients.join(MANY)
            survey = await asking.ask()
            assert (survey.groups.total, survey.cost.commands) == (MANY, 1)
        asking.link.close()

    asyncio.run(use())


def test_a_list_that_costs_more_than_the_budget_stretches_the_interval(
    start_server: StartServer, tmp_path: Path, talk: Callable[[Server], redis.Redis]
) -> None:
    server = start_server()
    tree = quick(
        target("orders", f"redis://127.0.0.1:{server.port}"),
        clients={"interval": "1s", "server_time_budget": 0.000001},
    )
    with crowd(server.port) as clients:
        clients.join(300)
        asked = lists(talk(server))
        with running_exporter(tmp_path, tree) as daemon:

            def told(name: str) -> float:
                return daemon.scrape().get(f"redis_connection_exporter_{name}", "orders") or 0.0

            # The first is dear by our clock alone, so that the second is asked of the server's own account.
            eventually(lambda: told("client_list_stretch_ratio") > 1, 15)
            stretch, cost = told("client_list_stretch_ratio"), told("client_list_server_seconds")
            assert stretch == pytest.approx(min(cost / 0.000001, 600))
            assert stretch > 10
            polls = told("polls_total")
            eventually(lambda: told("polls_total") > polls + 3, 15)
    assert lists(talk(server)) - asked == 2


def test_one_list_behind_another_clients_slow_command_stretches_nothing(
    start_server: StartServer, talk: Callable[[Server], redis.Redis]
) -> None:
    server = start_server("--enable-debug-command", "yes")

    async def use() -> None:
        asking = Asking(server, ClientPlan(interval=0.001, server_time_budget=0.5))
        await asking.ask()
        info = await asking.info()
        slow = asyncio.create_task(asyncio.to_thread(talk(server).execute_command, "DEBUG", "SLEEP", "0.3"))
        await asyncio.sleep(0.1)
        survey = await asking.list_now(info)
        await slow
        assert survey.cost.total > 0.1
        assert survey.cost.stretch == 1
        assert (await asking.ask()).cost.total < 0.1
        asking.link.close()

    asyncio.run(use())


def test_where_batches_are_not_done_in_time_a_whole_list_is_taken_at_once(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server()

    async def use() -> None:
        asking = Asking(server)
        with crowd(server.port) as clients:
            clients.join(MANY)
            await asking.ask()
            monkeypatch.setattr("exporter.poll.listing.lister._TIME_FOR_BATCHES", -1)
            for _ in range(2):
                late = await asking.ask()
                assert (late.groups.total, late.cost.commands) == (MANY, 1)
            monkeypatch.undo()
            assert (await asking.ask()).cost.commands == 1  # and for an hour nobody tries again
        asking.link.close()

    asyncio.run(use())
