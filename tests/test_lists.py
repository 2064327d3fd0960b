"""Lists that do not lie about themselves: cut, slow, incomplete, dear or denied ones, on real servers."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from exporter.demo.servers import Server
from tests.conftest import StartServer
from tests.crowd import crowd
from tests.daemon import Daemon, Scrape, quick, running_exporter, target
from tests.hungry import Hungry
from tests.packed import Packed, Talk
from tests.series import (
    CONNECTS,
    DENIED,
    LIST_AVAILABLE,
    LIST_FAILURES,
    POLLS,
    always_up,
    lists_run,
    reload,
    row_of_page,
    told,
)
from tests.servers.kinds import KINDS, OLDEST, SYSTEM
from tests.tcp import wire
from tests.waiting import eventually

OFTEN = {"interval": "1s", "server_time_budget": 1.0}
WATCHED_SECONDS = 20
LISTS_THEN = 3
MANY = 1100  # so many that the server is asked for its own account of what a list costs
LIMITED = ("--client-output-buffer-limit", "normal", "64kb", "0", "0")
NEWEST = KINDS[-1]


def watch(seconds: float, look: Callable[[], object]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        look()
        time.sleep(0.2)  # the pace of the samples


def told_about_lists(daemon: Daemon, name: str) -> list[dict[str, Any]]:
    return [event for event in told(daemon, name) if "list" in f"{event}".lower()]


@contextlib.contextmanager
def _cut_lists(start_server: StartServer) -> Iterator[dict[str, int]]:
    """Ports of servers whose lists never come to their end, though their INFO does."""
    with contextlib.ExitStack() as stack:
        ports = {}
        for kind in (OLDEST, SYSTEM, NEWEST):
            server = start_server(*LIMITED, kind=kind)
            rows_are_short = kind is OLDEST
            stack.enter_context(crowd(server.port)).join(1000 if rows_are_short else 500)
            ports[kind.name.replace(".", "")] = server.port
        behind = start_server()
        stack.enter_context(crowd(behind.port)).join(100)
        cutting = stack.enter_context(wire(behind.port))
        cutting.cut_after = 12_000  # in the middle of the list, behind all of INFO
        yield ports | {"by a proxy": cutting.port}


def test_a_list_that_is_cut_is_counted_told_once_and_seldom_tried_again(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    """And at a full server, where it may cost the slot once, it is not tried at all until there is room."""
    full_server = start_server("--maxclients", "510", *LIMITED)
    with _cut_lists(start_server) as ports, Packed(full_server, talk(full_server)) as full:
        names = list(ports)
        targets = [target(name, f"redis://127.0.0.1:{port}") for name, port in ports.items()]
        tree = quick(*targets, target("full", full.url), clients=OFTEN, log={"format": "json"})
        with running_exporter(tmp_path, tree) as daemon:
            daemon.wait_for({"full": "ok"})
            began = time.monotonic()
            _lose_the_slot_once(daemon, full)
            daemon.wait_for(dict.fromkeys(names, "ok") | {"full": "at_limit"})
            before = lists_run(full.control), daemon.scrape().get(CONNECTS, "full")
            with Hungry(full.server.port):
                watch(WATCHED_SECONDS - (time.monotonic() - began), lambda: always_up(daemon, *names, "full"))
            page = daemon.scrape()
            assert (lists_run(full.control), page.get(CONNECTS, "full")) == before, "a list cost the slot"
            for name in names:
                assert 1 <= (page.get(LIST_FAILURES, name, reason="cut_off") or 0) <= LISTS_THEN, name
                assert (page.get(CONNECTS, name) or 0) <= LISTS_THEN + 1, f"{name}: a connection per poll"
                assert len(told_about_lists(daemon, name)) == 1, told_about_lists(daemon, name)
                assert page.get(LIST_AVAILABLE, name) == 0, name
                assert "client list" in row_of_page(daemon, name).lower(), row_of_page(daemon, name)
            full.crowd.leave(450)
            eventually(lambda: daemon.scrape().get(LIST_AVAILABLE, "full") == 1, 30)


def _lose_the_slot_once(daemon: Daemon, full: Packed) -> None:
    """Let a full server cut a list and others take the slot, then let the exporter in again."""
    full.fill()
    eventually(lambda: daemon.scrape().get(LIST_FAILURES, "full", reason="cut_off"))
    polls = daemon.scrape().get(POLLS, "full") or 0
    eventually(
        lambda: (daemon.scrape().get(POLLS, "full") or 0) > polls
    )  # what was read before the cut is gone
    full.crowd.leave(2)  # two are hungry, one of whom may have got the slot
    eventually(lambda: len(full.hungry.fed) == 2 or daemon.scrape().get("redis_up", "full") == 1)
    eventually(lambda: daemon.scrape().get("redis_up", "full") == 1)
    full.crowd.fill()


def test_interval_and_budget_of_lists_outlive_the_connection(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    plans: dict[str, dict[str, Any]] = {
        "seldom": {"interval": "60s"},
        "cheap": {"interval": "1s", "server_time_budget": 0.000001},
    }
    with contextlib.ExitStack() as stack:
        daemons, servers = {}, {}
        for name, plan in plans.items():
            servers[name] = start_server("--timeout", "1")
            _subscribe(stack, servers[name], MANY)
            tree = {
                "poll": {"interval": "3500ms", "timeout": "1s"},
                "clients": plan,
                "targets": [target("one", f"redis://127.0.0.1:{servers[name].port}")],
            }
            folder = tmp_path / name
            folder.mkdir()
            daemons[name] = stack.enter_context(running_exporter(folder, tree))
        for daemon in daemons.values():
            page = _after_polls(daemon, 4)
            assert (page.get(CONNECTS, "one") or 0) >= 3, "the server ends idle connections"
        assert lists_run(talk(servers["seldom"])) == 1
        assert lists_run(talk(servers["cheap"])) <= 2, "the first, and the one that learned what it costs"


def _subscribe(stack: contextlib.ExitStack, server: Server, count: int) -> None:
    """Connect clients that a server does not end for being idle."""
    clients = stack.enter_context(crowd(server.port))
    clients.join(count)
    for member in clients.members:
        member.sendall(b"SUBSCRIBE nothing\r\n")


def _after_polls(daemon: Daemon, count: int) -> Scrape:
    eventually(lambda: (daemon.scrape().get(POLLS, "one") or 0) >= count, 25)
    return daemon.scrape()


def test_a_right_given_later_is_noticed_at_a_reload(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server()
    control = talk(server)
    control.execute_command("ACL", "SETUSER", "exporter", "on", ">secret", "-@all", "+info")  # type: ignore[no-untyped-call]
    login = {"username": "exporter", "password": "secret"}
    tree = quick(target("one", f"redis://127.0.0.1:{server.port}", **login), clients=OFTEN)
    with running_exporter(tmp_path, tree) as daemon:
        page = daemon.wait_for({"one": "ok"})
        assert page.get(LIST_AVAILABLE, "one") == 0
        assert page.get(DENIED, "one", command="client|list") == 1
        control.execute_command("ACL", "SETUSER", "exporter", "+client|list")  # type: ignore[no-untyped-call]
        reload(daemon)
        eventually(lambda: daemon.scrape().get(LIST_AVAILABLE, "one") == 1, 5)
        page = daemon.scrape()
        assert page.get(DENIED, "one", command="client|list") is None
        assert page.get(CONNECTS, "one") == 1
        assert page.get(LIST_FAILURES, "one", reason="refused") == 1
