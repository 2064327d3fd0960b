"""INFO replies as servers really send them, and as nobody should."""

import ast
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.analyse.slots import count_slots, peak, recent
from exporter.limits import INFO_ROWS, INFO_WHOLE_BYTES
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.spec import Field
from exporter.parse import ReplyError
from exporter.parse.fields import NUMBERS, TEXTS
from exporter.parse.info import LongInfo, parse_cluster_known_nodes, parse_info, parse_list_seconds
from tests.one_page import info_of, reading_of, series_of

CAPTURES = sorted((Path(__file__).parent / "data").glob("info-*.txt"))
# No such server is at hand: the names are those of its own tests (tests/unit/qos.tcl).
VALKEY_9_2 = {b"connected_priority_clients", b"rejected_priority_connections"}


def slow_parse(reply: bytes) -> dict[bytes, bytes]:
    """The obvious parser: line by line, a number is digits with at most one point inside."""
    numbers = {}
    for line in reply.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        whole, point, fraction = value.partition(b".")
        digits = (
            whole.isdigit()
            and len(whole) <= 20
            and (not point or (fraction.isdigit() and len(fraction) <= 20))
        )
        if colon and digits and re.fullmatch(rb"[a-z][a-z0-9_]*", name):
            numbers[name] = value
    return numbers


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_a_captured_reply_gives_the_numbers_that_the_obvious_parser_gives(capture: Path) -> None:
    reply = capture.read_bytes()
    info = parse_info(reply)
    assert dict(info.numbers) == {name: value for name, value in slow_parse(reply).items() if name in NUMBERS}
    assert info.count(b"connected_clients") is not None
    assert info.version >= (5, 0)


