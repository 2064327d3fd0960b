"""CONFIG GET over a connection: how often it is asked, what becomes of the answer, what a denial costs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import redis

from exporter.connection.link import Link
from exporter.demo.servers import Server, free_port
from exporter.model import Outage, Reading, State, Target
from exporter.poll import redis as redis_poll
from tests.conftest import StartServer
from tests.daemon import quick, running_exporter, target
from tests.fake_server import commands
from tests.one_page import info_of
from tests.servers.kinds import KINDS, OLDEST, ServerKind
from tests.test_asking import BUFFERS, LIMIT, OLD, RESERVED, VALKEY_9_2
from tests.test_link import _with_fake
from tests.waiting import eventually


def _bulks(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _polls(
    info: dict[str, object],
    config: Callable[[str], bytes],
    change: Callable[[Target], Target] = lambda target: target,
) -> tuple[list[Reading | Outage], list[str]]:
    """Two polls of a fake server over one link, and what it was asked by CONFIG."""
    asked: list[str] = []
    readings: list[Reading | Outage] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for words in commands(reader):
            command = b" ".join(words).decode()
            if command == "INFO":
                writer.write(_bulks(info_of(**info))[4:])
            elif command.startswith("CONFIG"):
                asked.append(command)
                writer.write(config(command))
            else:
                writer.write(b"+OK\r\n")

    async def use(target: Target) -> None:
        link = Link(target.access)
        readings.extend([await redis_poll.poll_once(change(target), link, 5.0) for _ in range(2)])
        assert link.connects == 1
        link.close()

    _with_fake(serve, use)
    return readings, asked


def _valkey(command: str) -> bytes:
    values = {LIMIT: b"100", RESERVED: b"20", BUFFERS: b"normal 0 0 0 pubsub 4096 2048 5"}
    names = command.split()[2:]
    return _bulks(*(word for name in names for word in (name.encode(), values[name])))


def test_a_reserve_is_asked_for_once_and_kept_with_the_connection() -> None:
    readings, asked = _polls(VALKEY_9_2 | {"maxclients": 100, "connected_clients": 63}, _valkey)
    assert asked == [f"CONFIG GET {RESERVED} {BUFFERS}"]
    for reading in readings:
        assert isinstance(reading, Reading)
        assert (reading.slots.reserved, reading.slots.utilization) == (20, 0.75)
        assert reading.config.buffer_limits["pubsub"].hard_bytes == 4096


def test_a_configured_reserve_wins_over_the_servers_own() -> None:
    full = VALKEY_9_2 | {"maxclients": 100, "connected_clients": 83}
    for reserved, utilization in ((0, 0.83), (50, 1.6)):
        readings, _ = _polls(full, _valkey, partial(replace, max_clients_reserved=reserved))
        for reading in readings:
            assert isinstance(reading, Reading)
            assert (reading.slots.reserved, reading.slots.utilization) == (reserved, utilization)
            assert reading.state is (State.AT_LIMIT if utilization > 1 else State.OK)


def test_an_old_servers_limit_is_asked_for_at_every_poll_and_the_rest_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = iter([b"100", b"200"])

    def config(command: str) -> bytes:
        return _bulks(b"maxclients", next(limits)) if LIMIT in command else _valkey(command)

    readings, asked = _polls(OLD, config)
    assert asked == [f"CONFIG GET {LIMIT}", f"CONFIG GET {BUFFERS}", f"CONFIG GET {LIMIT}"]
    assert [reading.slots.limit for reading in readings if isinstance(reading, Reading)] == [100, 200]
    assert all(reading.config.buffer_limits for reading in readings if isinstance(reading, Reading))

    monkeypatch.setattr(redis_poll, "_CONFIG_SECONDS", 0.0)  # as if a minute had gone by
    limits = iter([b"100", b"200"])
    _, asked = _polls(OLD, config)
    assert len(asked) == 4


@pytest.mark.parametrize("refusal", [b"-NOPERM no\r\n", b"-ERR unknown command 'CONFIG'\r\n"])
def test_a_denial_is_remembered_and_costs_nothing_else(refusal: bytes) -> None:
    readings, asked = _polls(OLD | {"connected_clients": 3}, lambda _: refusal)
    assert asked == [f"CONFIG GET {LIMIT}"]
    for reading in readings:
        assert isinstance(reading, Reading)
        assert (reading.slots.used, reading.slots.limit, reading.config.buffer_limits) == (3, None, {})
        assert reading.denied == {"config|get"}


@pytest.mark.parametrize("reply", [b"*0\r\n", b"-LOADING later\r\n", b":1\r\n", b"$-1\r\n", b"*1\r\n:1\r\n"])
def test_an_odd_answer_tells_nothing_and_costs_nothing_else(reply: bytes) -> None:
    readings, _ = _polls(VALKEY_9_2 | {"connected_clients": 3}, lambda _: reply)
    for reading in readings:
        assert isinstance(reading, Reading)
        assert (reading.slots.used, reading.slots.reserved, reading.denied) == (3, None, frozenset())


_WITH_A_LIMIT_IN_INFO = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind is not OLDEST], ids=lambda kind: kind.name
)


def _asked(client: redis.Redis) -> int:
    """How often CONFIG was run; MONITOR shows no administration."""
    stats = client.info("commandstats")
    return sum(
        stat["calls"] for name, stat in stats.items() if name in ("cmdstat_config", "cmdstat_config|get")
    )


def test_the_default_user_is_told_the_buffer_limits_for_one_question_a_minute(
    kind: ServerKind,
    start_server: StartServer,
    talk: Callable[[Server], redis.Redis],
    tmp_path: Path,
) -> None:
    server = start_server(kind=kind)
    client = talk(server)
    with running_exporter(tmp_path, quick(target("one", f"redis://127.0.0.1:{server.port}"))) as daemon:
        daemon.wait_for({"one": "ok"})
        polls, name = "redis_connection_exporter_polls_total", "redis_client_output_buffer_limit_bytes"
        eventually(lambda: (daemon.scrape().get(polls, "one") or 0) >= 3)
        scrape = daemon.scrape()
        asked = _asked(client)
    assert scrape.get(name, "one", **{"class": "pubsub", "kind": "hard"}) == 33_554_432
    assert scrape.get(name, "one", **{"class": "replica", "kind": "soft"}) == 67_108_864
    assert scrape.get(name, "one", **{"class": "normal", "kind": "hard"}) is None
    assert asked == 1 if "maxclients" in client.info() else asked > 3


@_WITH_A_LIMIT_IN_INFO
def test_a_user_of_its_own_is_not_asked_for_what_info_tells(
    kind: ServerKind,
    start_server: StartServer,
    talk: Callable[[Server], redis.Redis],
    tmp_path: Path,
) -> None:
    server = start_server(kind=kind)
    client = talk(server)
    rights = ("on", ">secret", "-@all", "+info", "+client|list")
    client.execute_command("ACL", "SETUSER", "exporter", *rights)  # type: ignore[no-untyped-call]
    tree = quick(
        target("one", f"redis://127.0.0.1:{server.port}", username="exporter", password="secret"),
    )
    with running_exporter(tmp_path, tree) as daemon:
        daemon.wait_for({"one": "ok"})
        denied = {str(entry["object"]) for entry in client.acl_log()}
        scrape = daemon.scrape()
    assert not any("config" in each for each in denied), denied
    assert scrape.get("redis_connection_exporter_command_denied", "one", command="config|get") is None
    assert scrape.get("redis_connection_slots_limit", "one") is not None


@_WITH_A_LIMIT_IN_INFO
def test_a_sentinel_is_not_asked_for_a_config_that_it_does_not_have(
    kind: ServerKind, start_server: StartServer, tmp_path: Path
) -> None:
    primary = start_server(kind=kind)
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nsentinel monitor one 127.0.0.1 {primary.port} 1\n")
    start_sentinel = ServerKind(kind.name, (*kind.command, str(config), "--sentinel"), tls=kind.tls)
    sentinel = start_server(kind=start_sentinel, port=port)
    with running_exporter(tmp_path, quick(target("one", f"redis://127.0.0.1:{sentinel.port}"))) as daemon:
        scrape = daemon.wait_for({"one": "ok"})
    assert scrape.get("redis_connection_exporter_command_denied", "one", command="config|get") is None
