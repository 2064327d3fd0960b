"""What is used of redis-py, pinned; and a connection that never mixes up replies."""

import asyncio
import contextlib
import socket
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from exporter.connection.errors import LinkError
from exporter.connection.link import Link
from exporter.connection.opening import GREETING, INFO
from exporter.connection.resp import pack
from exporter.model import Access, Outage, Pace, Reading, State, Target
from exporter.poll.redis import poll_once
from exporter.settings.kinds import parse_redis_url
from tests.conftest import StartServer
from tests.crowd import crowd
from tests.fake_server import INFO_REPLY, answering, commands

LOOPS: tuple[Callable[[Coroutine[Any, Any, Any]], Any], ...] = (uvloop.run, asyncio.run)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _target(port: int, **access: Any) -> Target:
    return Target("t", Access(parse_redis_url(f"redis://127.0.0.1:{port}"), **access))


async def _observe(target: Target, link: Link, timeout: float = 2.0) -> Reading | Outage:
    return await poll_once(target, link, timeout)


def _with_fake(serve: Serve, use: Callable[[Target], Awaitable[None]]) -> None:
    """Run a fake server of a few lines, for answers that no real server can be made to give."""

    async def main() -> None:
        conversations: set[asyncio.Task[None]] = set()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            conversations.add(task)
            try:
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await serve(reader, writer)
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        async with server:
            await use(_target(server.sockets[0].getsockname()[1]))
            for task in conversations:
                task.cancel()
            await asyncio.gather(*conversations)

    uvloop.run(main())


@pytest.mark.parametrize("run", LOOPS, ids=["uvloop", "asyncio"])
def test_a_hundred_refusals_are_a_hundred_times_at_limit_and_one_attempt_each(
    run: Callable[[Any], Any], start_server: StartServer
) -> None:
    server = start_server("--maxclients", "10")
    target = _target(server.port, password="sent before the refusal is read")

    async def main() -> None:
        link = Link(target.access)
        for _ in range(100):
            observation = await _observe(target, link)
            assert observation.state is State.AT_LIMIT, observation
        assert link.connects == 100

    with crowd(server.port) as clients:
        clients.fill()
        run(main())


@pytest.mark.parametrize("run", LOOPS, ids=["uvloop", "asyncio"])
def test_the_link_closes_without_a_trace(run: Callable[[Any], Any], start_server: StartServer) -> None:
    server = start_server()
    target = _target(server.port)

    async def main() -> None:
        link = Link(target.access)
        assert isinstance(await _observe(target, link), Reading)
        link.close()
        link.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())


def test_redis_py_sends_nothing_of_its_own() -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(4096))
        writer.close()

    async def use(target: Target) -> None:
        await _observe(target, Link(target.access))

    _with_fake(serve, use)
    assert seen == [b"".join(map(pack, (INFO, *GREETING.values())))]


def test_a_late_reply_is_dropped_and_the_next_poll_reads_its_own_over_the_same_connection() -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        async for words in commands(reader):
            if words == [b"INFO"]:
                asked += 1
                await asyncio.sleep(0.2 if asked == 2 else 0)
                body = b"# Clients\r\nconnected_clients:%d\r\n" % asked
                writer.write(b"$%d\r\n%b\r\n" % (len(body), body))
            else:
                writer.write(b"+OK\r\n")

    async def use(target: Target) -> None:
        link = Link(target.access)
        assert isinstance(await _observe(target, link), Reading)
        late = await _observe(target, link, 0.05)
        assert late.state is State.TIMEOUT
        cancelled = asyncio.ensure_future(_observe(target, link))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        reading = await _observe(target, link)
        assert isinstance(reading, Reading)
        assert reading.slots.used == 3, "the reply of the third INFO"
        assert link.connects == 1
        link.close()

    _with_fake(serve, use)


