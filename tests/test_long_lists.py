"""Lists of many clients, and lists over slow wires: complete, cheap, and no risk to the connection."""

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from exporter.demo.servers import free_port
from tests.conftest import Certificates, StartServer
from tests.crowd import crowd
from tests.daemon import Daemon, Scrape, quick, running_exporter, target
from tests.packed import Talk
from tests.series import (
    CONNECTS,
    FAILURES,
    LIST_AVAILABLE,
    LIST_COMMANDS,
    LIST_FAILURES,
    LISTED_AT,
    lists_run,
    polled,
)
from tests.servers.kinds import KINDS
from tests.tcp import wire
from tests.waiting import eventually

UNHURRIED = {"interval": "2s", "timeout": "1900ms"}
OFTEN = {"interval": "1s", "server_time_budget": 1.0}
MANY = 1100
REDIS_8 = KINDS[3]


def listed(daemon: Daemon, name: str) -> Iterator[Scrape]:
    """Each page with a list that is newer than that of the page before."""
    at, deadline = None, time.monotonic() + 15
    while True:
        page = daemon.scrape()
        if page.get(LISTED_AT, name) in (None, at):
            assert time.monotonic() < deadline, f"no new list\n{daemon.output()[-2000:]}"
            time.sleep(0.05)  # the pace of the samples
            continue
        at, deadline = page.get(LISTED_AT, name), time.monotonic() + 15
        yield page


def connections(page: Scrape, name: str, **labels: str) -> float:
    """How many connections of a target the newest list has found."""
    wanted = labels | {"target": name}
    return sum(
        value
        for series, have, value in page.samples
        if series == "redis_app_connections" and wanted.items() <= have.items()
    )


def use_ids(tls_port: int, control: redis.Redis, count: int) -> None:
    """Use ids of a server for connections that it does not count as received: TLS that never begins."""
    received = int(control.info("stats")["total_connections_received"])
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", tls_port), timeout=5):
            pass
    eventually(lambda: int(control.info("clients")["connected_clients"]) <= MANY + 2)
    assert int(control.info("stats")["total_connections_received"]) == received


def test_no_client_is_missed_for_long_where_ids_are_used_that_nobody_counts(
    start_server: StartServer, certificates: Certificates, talk: Talk, tmp_path: Path
) -> None:
    tls_port = free_port()
    server = start_server(*certificates.server_options(tls_port))
    control = talk(server)
    tree = quick(target("one", f"redis://127.0.0.1:{server.port}"), clients=OFTEN)
    with crowd(server.port) as clients, running_exporter(tmp_path, tree) as daemon:
        clients.join(MANY)
        pages = listed(daemon, "one")
        next(page for page in pages if (page.get(LIST_COMMANDS, "one") or 0) > 1)
        use_ids(tls_port, control, 60)
        with crowd(server.port) as late:
            late.join(8)
            for member in late.members:
                member.sendall(b"CLIENT SETNAME late\r\n")
            for number, page in enumerate(pages):
                if connections(page, "one", app="late") == 8 and connections(page, "one") == MANY + 8 + 1:
                    break
                assert number < 12, "not seen in twelve lists"


def test_batches_are_asked_for_only_where_one_thread_does_it_all(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        targets, controls = [], {}
        for name, threads in (("one", "1"), ("four", "4")):
            server = start_server("--io-threads", threads, kind=REDIS_8)
            controls[name] = talk(server)
            stack.enter_context(crowd(server.port)).join(MANY)
            targets.append(target(name, f"redis://127.0.0.1:{server.port}"))
        tree = {"poll": UNHURRIED, "clients": OFTEN, "targets": targets}
        daemon = stack.enter_context(running_exporter(tmp_path, tree))
        lists = zip(listed(daemon, "one"), listed(daemon, "four"), strict=True)
        commands = [
            (one.get(LIST_COMMANDS, "one"), four.get(LIST_COMMANDS, "four"))
            for one, four in itertools.islice(lists, 4)
        ]
        assert any((of_one or 0) > 1 for of_one, _ in commands)
        assert [of_four for _, of_four in commands] == [1, 1, 1, 1]
        assert lists_run(controls["four"]) <= 5, "four, and perhaps one that has just begun"


def test_slow_wires_cost_no_connection_and_no_poll(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    few, many = start_server(), start_server()
    control = talk(few)
    with wire(few.port) as late, wire(many.port) as narrow, crowd(many.port) as clients:
        clients.join(300)
        targets = [
            target("late", f"redis://127.0.0.1:{late.port}"),
            target("narrow", f"redis://127.0.0.1:{narrow.port}"),
        ]
        tree = {"poll": UNHURRIED, "clients": OFTEN, "targets": targets}
        with running_exporter(tmp_path, tree) as daemon:
            eventually(lambda: daemon.scrape().get(LIST_AVAILABLE, "late") == 1)
            eventually(lambda: daemon.scrape().get(LIST_AVAILABLE, "narrow") == 1)
            late.delay_down = 1.3  # of 1.9 s: what is left is not enough to begin a list
            narrow.rate = 35_000.0  # INFO takes 0.2 s, the list more than two
            polled(daemon, "late", 1)
            before = lists_run(control)
            eventually(lambda: daemon.scrape().get(LIST_FAILURES, "narrow", reason="timeout"), 10)
            page = polled(daemon, "late", 3)
            assert lists_run(control) == before
            for name, through in (("late", late), ("narrow", narrow)):
                assert page.get("redis_up", name) == 1, name
                assert page.get(CONNECTS, name) == 1, name
                assert page.get(FAILURES, name, reason="timeout") == 0, name
                assert through.accepted == 1, name