def _names_in(node: ast.AST) -> Iterator[str]:
    """The word that a constant of the source is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bytes | str):
        yield node.value.decode(errors="replace") if isinstance(node.value, bytes) else node.value


def test_every_field_that_something_reads_is_kept_and_no_other() -> None:
    files = [path for path in Path("exporter").rglob("*.py") if path.name != "fields.py"]
    words = {
        word for path in files for node in ast.walk(ast.parse(path.read_text())) for word in _names_in(node)
    }
    asked = {
        word
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _reads_a_field(node.func)
        for each in node.args[:1]
        for word in _names_in(each)
    }
    copied = {family.source.name.decode() for family in CATALOGUE if isinstance(family.source, Field)}
    kept = {name.decode() for name in NUMBERS | TEXTS}
    assert len(asked) > 15
    assert asked | copied <= kept
    assert kept <= words


def _reads_a_field(function: ast.expr) -> bool:
    """Whether this is `.count` of a reading, or `.get` of its numbers or texts."""
    if not isinstance(function, ast.Attribute):
        return False
    of = function.value.attr if isinstance(function.value, ast.Attribute) else ""
    of = function.value.id if isinstance(function.value, ast.Name) else of
    wanted = {"count": ("info", "before", "after"), "get": ("numbers", "texts")}
    return of in wanted.get(function.attr, ())


def test_every_version_is_captured_and_every_field_of_the_catalogue_is_in_one_of_them() -> None:
    assert len(CAPTURES) >= 5
    seen = {name for capture in CAPTURES for name in parse_info(capture.read_bytes()).numbers}
    wanted = {family.source.name for family in CATALOGUE if isinstance(family.source, Field)}
    assert wanted - seen == VALKEY_9_2


def test_a_version_is_no_number() -> None:
    info = parse_info(b"# Server\r\nredis_version:7.0.15\r\nconnected_clients:1\r\n")
    assert b"redis_version" not in info.numbers
    assert info.version == (7, 0, 15)


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"1e5", b"nan", b"0x1", b"1.", b".5", b"9" * 400, b"1 2", "٣".encode()]
)
def test_a_value_that_prometheus_might_refuse_is_left_out(value: bytes) -> None:
    info = parse_info(b"# Clients\r\nconnected_clients:1\r\nblocked_clients:" + value + b"\r\n")
    assert dict(info.numbers) == {b"connected_clients": b"1"}


def test_texts_with_anything_but_printable_ascii_are_left_out() -> None:
    info = parse_info(
        b'# R\r\nrole:ma\nster\r\nredis_mode:\xff\r\nconnected_clients:1\r\nredis_version:7"\\x\r\n'
    )
    assert info.texts == {"redis_version": '7"\\x'}


@pytest.mark.parametrize("mode", ["redict_mode", "redis_mode", "server_mode"])
def test_redict_tells_its_own_version_and_its_mode_by_any_of_three_names(mode: str) -> None:
    reply = info_of(redis_version="7.2.4", redict_version="7.3.2", **{mode: "cluster"}, role="master")
    info = parse_info(reply)
    assert info.version == (7, 2, 4)
    assert info.texts["redict_version"] == "7.3.2"
    labels = (
        'role="master",redis_version="7.2.4",valkey_version="",redis_mode="cluster",redict_version="7.3.2"'
    )
    assert series_of(reading_of(reply))[f"redis_instance_info{{{labels}}}"] == 1


def test_a_server_that_is_no_redict_has_the_label_and_no_version() -> None:
    reply = info_of(redis_version="7.0.15", redis_mode="standalone", role="master")
    labels = (
        'role="master",redis_version="7.0.15",valkey_version="",redis_mode="standalone",redict_version=""'
    )
    assert series_of(reading_of(reply))[f"redis_instance_info{{{labels}}}"] == 1


def test_valkey_9_tells_denied_databases_and_9_2_its_priority_clients() -> None:
    series = series_of(reading_of(info_of(acl_access_denied_db=4)))
    assert series["redis_acl_access_denied_db_total"] == 4
    assert "redis_connected_priority_clients" not in series
    assert "redis_rejected_priority_connections_total" not in series
    series = series_of(reading_of(info_of(connected_priority_clients=2, rejected_priority_connections=3)))
    assert series["redis_connected_priority_clients"] == 2
    assert series["redis_rejected_priority_connections_total"] == 3


@pytest.mark.parametrize(
    "reply", [b"", b"connected_clients", b"# Clients\r\nblocked_clients:1\r\n", b"\xff" * 99]
)
def test_a_reply_without_clients_is_an_error(reply: bytes) -> None:
    with pytest.raises(ReplyError, match="connected_clients"):
        parse_info(reply)


FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"loading", b"loading_x", b"maxclients", b"used", b"x_1"]), st.binary(max_size=12)
    ),
    max_size=8,
)


@given(FIELDS)
def test_whatever_a_server_sends_the_fast_parser_agrees_with_the_obvious_one(
    fields: list[tuple[bytes, bytes]],
) -> None:
    lines = [b"# Section", b"connected_clients:1", *(name + b":" + value for name, value in fields)]
    reply = b"\r\n".join(lines) + b"\r\n"
    for name, value in parse_info(reply).numbers.items():
        assert re.fullmatch(rb"[0-9]+(\.[0-9]+)?", value)
        if not any(b"\n" in value or b"\r" in value for _, value in fields):
            assert slow_parse(reply)[name] == value


LINES = st.one_of(
    st.builds(
        b"%b:%b\r\n".__mod__, st.tuples(st.sampled_from(sorted(NUMBERS | TEXTS)), st.binary(max_size=9))
    ),
    st.builds(b"%b:%d\r\n".__mod__, st.tuples(st.sampled_from(sorted(NUMBERS)), st.integers(0, 10**21))),
    st.builds(
        b"slave%d:ip=::1,port=1,state=online,offset=%d,lag=1\r\n".__mod__,
        st.tuples(st.integers(0, 9), st.integers(0, 9)),
    ),
    st.builds(
        b"io_thread_%d:clients=%d,reads=0\r\n".__mod__, st.tuples(st.integers(0, 9), st.integers(0, 9))
    ),
    st.builds(b"errorstat_%d:count=1\r\n".__mod__, st.integers()),
    st.sampled_from(
        [
            b"\r\n",
            b"# X\r\n",
            b"role:master\r\n",
            b"x" * 3000 + b"\r\n",
            b"\n",
            b"\r",
            b"connected_slaves:2\r\n",
        ]
    ),
    st.binary(max_size=20),
)


def _without_doubles(lines: list[bytes]) -> bytes:
    """No line of a name that has come: of two replicas with the same number one is a lie."""
    by_name = {line.partition(b":")[0].strip(): line for line in lines}
    return b"# X\r\nconnected_clients:1\r\n" + b"".join(by_name.values())


@given(st.lists(LINES, max_size=30).map(_without_doubles), st.integers(1, 300))
def test_a_long_reply_is_read_in_pieces_as_it_is_read_whole(reply: bytes, size: int) -> None:
    kept = LongInfo()
    for start in range(0, len(reply), size):
        kept.feed(reply[start : start + size])
    assert parse_info(kept.text()) == parse_info(reply)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "many fields that nothing reads": lambda size: b"".join(b"f%d:1\r\n" % each for each in range(size // 8)),
    "the same field again and again": lambda size: b"connected_clients:1\r\n" * (size // 21),
    "beginnings of a field": lambda size: b"\nconnected_client" * (size // 17),
    "replicas": lambda size: b"".join(
        b"slave%d:ip=x,state=online,offset=1\r\n" % each for each in range(size // 40)
    ),
    "one line": lambda size: b"role:" + b"x" * size,
    "one replica": lambda size: b"\nslave0:ip=" + b",state=online,offset=1" * (size // 22),
    "line ends": lambda size: b"\n" * size,
    "digits": lambda size: b"\nloading:" + b"1" * size,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_reading_takes_linear_time_and_keeps_little_whatever_the_lines_are(name: str) -> None:
    def seconds(size: int) -> float:
        took = []
        for _ in range(3):
            reply, kept = b"# X\r\nconnected_clients:1\r\n" + HOSTILE[name](size), LongInfo()
            began = time.process_time()
            for start in range(0, len(reply), 65536):
                kept.feed(reply[start : start + 65536])
            parse_info(kept.text())
            took.append(time.process_time() - began)
            assert len(kept.text()) < INFO_ROWS * 600
        return min(took)

    assert seconds(4 * 65536) < 3 * 2 * max(seconds(2 * 65536), 0.001)
    assert seconds(65536) < 0.05


def test_whole_replies_are_read_in_linear_time_too() -> None:
    for make in HOSTILE.values():
        reply = b"# X\r\nconnected_clients:1\r\nconnected_slaves:1\r\n" + make(INFO_WHOLE_BYTES)
        began = time.process_time()
        parse_info(reply[:INFO_WHOLE_BYTES])
        assert time.process_time() - began < 0.05


def test_the_time_for_lists_is_found_in_a_long_reply_too() -> None:
    reply = b"# Commandstats\r\n" + b"".join(
        b"cmdstat_x%d:calls=1,usec=5,\r\n" % each for each in range(9000)
    )
    reply += b"cmdstat_client|list:calls=3,usec=1500,usec_per_call=500.00\r\n"
    kept = LongInfo()
    kept.feed(reply)
    assert parse_list_seconds(kept.text()) == parse_list_seconds(reply) == 0.0015


def test_io_threads_are_read_in_order() -> None:
    threads = b"io_thread_0:clients=2,reads=1,writes=1\r\nio_thread_1:clients=3,reads=0,writes=0\r\n"
    reply = b"# Clients\r\nconnected_clients:5\r\n# Threads\r\n" + threads
    assert parse_info(reply).io_thread_clients == (2, 3)


def _info(**fields: int) -> bytes:
    return b"# X\r\n" + b"".join(f"{name}:{value}\r\n".encode() for name, value in fields.items())


@pytest.mark.parametrize(
    ("fields", "limit", "known_nodes", "expected"),
    [
        ({"connected_clients": 4, "cluster_connections": 4, "maxclients": 8}, None, None, (8, 8)),
        ({"connected_clients": 3, "connected_slaves": 1, "maxclients": 4}, None, None, (4, 4)),
        ({"connected_clients": 5}, 10, None, (5, 10)),
        ({"connected_clients": 5, "maxclients": 7}, 10, None, (5, 7)),
        ({"connected_clients": 5, "max_clients": 7}, None, None, (5, 7)),
        ({"connected_clients": 5}, None, 4, (11, None)),
        ({"connected_clients": 5, "maxclients": 4294967295}, None, None, (5, None)),
        ({"connected_clients": 5, "maxclients": 0}, None, None, (5, None)),
    ],
)
def test_slots_are_counted_as_the_server_counts_them(
    fields: dict[str, int], limit: int | None, known_nodes: int | None, expected: tuple[int, int | None]
) -> None:
    slots = count_slots(parse_info(_info(**fields)), limit=limit, known_nodes=known_nodes)
    assert (slots.used, slots.limit) == expected


def test_full_is_from_the_limit_on_and_never_without_one() -> None:
    def slots(used: int, limit: int) -> bool:
        return count_slots(
            parse_info(_info(connected_clients=used)), limit=limit or None, known_nodes=None
        ).full

    assert [slots(9, 10), slots(10, 10), slots(11, 10), slots(11, 0)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("used", "priority", "reserved", "utilization"),
    [
        # Without a reserve, or where it is not known, all count alike.
        (60, 20, None, 0.6),
        (60, 20, 0, 0.6),
        (100, 20, 0, 1.0),
        # 80 of the 100 are for all: the priority clients in the reserve take nothing from the others.
        (60, 20, 20, 0.5),
        (60, 0, 20, 0.75),
        (79, 0, 20, 79 / 80),
        (80, 0, 20, 1.0),
        (85, 0, 20, 85 / 80),
        (99, 20, 20, 79 / 80),
        (100, 20, 20, 1.0),
        # More priority clients than the reserve take slots of all: 10 are left, 5 of them used.
        (95, 90, 20, 0.5),
        (100, 90, 20, 1.0),
        # A reserve of everything leaves nothing: every ordinary newcomer is refused.
        (1, 0, 100, 1.0),
        (1, 1, 500, 1.0),
        (0, 0, 500, 1.0),
        # No server says so.
        (3, 5, 20, 0.0),
        (100, 120, 20, 1.0),
    ],
)
def test_a_reserve_for_priority_clients_leaves_less_to_all_others(
    used: int, priority: int, reserved: int | None, utilization: float
) -> None:
    reply = _info(connected_clients=used, connected_priority_clients=priority, maxclients=100)
    slots = count_slots(parse_info(reply), limit=None, known_nodes=None, reserved=reserved)
    assert (slots.used, slots.limit, slots.full) == (used, 100, utilization >= 1)
    assert slots.utilization == pytest.approx(utilization)


def test_a_server_that_tells_no_priority_clients_has_no_reserve() -> None:
    reply = _info(connected_clients=90, maxclients=100)
    slots = count_slots(parse_info(reply), limit=None, known_nodes=None, reserved=20)
    assert (slots.utilization, slots.full, slots.reserved) == (0.9, False, None)


def test_a_reserve_of_an_unknown_limit_fills_nothing() -> None:
    reply = _info(connected_clients=90, connected_priority_clients=1)
    slots = count_slots(parse_info(reply), limit=None, known_nodes=None, reserved=20)
    assert (slots.utilization, slots.full, slots.reserved) == (None, False, 20)


def test_a_known_reserve_is_told_beside_the_limit() -> None:
    reply = _info(connected_clients=60, connected_priority_clients=20, maxclients=100)
    slots = count_slots(parse_info(reply), limit=None, known_nodes=None, reserved=20)
    series = series_of(replace(reading_of(reply), slots=slots))
    assert series["redis_connection_slots_used"] == 60
    assert series["redis_connection_slots_limit"] == 100
    assert series["redis_connection_slots_reserved"] == 20
    assert series["redis_connection_utilization_ratio"] == 0.5
    assert "redis_connection_slots_reserved" not in series_of(reading_of(reply))


def test_a_peak_lasts_for_the_window_and_no_longer() -> None:
    samples = recent(recent(recent((), 0, 98, 60), 30, 5, 60), 59, 6, 60)
    assert peak(samples) == 98
    assert peak(recent(samples, 60, 7, 60)) == 7
    assert peak(()) is None


def test_cluster_info_tells_its_nodes_or_nothing() -> None:
    assert parse_cluster_known_nodes(b"cluster_state:ok\r\ncluster_known_nodes:6\r\n") == 6
    assert parse_cluster_known_nodes(b"cluster_state:ok\r\n") is None
