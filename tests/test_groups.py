"""Rows of CLIENT LIST to counts: every cut holds every connection once."""

import gc
import weakref
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.analyse.groups import Tally
from exporter.analyse.names import AppNames
from exporter.analyse.states import state_of
from exporter.model import AppRules, ClientGroups, ClientState
from tests.blocks import read_rows, split_blocks
from tests.oracle import count_clients

CAPTURES = sorted((Path(__file__).parent / "data").glob("clients-*.txt"))
STALE_AFTER = 300.0
_RULES = AppRules()
_ROW = (
    b"id=%d addr=%b:5 fd=8 name=%b age=%d idle=%d flags=%b db=%d sub=%d psub=%d ssub=0 multi=-1 watch=%d "
    b"omem=%d tot-mem=%d events=r cmd=%b user=%b lib-name=%b lib-ver=%b\n"
)


def count(reply: bytes, own_id: bytes = b"", own_address: bytes = b"") -> ClientGroups:
    tally = Tally(AppNames(_RULES), STALE_AFTER, own_id, own_address)
    for block in split_blocks(reply):
        tally.add(*read_rows(block))
    return tally.groups()


def assert_as_the_slow_one_counts(reply: bytes) -> None:
    groups, slow = count(reply), count_clients(reply, _RULES, STALE_AFTER)
    cells = {(app, state): n for app, held in groups.apps.items() for state, n in held.states.items()}
    assert cells == slow["apps"]
    for name in ("hosts", "users", "libraries", "commands", "databases", "blocked"):
        assert Counter(getattr(groups, name)) == slow[name], name
    numbers = {
        "idle": groups.idle_seconds_sum,
        "age": groups.age_seconds_sum,
        "memory": sum(app.memory_bytes or 0 for app in groups.apps.values()),
        "nameless": groups.nameless,
    }
    assert Counter(numbers) == slow["numbers"]
    for parts in (groups.hosts, groups.users, groups.libraries, groups.commands, groups.databases, cells):
        assert sum(parts.values()) == groups.total
    # A Counter equals another whose missing keys are 0.
    apps = groups.apps.items()
    assert Counter({name: app.subscriptions or 0 for name, app in apps}) == slow["subscriptions"]
    assert Counter({name: app.output_buffer_bytes or 0 for name, app in apps}) == slow["output"]
    assert sum(groups.idle_seconds) == sum(groups.age_seconds) == groups.total


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_every_capture_counts_as_the_slow_reader_counts_it(capture: Path) -> None:
    assert_as_the_slow_one_counts(capture.read_bytes())


_CLIENTS = st.tuples(
    st.integers(1, 10**6),
    st.sampled_from([b"10.0.0.1", b"10.0.0.2", b"[::1]", b"/run/x"]),
    st.sampled_from([b"", b"orders-1", b"orders-2", b"cart", b"a=b"]),
    st.integers(0, 10**6),
    st.sampled_from([0, 1, 5, 299, 300, 301, 10**6]),
    st.text("NbPxOSMduAIUCgoiEtTBreH", min_size=1, max_size=4).map(str.encode),
    st.integers(0, 3),
    st.sampled_from([0, 0, 1, 12]),
    st.sampled_from([0, 0, 3]),
    st.integers(0, 2),
    st.sampled_from([0, 0, 20_504, 10**9]),
    st.integers(0, 10**9),
    st.sampled_from([b"get", b"blpop", b"NULL"]),
    st.sampled_from([b"default", b"shop", "größe".encode()]),
    st.sampled_from([b"", b"redis-py"]),
    st.sampled_from([b"", b"8.1.0"]),
)


@given(st.lists(_CLIENTS, max_size=30))
def test_any_list_counts_as_the_slow_reader_counts_it(clients: list[tuple[object, ...]]) -> None:
    assert_as_the_slow_one_counts(b"".join(_ROW % client for client in clients))


