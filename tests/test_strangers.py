"""Strangers who mean no good, over HTTP: they hurt themselves, and others are served meanwhile."""

import asyncio
import contextlib
import random
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.demo.servers import running_server
from exporter.limits import HTTP_CONNECTIONS, HTTP_CONNECTIONS_PER_ADDRESS
from tests.conftest import need, need_program
from tests.daemon import Daemon, quick, running_exporter, target
from tests.http_fuzz import Fuzzed, fuzz, random_request
from tests.servers.kinds import SYSTEM
from tests.strangers import HEALTH, alive, answer_to, cpu_seconds, crowd, memory_bytes, seconds_of
from tests.waiting import eventually

HELD = "redis_connection_exporter_http_connections"
MB = 1_000_000


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One exporter for all of them: what one of them does must not be felt by the next."""
    folder = tmp_path_factory.mktemp("strangers")
    need(SYSTEM.present, "redis-server is not installed")
    with running_server(SYSTEM.command, folder) as server:
        config = quick(target("one", f"redis://127.0.0.1:{server.port}"))
        with running_exporter(folder, config) as running:
            running.wait_for({"one": "ok"})
            yield running


def _most_held(daemon: Daemon) -> int:
    """The bound where this process's limit of files is the exporter's too."""
    files, _ = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    return HTTP_CONNECTIONS if files == -1 else min(HTTP_CONNECTIONS, max(16, files // 32))


@pytest.mark.parametrize(
    "request_bytes", [b"", HEALTH, b"GET /metrics HTTP/1.1\r\n"], ids=["mute", "kept", "half"]
)
def test_connections_that_lie_idle_shut_nobody_out_and_are_bounded(
    daemon: Daemon, request_bytes: bytes
) -> None:
    most = min(HTTP_CONNECTIONS_PER_ADDRESS, _most_held(daemon) // 2)
    with crowd(daemon.port, 700, request_bytes) as opened:
        for path in ("/metrics", "/-/healthy", "/") * 3:
            assert seconds_of(daemon, path) < 5
        eventually(lambda: 1 < (daemon.scrape().get(HELD) or 0) <= most)  # a page may be a second old
        eventually(lambda: len(alive(opened)) <= most)
        assert set(alive(opened)) <= set(opened[-most:]), "the oldest went first"
    eventually(lambda: daemon.scrape().get(HELD) == 1)


def test_a_scraper_keeps_its_connection_while_another_address_opens_hundreds(daemon: Daemon) -> None:
    with crowd(daemon.port, 1, HEALTH) as scraper, crowd(daemon.port, 600, HEALTH, source="127.0.0.2"):
        assert (daemon.scrape().get(HELD) or 0) <= _most_held(daemon)
        assert alive(scraper) == scraper


def test_addresses_by_the_hundred_hold_no_more_than_the_bound(daemon: Daemon) -> None:
    most = _most_held(daemon)
    with contextlib.ExitStack() as stack:
        for number in range(2, 12):
            stack.enter_context(crowd(daemon.port, 60, source=f"127.0.1.{number}"))
        assert seconds_of(daemon, "/-/healthy") < 5
        assert (daemon.scrape().get(HELD) or 0) <= most


@pytest.mark.parametrize(
    "head",
    [
        b"POST /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["length", "chunked", "nowhere"],
)
def test_a_body_without_end_ends_the_connection(daemon: Daemon, head: bytes) -> None:
    sent = 0
    opened = socket.create_connection(("127.0.0.1", daemon.port), 10)
    with opened as connection, contextlib.suppress(ConnectionError):
        connection.sendall(head)
        while sent < 100 * MB:
            sent += connection.send(b"2000\r\n" + b"x" * 8192 + b"\r\n")
    assert sent < 10 * MB, "what the kernels hold of it"


def test_a_small_body_is_nothing_to_speak_of(daemon: Daemon) -> None:
    small = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    answer = answer_to(daemon.port, small + HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert b" 413 " in answer_to(daemon.port, small.replace(b": 5", b": 5000"))


def test_what_strangers_send_is_no_news(daemon: Daemon) -> None:
    bad = (
        b"\x16\x03\x01 is no HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n",
        b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
    )
    before = len(daemon.output())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: answer_to(daemon.port, bad[number % len(bad)]), range(600)))
    assert daemon.output()[before:] == ""


def test_a_head_of_many_lines_in_one_piece_is_refused_and_holds_nobody_up(daemon: Daemon) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 60_000 + b"\r\n"
    assert b" 400 " in answer_to(daemon.port, head).partition(b"\r\n")[0]


def test_connections_that_are_opened_used_and_reset_leave_no_memory_behind(daemon: Daemon) -> None:
    def used_and_reset(number: int) -> None:
        for _ in range(number):
            with socket.create_connection(("127.0.0.1", daemon.port), 10) as connection:
                connection.sendall(HEALTH)
                connection.recv(4096)
                linger_not = (1).to_bytes(4, "little") + bytes(4)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)

    used_and_reset(300)
    before = memory_bytes(daemon)
    used_and_reset(1500)
    assert memory_bytes(daemon) - before < 8 * MB


def test_a_connection_ends_when_nothing_is_asked_for_though_a_body_ended_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exporter.web.protocol.HTTP_REQUEST_SECONDS", 0.02)

    async def idle() -> bytes:
        protocol, pipe = Fuzzed().connect()
        protocol.data_received(HEALTH.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhe"))
        await asyncio.sleep(0.01)
        protocol.data_received(b"llo")
        async with asyncio.timeout(10):
            while not pipe.is_closing():
                await asyncio.sleep(0.01)
        return bytes(pipe.written)

    assert asyncio.run(idle()).startswith(b"HTTP/1.1 200 ")


def test_who_asks_for_thousands_of_pages_and_reads_none_holds_up_neither_others_nor_the_end(
    tmp_path: Path,
) -> None:
    need(SYSTEM.present, "redis-server is not installed")
    with running_server(SYSTEM.command, tmp_path) as server:
        config = quick(target("one", f"redis://127.0.0.1:{server.port}"))
        with running_exporter(tmp_path, config) as daemon:
            daemon.wait_for({"one": "ok"})
            memory = memory_bytes(daemon)
            with crowd(daemon.port, 200, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 300):
                assert seconds_of(daemon, "/metrics") < 10
                assert seconds_of(daemon, "/-/healthy") < 10
                assert memory_bytes(daemon) - memory < 60 * MB
                assert daemon.stop(within=15) == 0


def test_ten_thousand_random_requests_are_answered_and_raise_nothing() -> None:
    statuses = fuzz(seed=int(time.time()), requests=10_000)
    assert statuses.keys() >= {b"200", b"400", b"403", b"404", b"405", b"413"}


def test_random_bytes_over_sockets_cost_no_memory_and_no_line(daemon: Daemon) -> None:
    chance = random.Random()

    def talk(requests: list[bytes]) -> None:
        for request in requests:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", daemon.port), 0.02) as one,
            ):
                one.sendall(request)
                one.recv(65536)

    requests = [random_request(chance) for _ in range(1200)]
    talk(requests[:400])
    log, memory = len(daemon.output()), memory_bytes(daemon)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, (requests[start::8] for start in range(8))))
    assert seconds_of(daemon, "/metrics") < 5
    assert memory_bytes(daemon) - memory < 8 * MB
    news = [line for line in daemon.output()[log:].splitlines() if "configuration loaded" not in line]
    assert news == [], "it reloads when a random request says so"


def test_without_a_descriptor_left_newcomers_are_served_and_nothing_spins(tmp_path: Path) -> None:
    need_program("prlimit")
    need(SYSTEM.present, "redis-server is not installed")
    files = 128  # 64 of them are kept from targets
    with running_server(SYSTEM.command, tmp_path) as server:
        config = quick(target("one", f"redis://127.0.0.1:{server.port}"))
        limited = ("prlimit", f"--nofile={files}:{files}")
        with running_exporter(tmp_path, config, prefix=limited) as daemon:
            daemon.wait_for({"one": "ok"})
            taken = len([*Path(f"/proc/{daemon.process.pid}/fd").iterdir()])
            resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (taken + 5, files))
            with crowd(daemon.port, 60, HEALTH):
                for path in ("/-/healthy", "/metrics"):
                    assert seconds_of(daemon, path) < 10
            resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (taken, files))
            with crowd(daemon.port, 10, HEALTH):
                used, begun = cpu_seconds(daemon), time.monotonic()
                eventually(lambda: time.monotonic() - begun > 1.5)
                assert cpu_seconds(daemon) - used < 0.6, "it waits, and does not spin"
            assert daemon.output().count("cannot accept HTTP connections") == 1
            resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (files, files))
            daemon.wait_for({"one": "ok"})


def test_fifty_scrapes_a_second_are_four_pages_at_most(tmp_path: Path) -> None:
    """Each page tells how much CPU was used when it was made, which is another number each time."""
    need(SYSTEM.present, "redis-server is not installed")
    with running_server(SYSTEM.command, tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}"
        with running_exporter(tmp_path, quick(target("one", url))) as daemon:
            daemon.wait_for({"one": "ok"})
            begun = time.monotonic()
            with ThreadPoolExecutor(8) as pool:
                pages = set(pool.map(lambda _: daemon.ask("/metrics").body, range(150)))
            assert 1 <= len(pages) <= 4 * (time.monotonic() - begun) + 2
