"""The proxy and the hungry clients of the soak do what they are told."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from tests.conftest import StartServer
from tests.soak.hungry import Hungry
from tests.soak.plan import Fault, Kind, Way
from tests.soak.proxy import Call, Door, garble, running_loop
from tests.waiting import eventually

BOTH = frozenset(Way)
LINE = b"0123456789 abcdefghij\n"


@contextmanager
def _echo(fault: Fault | None) -> Iterator[tuple[Door, Call[Any]]]:
    """A door to what sends everything back, and what runs a coroutine beside it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(4096):
                writer.write(piece)
        writer.transport.abort()

    async def start() -> tuple[asyncio.Server, Door]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        door = await Door(server.sockets[0].getsockname()[1]).listen()
        await door.misbehave(fault)
        return server, door

    async def stop() -> None:
        server.close()
        await door.shut()

    with running_loop() as call:
        server, door = call(start())
        yield door, call
        call(stop())


async def _ask(door: Door) -> tuple[bytes, float]:
    """What comes back of a line within a short time, and after how long."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    began = loop.time()
    try:
        writer.write(LINE)
        async with asyncio.timeout(1.5):
            return await reader.read(4096), loop.time() - began
    finally:
        writer.transport.abort()


def test_without_a_fault_a_door_passes_everything_on_and_counts_its_connections() -> None:
    with _echo(None) as (door, call):
        assert call(_ask(door))[0] == LINE
        eventually(lambda: door.connections == 0)


def test_a_door_resets_connections_old_and_new() -> None:
    async def hold() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(LINE)
        assert await reader.read(4096) == LINE
        return reader, writer

    with _echo(None) as (door, call):
        reader, writer = call(hold())
        call(door.misbehave(Fault(Kind.RESET, frozenset({Way.TO_EXPORTER}))))
        with pytest.raises(ConnectionResetError):
            call(reader.read(4096))
        with pytest.raises(ConnectionResetError):
            call(_ask(door))
        writer.transport.abort()
        call(door.misbehave(None))
        assert call(_ask(door))[0] == LINE


def test_a_door_delays() -> None:
    with _echo(Fault(Kind.DELAY, BOTH, delay=0.3)) as (door, call):
        line, took = call(_ask(door))
        assert line == LINE
        assert took >= 0.6


def test_a_door_drops() -> None:
    with _echo(Fault(Kind.DROP, frozenset({Way.TO_SERVER}))) as (door, call), pytest.raises(TimeoutError):
        call(_ask(door))


@pytest.mark.parametrize("cut", [True, False])
def test_a_door_halves_and_then_ends_the_connection_or_says_no_more(cut: bool) -> None:  # noqa: FBT001
    async def ask_twice() -> tuple[bytes, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(LINE)
        half = await reader.readexactly(len(LINE) // 2)
        try:
            async with asyncio.timeout(1):
                writer.write(LINE)
                return half + await reader.read(), "the end"
        except TimeoutError:
            return half, "silence"
        except ConnectionResetError:
            return half, "the end"
        finally:
            writer.transport.abort()

    with _echo(Fault(Kind.HALVE, frozenset({Way.TO_EXPORTER}), cut=cut)) as (door, call):
        assert call(ask_twice()) == (LINE[: len(LINE) // 2], "the end" if cut else "silence")


def test_a_door_garbles() -> None:
    with _echo(Fault(Kind.GARBLE, BOTH, seed=1)) as (door, call):
        line, _ = call(_ask(door))
        assert line != LINE
        assert len(line) == len(LINE)


def test_garbling_makes_no_number_behind_the_head_that_looks_true() -> None:
    chance, reply = random.Random(1), b"$21\r\nconnected_clients:12\r\nmaxclients:10000\r\n"
    spoilt = [garble(reply, chance) for _ in range(1000)]
    changes = [
        [(at, new) for at, (new, old) in enumerate(zip(each, reply, strict=True)) if new != old]
        for each in spoilt
    ]
    assert {at for each in changes for at, _ in each if at < 8} == set(range(8))
    behind = [new for each in changes for at, new in each if at >= 8]
    assert behind
    assert min(behind) >= 128


def test_hungry_clients_take_every_slot_and_make_room_when_told(
    start_server: StartServer, talk: Callable[..., redis.Redis]
) -> None:
    server = start_server("--maxclients", "10")
    control = talk(server)
    with running_loop() as call:
        hungry = call(Hungry(server.port, 10).start())
        call(hungry.eat())
        eventually(lambda: hungry.held == 9 and hungry.refused > 2)
        call(hungry.make_room(3))
        eventually(lambda: len(control.client_list()) == 7)
        assert hungry.held == 6
        call(hungry.eat())
        eventually(lambda: hungry.held == 9)
        call(hungry.stop())
        eventually(lambda: len(control.client_list()) == 1)