def test_our_own_connection_is_left_out_of_every_cut() -> None:
    reply = b"".join(
        _ROW % (number, b"10.0.0.1", b"app", 9, 0, b"N", 0, 2, 1, 0, 5, 7, b"get", b"u", b"", b"")
        for number in range(3)
    )
    groups = count(reply, own_id=b"1")
    app = groups.apps["app"]
    assert (groups.total, groups.hosts, app.memory_bytes) == (2, {"10.0.0.1": 2}, 14)
    assert (app.subscriptions, app.output_buffer_bytes) == (6, 10)


@pytest.mark.parametrize(
    ("flags", "watch", "idle", "state"),
    [
        (b"N", b"0", 0, ClientState.ACTIVE),
        (b"N", b"", 300, ClientState.IDLE),
        (b"N", b"", 301, ClientState.STALE),
        (b"Ue", b"0", 301, ClientState.STALE),
        (b"x", b"0", 301, ClientState.IDLE),
        (b"d", b"", 301, ClientState.IDLE),
        (b"N", b"1", 301, ClientState.IDLE),
        (b"P", b"0", 301, ClientState.PUBSUB),
        (b"b", b"0", 301, ClientState.BLOCKED),
        (b"O", b"0", 301, ClientState.MONITOR),
        (b"S", b"0", 301, ClientState.REPLICA),
        (b"SC", b"0", 0, ClientState.REPLICA),
        (b"M", b"0", 301, ClientState.PRIMARY),
        (b"I", b"0", 301, ClientState.STALE),
        # A priority client of Valkey 9.2 is judged by its other flags.
        (b"H", b"0", 0, ClientState.ACTIVE),
        (b"H", b"0", 301, ClientState.STALE),
        (b"HP", b"0", 301, ClientState.PUBSUB),
        (b"bH", b"0", 301, ClientState.BLOCKED),
        (b"SH", b"0", 301, ClientState.REPLICA),
        (b"xH", b"0", 301, ClientState.IDLE),
    ],
)
def test_the_flags_and_the_idle_time_decide_the_state(
    flags: bytes, watch: bytes, idle: int, state: ClientState
) -> None:
    assert state_of(flags, int(watch or 0), idle, STALE_AFTER) is state


def test_memory_is_unknown_where_the_server_does_not_tell_it() -> None:
    capture = next(path for path in CAPTURES if "5.0" in path.name)
    assert {app.memory_bytes for app in count(capture.read_bytes()).apps.values()} == {None}


def test_subscriptions_and_output_buffers_are_unknown_where_the_server_does_not_tell_them() -> None:
    reply = b"id=1 addr=1.2.3.4:5 name=a age=9 idle=1 flags=N db=0 events=r cmd=get user=u\n"
    (app,) = count(reply).apps.values()
    assert (app.subscriptions, app.output_buffer_bytes) == (None, None)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_captured_apps_have_their_subscriptions(capture: Path) -> None:
    apps = count(capture.read_bytes()).apps
    assert {name: app.subscriptions for name, app in apps.items() if app.subscriptions} == {"listening": 1}
    assert all(app.output_buffer_bytes is not None for app in apps.values())


def test_captured_clients_belong_to_their_apps() -> None:
    capture = next(path for path in CAPTURES if "valkey" in path.name)
    groups = count(capture.read_bytes())
    assert groups.total == 12
    assert groups.apps["orders"].states == {ClientState.ACTIVE: 1}
    assert groups.apps["waiting"].states == {ClientState.BLOCKED: 1}
    assert groups.apps["other"].total == 4, "too young to be called nameless"
    assert groups.hosts == {"127.0.0.1": 11, "unix": 1}
    assert groups.blocked == {"blpop": 1}


def test_a_list_that_was_counted_leaves_memory_at_once() -> None:
    gc.collect()
    gc.disable()
    try:
        tally = Tally(AppNames(_RULES), STALE_AFTER)
        tally.add(*read_rows(CAPTURES[0].read_bytes()))
        tally.groups()
        gone = weakref.ref(tally)
        del tally
        assert gone() is None
    finally:
        gc.enable()