def test_a_server_whose_every_answer_takes_more_than_half_the_timeout_is_read_at_every_poll() -> None:
    """What is asked besides INFO must not cost what INFO told, nor be begun anew for ever."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for words in commands(reader):
            asked.append(words[0])
            answer = INFO_REPLY if words == [b"INFO"] else b"+OK\r\n"
            asyncio.get_running_loop().call_later(0.6, writer.write, answer)

    async def use(target: Target) -> None:
        link = Link(target.access, Pace(5.0, 1.0))
        for _ in range(3):
            assert isinstance(await _observe(target, link, 1.0), Reading)
        assert (link.connects, asked.count(b"CONFIG")) == (1, 0)
        assert isinstance(await _observe(target, link, 5.0), Reading)
        assert asked.count(b"CONFIG") > 0, "there is time for it now"
        link.close()

    _with_fake(serve, use)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"-NOAUTH Authentication required.\r\n", State.AUTH),
        (b"-NOPERM this user has no permissions to run the 'info' command\r\n", State.NOPERM),
        (b"-LOADING Redis is loading the dataset in memory\r\n", State.LOADING),
        (b"-BUSY Redis is busy running a script.\r\n", State.BUSY),
        (b"-DENIED Redis is running in protected mode\r\n", State.REFUSED),
        (b"-ERR max number of clients reached\r\n", State.AT_LIMIT),
        (b"-ERR max number of clients + cluster connections reached\r\n", State.AT_LIMIT),
        (b"-ERR unknown command 'INFO'\r\n", State.NOPERM),
        (b"-ERR something new\r\n", State.PROTOCOL),
        (b"$5\r\nhello\r\n", State.PROTOCOL),
        (b"$-1\r\n", State.PROTOCOL),
        (b"$99999999999999999999\r\n", State.PROTOCOL),
        (b"$1000000000\r\n", State.PROTOCOL),
        (b"$x\r\n", State.PROTOCOL),
        (b"*99999999\r\n", State.PROTOCOL),
        (b"*1\r\n" * 50, State.PROTOCOL),
        (b":5\r\n", State.PROTOCOL),
        (b"+OK\r\n", State.PROTOCOL),
        (b"%1\r\n+a\r\n+b\r\n", State.PROTOCOL),
        (b"\x15\x03\x01\x00\x02\x02\x50\r\n", State.PROTOCOL),
        (b"x" * 100_000, State.PROTOCOL),
        (b"$20\r\nhalf", State.PROTOCOL),
        (b"$20\r\n", State.PROTOCOL),
        (b"*64\r\n" + b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n" + b"$1000000\r\n", State.PROTOCOL),
        (b"", State.UNREACHABLE),
    ],
)
def test_whatever_is_answered_has_one_state(answer: bytes, state: State) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def use(target: Target) -> None:
        link = Link(target.access)
        observation = await _observe(target, link)
        assert observation.state is state
        assert isinstance(observation, Outage)
        assert observation.detail.isprintable()
        link.close()

    _with_fake(serve, use)


@given(st.binary(max_size=200))
def test_whatever_is_answered_is_a_reading_or_an_outage_and_never_an_exception(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    async def use(target: Target) -> None:
        link = Link(target.access)
        assert isinstance(await _observe(target, link, 1), Reading | Outage)
        link.close()

    _with_fake(serve, use)


def test_a_server_that_repeats_our_password_in_an_error_does_not_get_it_into_the_log() -> None:
    def reply(words: list[bytes]) -> bytes:
        if words == [b"INFO"]:
            return b"-ERR your password is hunter2, is it not" + b" " * 154 + b"hunter2\r\n"
        return b"+OK\r\n"

    serve = answering(reply)

    async def use(target: Target) -> None:
        target = Target("t", Access(target.access.url, password="hunter2"))
        link = Link(target.access)
        observation = await _observe(target, link)
        assert isinstance(observation, Outage)
        assert observation.detail.startswith("ERR your password is ***, is it not")
        assert "hunt" not in observation.detail, "nor the half of it where the text is cut"
        link.close()

    _with_fake(serve, use)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"-WRONGPASS invalid username-password pair or user is disabled.\r\n", State.AUTH),
        (b"-ERR invalid password\r\n", State.AUTH),
        (b"-DENIED Redis is running in protected mode\r\n", State.REFUSED),
        (b"-LOADING Redis is loading the dataset in memory\r\n", State.LOADING),
        (b"-ERR max number of clients reached\r\n", State.AT_LIMIT),
    ],
)
def test_a_refusal_in_place_of_the_answer_to_auth_keeps_its_meaning(answer: bytes, state: State) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await reader.read()

    async def use(target: Target) -> None:
        link = Link(Access(target.access.url, password="p"))
        assert (await _observe(target, link)).state is state
        link.close()

    _with_fake(serve, use)


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (b"*2\r\n$10\r\nmaxclients\r\n$3\r\n500\r\n", 500),
        (b"*2\r\n$10\r\nmaxclients\r\n$5000\r\n" + b"9" * 5000 + b"\r\n", 77),
        (b"*0\r\n", 77),
        (b"-NOPERM no\r\n", 77),
        (b"-LOADING later\r\n", 77),
        (b"", 77),
    ],
)
def test_an_old_server_is_asked_for_its_limit_and_whatever_it_says_what_info_told_stands(
    config: bytes, limit: int
) -> None:
    replies = {b"INFO": INFO_REPLY, b"CONFIG": config or None}
    serve = answering(lambda words: replies.get(words[0], b"+OK\r\n"))

    async def use(target: Target) -> None:
        link = Link(target.access)
        observation = await _observe(Target("t", target.access, max_clients=77), link)
        assert isinstance(observation, Reading), observation
        assert (observation.slots.used, observation.slots.limit) == (3, limit)
        assert link.connects == 1
        link.close()

    _with_fake(serve, use)


def test_names_that_do_not_resolve_in_time_delay_no_other_target_and_no_exit(
    monkeypatch: pytest.MonkeyPatch, start_server: StartServer
) -> None:
    server = start_server()
    lookups: list[str] = []
    over = threading.Event()
    real = socket.getaddrinfo

    def dead(host: str, *rest: Any, **options: Any) -> Any:
        lookups.append(host)
        if host.startswith("dead"):
            over.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", dead)

    async def main() -> None:
        links = [Link(Access(parse_redis_url(f"redis://dead-{number}"))) for number in range(20)]
        good = Target("good", Access(parse_redis_url(f"redis://localhost:{server.port}")))
        link = Link(good.access)
        for _ in range(2):
            polls = (_observe(_target(1), each, 0.2) for each in links)
            *bad, reading = await asyncio.gather(*polls, _observe(good, link, 2))
            assert {each.state for each in bad} == {State.TIMEOUT}
            assert isinstance(reading, Reading)
            assert reading.took < 1
            link.close()
        assert lookups.count("dead-0") == 1, "one lookup at a time"
        assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("name "))

    uvloop.run(main())
    over.set()
    for thread in threading.enumerate():
        if thread.name.startswith("name "):
            thread.join(5)


def test_nothing_listening_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def main() -> None:
        target = _target(port)
        started = time.monotonic()
        observation = await _observe(target, Link(target.access))
        assert observation.state is State.REFUSED
        assert time.monotonic() - started < 1, "no retries"

    uvloop.run(main())


def test_a_missing_password_file_is_an_auth_problem_with_its_reason() -> None:
    async def main() -> None:
        link = Link(Access(parse_redis_url("redis://127.0.0.1:1"), password_file=Path("/nowhere")))
        with pytest.raises(LinkError, match="password_file /nowhere does not exist") as caught:
            await link.info()
        assert caught.value.state is State.AUTH

    uvloop.run(main())


@pytest.mark.parametrize(("interval", "timeout"), [(5.0, 2.0), (1.0, 0.01), (60.0, 59.0), (1.0, 0.999)])
def test_polls_are_never_closer_than_the_interval_and_never_older_than_interval_and_timeout(
    interval: float, timeout: float
) -> None:
    pace = Pace(interval, timeout)
    assert pace.gap(0) == interval
    assert pace.gap(1) <= min(interval + timeout / 2, 1.1 * interval)
    assert pace.gap(0) < pace.gap(0.5) < pace.gap(1), "jittered"
    assert pace.patience > pace.gap(1) + timeout


@pytest.mark.parametrize(("interval", "timeout"), [(5.0, 2.0), (1.0, 0.01), (60.0, 59.0), (1.0, 0.999)])
def test_polls_that_begin_on_a_grid_come_later_by_less_than_a_quarter_of_the_timeout(
    interval: float, timeout: float
) -> None:
    pace = Pace(interval, timeout, grid=0.05)
    for started in (0.0, 7.3, 1234.567):
        for chance in (0.0, 0.5, 1.0):
            gap = pace.due(started, chance) - started
            assert pace.gap(chance) <= gap + 1e-9
            assert gap < pace.gap(chance) + min(0.05, timeout / 4) + 1e-9
    assert len({pace.due(started, 0) for started in (0.001, 0.002, 0.002)}) == 1


def _list(reply: bytes) -> tuple[list[bytes], float | LinkError | None, frozenset[str], bool]:
    """Stream a fake answer: what came, how it ended, what is denied then, and whether the link lives."""
    pieces: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for words in commands(reader):
            writer.write({b"INFO": INFO_REPLY}.get(words[0], reply if words[-1] == b"LIST" else b"+OK\r\n"))
            if words[-1] == b"LIST" and not reply.endswith(b"\r\n"):
                return

    found: list[tuple[list[bytes], float | LinkError | None, frozenset[str], bool]] = []

    async def use(target: Target) -> None:
        link = Link(target.access)
        await link.info()
        session = link.session
        assert session is not None
        end: float | LinkError | None
        try:
            async with asyncio.timeout(5):
                end = await session.stream_if_allowed(pieces.append, "client|list", b"CLIENT", b"LIST")
        except LinkError as error:
            end = error
        found.append((pieces, end, session.denied, not session.closed))
        link.close()

    _with_fake(serve, use)
    return found[0]


def test_a_list_is_handed_on_in_pieces_as_it_comes() -> None:
    text = b"id=1 name=a\n" * 50_000
    pieces, cost, denied, alive = _list(b"$%d\r\n%b\r\n" % (len(text), text))
    assert b"".join(pieces) == text
    assert max(map(len, pieces)) <= 98304
    assert isinstance(cost, float)
    assert (denied, alive) == (frozenset(), True)


def test_an_empty_list_is_no_error() -> None:
    pieces, cost, _, alive = _list(b"$0\r\n\r\n")
    assert (pieces, alive) == ([], True)
    assert cost is not None


@pytest.mark.parametrize(
    ("reply", "denied"),
    [
        (b"-NOPERM this user has no permissions\r\n", {"client|list"}),
        (b"-ERR unknown command 'CLIENT'\r\n", {"client|list"}),
        (b"-LOADING later\r\n", set()),
        (b"-ERR syntax error\r\n", set()),
    ],
)
def test_a_refused_list_keeps_the_connection_and_is_remembered_only_when_denied(
    reply: bytes, denied: set[str]
) -> None:
    assert _list(reply) == ([], None, frozenset(denied), True)


@pytest.mark.parametrize(
    "reply", [b"$100\r\nid=1", b"*1\r\n", b"+OK\r\n", b"$-1\r\n", b"$9x\r\n", b"$" + b"9" * 30 + b"\r\n"]
)
def test_a_list_that_is_cut_or_garbage_closes_the_connection(reply: bytes) -> None:
    _, error, _, alive = _list(reply)
    assert isinstance(error, LinkError)
    assert error.state is State.PROTOCOL
    assert not alive
