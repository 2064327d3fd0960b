"""One connection over a real socket: what is owed is read first, and nothing is read by another command."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from exporter.connection.connect import connect, race
from exporter.connection.resp import ErrorReply, Mark
from exporter.connection.wire import Connection, UnaskedError
from exporter.model import Access, RedisUrl
from exporter.parse import GarbageError
from tests.fake_server import Serve, commands

Use = Callable[[Connection], Awaitable[None]]
PING = (b"PING",)


def converse(serve: Serve, use: Use) -> None:
    """Run a fake server and a connection to it."""

    async def main() -> None:
        async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            connection = await connect(Access(RedisUrl("127.0.0.1", port)), "127.0.0.1", None)
            async with asyncio.timeout(10):
                await use(connection)
            connection.close()
            await asyncio.sleep(0.01)

    uvloop.run(main())


async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each command with its number; one called SLOW after 0.1 s, LONG with a megabyte."""
    number = 0
    async for words in commands(reader):
        number += 1
        if words[0] == b"SLOW":
            await asyncio.sleep(0.1)
        writer.write(
            b"$1000000\r\n%b\r\n" % (b"x" * 1_000_000) if words[0] == b"LONG" else b":%d\r\n" % number
        )


def test_a_dead_host_is_told_within_two_minutes_also_while_it_owes_a_reply() -> None:
    async def use(connection: Connection) -> None:
        sock = connection._transport.get_extra_info("socket")  # noqa: SLF001
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        idle, interval, count, limit = (sock.getsockopt(socket.IPPROTO_TCP, each) for each in options)
        assert idle + interval * count <= 120
        assert limit == 120_000

    converse(counting, use)


def test_commands_sent_together_are_answered_in_their_order() -> None:
    async def use(connection: Connection) -> None:
        assert await connection.ask(PING, PING, PING) == [1, 2, 3]
        assert not connection.owed

    converse(counting, use)


@pytest.mark.parametrize("command", [b"SLOW", b"LONG"])
def test_whoever_stops_waiting_leaves_a_reply_owed_that_is_dropped_before_the_next_is_asked(
    command: bytes,
) -> None:
    async def use(connection: Connection) -> None:
        waiting = asyncio.ensure_future(connection.stream([command], lambda _: None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert connection.owed
        if command == b"SLOW":  # of LONG a part may have come
            assert connection.silent_for(time.monotonic() + 5) >= 4.9
        assert await connection.ask(PING) == [2]
        assert connection.silent_for(time.monotonic() + 5) == 0

    converse(counting, use)


def test_a_late_reply_that_waits_to_be_read_is_no_silence_however_long_ago_it_came() -> None:
    async def use(connection: Connection) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await connection.ask(PING)
        while not connection._wire.size:  # noqa: SLF001
            await asyncio.sleep(0.01)
        assert connection.silent_for(time.monotonic() + 1000) == 0
        assert await connection.ask(PING) == [2]

    converse(counting, use)


def test_settling_that_is_given_up_goes_on_where_it_was() -> None:
    async def use(connection: Connection) -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await connection.ask([b"SLOW"])
        assert await connection.ask(PING) == [2], "only the first SLOW was ever sent"

    converse(counting, use)


def test_a_reset_between_two_commands_is_known_before_the_next_and_raised_as_what_it_is() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"+PONG\r\n")
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    async def use(connection: Connection) -> None:
        assert await connection.ask(PING) == [b"PONG"]
        while connection.lost is None:
            await asyncio.sleep(0.01)
        with pytest.raises((OSError, EOFError)):
            await connection.ask(PING)

    converse(reset, use)


@pytest.mark.parametrize("pause", [0, 0.05])
def test_bytes_that_nobody_asked_for_are_never_taken_for_an_answer(pause: float) -> None:
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for _ in commands(reader):
            writer.write(b"+PONG\r\n" if pause else b"+PONG\r\n+AND MORE\r\n")
            if pause:
                await asyncio.sleep(pause)
                writer.write(b"+AND MORE\r\n")

    async def use(connection: Connection) -> None:
        if pause:
            assert await connection.ask(PING) == [b"PONG"]
            while connection.lost is None:
                await asyncio.sleep(0.01)
        with pytest.raises(UnaskedError):
            await connection.ask(PING)

    converse(talkative, use)


def test_a_connection_that_ends_in_a_reply_says_so_unless_the_reply_was_to_be_dropped() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        await asyncio.sleep(0.05)
        writer.write(b"$100\r\nhalf")

    async def wait(connection: Connection) -> None:
        with pytest.raises(asyncio.IncompleteReadError):
            await connection.ask(PING)

    async def give_up(connection: Connection) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connection.ask(PING)
        with pytest.raises(EOFError) as caught:
            await connection.ask(PING)
        assert not isinstance(caught.value, asyncio.IncompleteReadError)

    converse(half, wait)
    converse(half, give_up)


def test_a_dropped_reply_has_no_end_to_wait_for_but_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.connection.wire.DROPPED_REPLY_BYTES", 500_000)

    async def use(connection: Connection) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await connection.ask([b"LONG"])
        with pytest.raises(GarbageError):
            await connection.ask(PING)

    converse(counting, use)


def test_what_a_server_says_before_it_is_asked_and_hangs_up_is_the_answer_to_the_first_command() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR max number of clients reached\r\n")
        await writer.drain()

    async def use(connection: Connection) -> None:
        await asyncio.sleep(0.05)
        first, *_ = connection.send(PING, PING)
        assert await connection.receive(first) == ErrorReply("ERR max number of clients reached")

    converse(refuse, use)


def test_a_long_text_is_handed_on_in_pieces_and_its_cost_is_the_time_to_its_first_byte() -> None:
    pieces: list[bytes] = []

    async def use(connection: Connection) -> None:
        await connection.ask(PING)
        reply, seconds = await connection.stream([b"LONG"], pieces.append)
        assert reply is Mark.STREAMED
        assert sum(map(len, pieces)) == 1_000_000
        assert max(map(len, pieces)) <= 96 * 1024
        assert 0 <= seconds < 5

    converse(counting, use)


def test_closing_twice_and_asking_after_it_hurt_nobody() -> None:
    async def use(connection: Connection) -> None:
        connection.close()
        connection.close()
        with pytest.raises((OSError, EOFError)):
            await connection.ask(PING)

    converse(counting, use)


class Opened:
    """Stands for a connection, to see whether it is closed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_addresses_are_raced_and_the_losers_are_closed() -> None:
    opened: list[Opened] = []
    takes = {"deaf": 60.0, "slow": 0.1, "quick": 0.03}

    async def attempt(address: str) -> Connection:
        if address == "dead":
            raise ConnectionRefusedError
        await asyncio.sleep(takes[address])
        opened.append(Opened(address))
        return opened[-1]  # type: ignore[return-value]

    async def main() -> None:
        async with asyncio.timeout(5):
            first = await race(["dead", "deaf", "slow", "quick"], attempt, within=0.08)
            assert first.address in ("slow", "quick")  # type: ignore[attr-defined]
            second = await race(["dead", "dead", "quick"], attempt, within=180.0)
            assert second.address == "quick", "a failure starts the next at once"  # type: ignore[attr-defined]
            with pytest.raises(ConnectionRefusedError):
                await race(["dead", "dead"], attempt, 1.0)
            with pytest.raises(OSError, match="no address"):
                await race([], attempt, 1.0)
        await asyncio.sleep(0.2)
        assert [each.address for each in opened if not each.closed] == [first.address, "quick"]  # type: ignore[attr-defined]

    uvloop.run(main())
