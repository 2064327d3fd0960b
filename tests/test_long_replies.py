"""Replies that are far longer than they should be: they cost the server that sends them, if anybody."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvloop

from exporter.connection.link import Link
from exporter.demo.servers import Server
from exporter.limits import LIST_ROWS, ROW_BYTES
from exporter.model import Access, Observation, Pace, Reading, RedisUrl, Target
from exporter.parse.blocks import RowCutter
from exporter.poll.redis import poll_once
from tests.conftest import StartServer
from tests.crowd_of_servers import many_servers
from tests.daemon import Daemon, quick, running_exporter, target
from tests.series import CONNECTS, polled
from tests.strange import bulk, listing, strange_server
from tests.waiting import eventually

_LAG = "redis_connection_exporter_event_loop_lag_seconds"
_MEMORY = "process_resident_memory_bytes"
_ASKED = (b"INFO", b"CLIENT", b"CONFIG")
_INFO = b"# Clients\r\nconnected_clients:3\r\nmaxclients:10\r\n# Server\r\nredis_version:7.0.15\r\n"


def _say(server: Server, words: Iterator[bytes], answers: int) -> int:
    """Send inline commands in one go, wait for so many lines, and return the size of INFO after them."""
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock,
        sock.makefile("rb") as reader,
    ):
        said = b"\r\n".join(words)
        for start in range(0, len(said), 200_000):
            sock.sendall(said[start : start + 200_000])
        sock.sendall(b"\r\n")
        for _ in range(answers):
            assert reader.readline()
        sock.sendall(b"INFO\r\n")
        return int(reader.readline()[1:])


def _with_error_codes(server: Server) -> int:
    count = 45_000
    codes = (b"EVAL \"return redis.error_reply('CODE%d x')\" 0" % number for number in range(count))
    return _say(server, codes, count)


def _with_databases(server: Server) -> int:
    count = 30_000
    words = (b"SELECT %d\r\nSET key value" % number for number in range(count))
    return _say(server, words, 2 * count)


@pytest.mark.parametrize(
    ("options", "fill"), [((), _with_error_codes), (("--databases", "30000"), _with_databases)]
)
def test_a_real_server_whose_info_has_grown_beyond_a_megabyte_is_read_over_one_connection(
    start_server: StartServer, tmp_path: Path, options: tuple[str, ...], fill: Callable[[Server], int]
) -> None:
    server = start_server(*options)
    assert fill(server) > 1_000_000
    with running_exporter(tmp_path, quick(target("grown", f"redis://127.0.0.1:{server.port}"))) as daemon:
        daemon.wait_for({"grown": "ok"})
        page = polled(daemon, "grown", 2)
        assert page.state("grown") == "ok"
        assert page.get("redis_connected_clients", "grown") == 1
        assert page.get("redis_max_clients", "grown") == 10000
        assert page.sum("redis_app_connections", "grown") == 0
        assert page.get("redis_cpu_user_seconds_total", "grown")
        assert page.get(CONNECTS, "grown") == 1
        assert (page.get(_LAG) or 0) < 0.5


@contextmanager
def _watching(
    start_server: StartServer, folder: Path, ports: tuple[int, ...], **clients: object
) -> Iterator[Daemon]:
    """A daemon that watches an honest server beside these."""
    honest = start_server()
    tree = quick(
        *(target(f"bad-{number}", f"redis://127.0.0.1:{port}") for number, port in enumerate(ports)),
        target("honest", f"redis://127.0.0.1:{honest.port}"),
        clients={"interval": "1s", "server_time_budget": 1, **clients},
    )
    with running_exporter(folder, tree) as daemon:
        daemon.wait_for({"honest": "ok"})
        yield daemon


def _worst(daemon: Daemon, seconds: float) -> tuple[float, float]:
    """The most memory (bytes), and the longest that an answer took while the honest server must stay up."""
    until, memory, slowest = time.monotonic() + seconds, 0.0, 0.0
    while time.monotonic() < until:
        began = time.monotonic()
        page = daemon.scrape()
        slowest = max(slowest, time.monotonic() - began)
        assert page.state("honest") == "ok"
        memory = max(memory, page.get(_MEMORY) or 0)
    return memory, slowest


_MEGABYTE = _INFO + b"".join(b"f%d:1\r\n" % number for number in range(104_000))


def test_many_servers_that_send_a_megabyte_of_unknown_fields_are_read_and_cost_little_memory(
    start_server: StartServer, tmp_path: Path
) -> None:
    with (
        many_servers(40, listing(_MEGABYTE, lambda: b"")) as ports,
        _watching(start_server, tmp_path, ports, enabled=False) as daemon,
    ):
        eventually(lambda: list(daemon.states().values()).count("ok") > 1)  # how many: as the machine can
        memory, _ = _worst(daemon, 4)
        assert memory < 90e6


def test_however_many_long_replies_come_at_once_the_loop_is_held_for_one_piece_of_one_of_them() -> None:
    async def poll(port: int) -> Observation:
        access = Access(RedisUrl("127.0.0.1", port))
        link = Link(access, Pace(interval=60.0, timeout=60.0))
        try:
            return await poll_once(Target(str(port), access), link, 60)
        finally:
            link.close()

    async def longest_hold(ports: tuple[int, ...]) -> float:
        polls = asyncio.gather(*(poll(port) for port in ports))
        longest, last = 0.0, time.thread_time()
        while not polls.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now
        assert [type(each) for each in polls.result()] == [Reading] * len(ports)
        await asyncio.sleep(0.01)  # what was aborted is closed in the loop's next turns
        return longest

    with many_servers(30, listing(_MEGABYTE, lambda: b"")) as ports:
        assert uvloop.run(longest_hold(ports)) < 0.05


_LINE = b"+" + b"x" * 60_000 + b"\r\n"
FLOODS = {
    "lines-in-nested-arrays": b"*64\r\n" + (b"*64\r\n" + _LINE * 64) * 2,
    "texts-in-nested-arrays": b"*64\r\n" + (b"*64\r\n" + bulk(b"x" * 60_000) * 64) * 2,
    "an-error-without-an-end": b"-" + b"x" * 5_000_000,
    "errors": (b"-ERR " + b"x" * 60_000 + b"\r\n") * 100,
    "pushes": (b"*3\r\n$7\r\nmessage\r\n" + bulk(b"c") + bulk(b"x" * 200_000)) * 20,
    "numbers": b":1\r\n" * 1_000_000,
    "a-text-beyond-all-bounds": b"$99999999999\r\n" + b"x" * 5_000_000,
}


def test_whatever_kind_of_reply_is_too_long_costs_its_server_alone(
    start_server: StartServer, tmp_path: Path
) -> None:
    with ExitStack() as stack:

        def server(asked: bytes, flood: bytes) -> int:
            def answer(words: list[bytes]) -> bytes:
                return flood if words[0] == asked else listing(_INFO, lambda: b"")(words)

            return stack.enter_context(strange_server(answer))

        ports = tuple(server(asked, flood) for asked in _ASKED for flood in FLOODS.values())
        daemon = stack.enter_context(_watching(start_server, tmp_path, ports))
        memory, slowest = _worst(daemon, 4)
        assert memory < 90e6
        assert slowest < 1
        states = daemon.states()
        assert {states[f"bad-{number}"] for number in range(len(FLOODS))} <= {"protocol", "timeout"}


def test_rows_of_half_a_megabyte_are_dropped_to_their_ends_and_counted_once_each(
    start_server: StartServer, tmp_path: Path
) -> None:
    row = "id={} addr=1.2.3.4:5 fd=8 name={} age=9 idle=1 flags=N db=0 cmd=get user=default\n"
    good = "".join(row.format(number, "cart") for number in range(2, 102)).encode()
    bad = b"".join(row.format(number, "n" * 500_000).encode() for number in range(200, 204))
    with (
        strange_server(listing(_INFO, lambda: good + bad)) as port,
        _watching(start_server, tmp_path, (port,)) as daemon,
    ):
        eventually(
            lambda: daemon.scrape().get("redis_connection_exporter_client_list_unreadable_rows", "bad-0") == 4
        )
        page = daemon.scrape()
        assert page.sum("redis_app_connections", "bad-0", app="cart") == 100
        assert (page.get(_MEMORY) or 0) < 70e6


@pytest.mark.parametrize("size", [1, 7, 64 * 1024, 10**7])
def test_a_row_that_is_too_long_is_dropped_in_whatever_pieces_it_comes(size: int) -> None:
    long = ROW_BYTES + 5
    rows = [b"a" * 10, b"b" * long, b"c", b"d" * long * 3, b"e" * ROW_BYTES, b"f"]
    reply, cutter, found = b"\n".join(rows), RowCutter(), b""
    for start in range(0, len(reply), size):
        found += cutter.cut(reply[start : start + size])
    found += cutter.end()
    kept = [row for row in found.split(b"\n") if len(row) <= ROW_BYTES]
    assert [row[:1] for row in kept] == [b"a", b"c", b"e", b"f"]
    assert cutter.dropped + len([row for row in found.split(b"\n") if len(row) > ROW_BYTES]) == 2


def test_an_endless_list_of_rows_ends_with_the_poll(start_server: StartServer, tmp_path: Path) -> None:
    row = b"id=5 addr=1.2.3.4:5 name=cart age=9 idle=1 flags=N db=0 cmd=get user=default\n"
    rows = row * (LIST_ROWS // 2)
    endless = b"$%d\r\n" % 2**39 + rows

    def answer(words: list[bytes]) -> bytes:
        return endless if words[:2] == [b"CLIENT", b"LIST"] else listing(_INFO, lambda: b"")(words)

    with (
        strange_server(answer) as port,
        _watching(start_server, tmp_path, (port,)) as daemon,
    ):
        memory, slowest = _worst(daemon, 4)
        assert memory < 80e6
        assert slowest < 1
