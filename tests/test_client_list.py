"""CLIENT LIST, from captured replies of real servers and from hostile ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.limits import TEXT_BYTES
from exporter.parse import clients
from tests.blocks import read_rows, split_blocks
from tests.oracle import read_client_list

DATA = Path(__file__).parent / "data"
CAPTURES = sorted(DATA.glob("clients-*.txt"))

# What Redis 8.2 and Valkey 9 print by their documents, in their order; no such server is at hand.
_REDIS_8_2 = (
    b"id=%d addr=[::1]:%d laddr=[::1]:6379 fd=9 name=%b age=7 idle=2 flags=I db=0 sub=0 "
    b"psub=0 ssub=0 multi=-1 watch=0 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 "
    b"omem=0 tot-mem=1928 events=r cmd=get user=default redir=-1 resp=2 lib-name=redis-py lib-ver=8.1.0 "
    b"io-thread=1 tot-net-in=1 tot-net-out=2 tot-cmds=3 read-events=4 parse-batch-cnt=6\n"
)
_ROW = b"id=%d addr=1.2.3.4:5 fd=8 name=%b age=9 idle=1 flags=N db=0 events=r cmd=get user=%b\n"
_SUBSCRIBED = (
    b"id=%d addr=1.2.3.4:5 fd=8 name=a age=9 idle=1 flags=P db=0 %b multi=-1 qbuf=0 oll=0 omem=%b events=r "
    b"cmd=subscribe user=u\n"
)


def read(reply: bytes) -> tuple[list[dict[str, bytes]], int]:
    """Read a reply as the product does, and show its rows as the oracle does, by their ids."""
    rows: list[dict[str, bytes]] = []
    unreadable = 0
    for block in split_blocks(reply):
        read, failed = read_rows(block)
        unreadable += failed
        rows += map(_shown, read)
    return _in_order(rows), unreadable


def read_slowly(reply: bytes) -> tuple[list[dict[str, bytes]], int]:
    """Read a reply as the oracle does."""
    rows, unreadable = read_client_list(reply)
    return _in_order(rows), unreadable


def _in_order(rows: list[dict[str, bytes]]) -> list[dict[str, bytes]]:
    return sorted(rows, key=lambda row: (len(row["id"]), row["id"], sorted(row.items())))


def _shown(row: clients.Row) -> dict[str, bytes]:
    client_id, addr, name, age, told_work, told_memory, told_identity, told_counters = row
    counters = clients.read_counters(told_counters)
    work, memory = clients.read_work(told_work), clients.read_memory(told_memory)
    identity = clients.read_identity(told_identity)
    return {
        "id": client_id,
        "addr": addr,
        "name": name,
        "age": b"%d" % clients.read_seconds(age),
        "idle": b"%d" % work.idle,
        "flags": work.flags,
        "db": work.db,
        "watch": b"%d" % work.watch,
        "subscriptions": _number(work.subscriptions),
        "omem": _number(memory.output),
        "tot-mem": _number(memory.total),
        "cmd": identity.command,
        "user": identity.user,
        "lib-name": identity.library,
        "lib-ver": identity.version,
        "tot-net-in": _number(counters and counters[0]),
        "tot-cmds": _number(counters and counters[1]),
    }


def _number(told: int | None) -> bytes:
    return b"" if told is None else b"%d" % told


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_every_captured_reply_reads_as_the_slow_reader_reads_it(capture: Path) -> None:
    reply = capture.read_bytes()
    assert read(reply) == read_slowly(reply)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_every_client_of_a_captured_reply_is_there(capture: Path) -> None:
    rows, unreadable = read(capture.read_bytes())
    assert (len(rows), unreadable) == (12, 0)
    by_name = {row["name"]: row for row in rows}
    assert by_name[b"team=a:pod=x"]["flags"] == b"x"
    assert by_name[b'"']["cmd"] == b"watch"
    assert (by_name[b"waiting"]["flags"], by_name[b"waiting"]["cmd"]) == (b"b", b"blpop")
    assert by_name[b"listening"]["flags"] == b"P"
    assert by_name[b"watching"]["flags"] == b"O"
    assert by_name[b"n" * TEXT_BYTES]["flags"] == b"N"
    path = b"/run/sp ace/r s/socket:0"
    assert by_name[b"local"]["addr"] in (path, b"[%b]:0" % path)  # the second since Valkey 9
    assert by_name[b"local"]["flags"] == b"U"
    assert any(row["db"] == b"3" for row in rows)
    assert any(row["cmd"] == b"NULL" for row in rows)


def test_captures_of_users_and_libraries_keep_them_whole() -> None:
    rows, _ = read((DATA / "clients-debian13-valkey.txt").read_bytes())
    assert "größe=1".encode() in {row["user"] for row in rows}
    assert (b"redis-py(app_v1)", b"5.0.1") in {(row["lib-name"], row["lib-ver"]) for row in rows}
    assert {int(row["tot-cmds"]) for row in rows} == {0, 1, 2, 3}


def test_rows_with_fields_of_later_versions_read_by_key() -> None:
    rows, unreadable = read(_REDIS_8_2 % (1, 50, b"a=b") + _REDIS_8_2 % (2, 51, b""))
    assert unreadable == 0
    assert [(row["id"], row["addr"], row["name"], row["flags"], row["tot-cmds"]) for row in rows] == [
        (b"1", b"[::1]:50", b"a=b", b"I", b"3"),
        (b"2", b"[::1]:51", b"", b"I", b"3"),
    ]


def test_fields_in_an_unknown_order_are_read_all_the_same() -> None:
    reply = b"cmd=get user=u id=7 new-field=x idle=1 age=2 flags=N addr=1.2.3.4:5 db=0\n"
    rows, unreadable = read(reply)
    assert unreadable == 0
    assert (rows[0]["id"], rows[0]["cmd"], rows[0]["user"]) == (b"7", b"get", b"u")


def test_a_row_that_cannot_be_read_is_counted_and_costs_no_other() -> None:
    good = _ROW % (1, b"a", b"u") + _ROW % (2, b"b", b"u")
    for bad in (
        b"id=x addr=1.2.3.4:5 fd=8 name=c age=9 idle=1 flags=N db=0 events=r cmd=get user=u\n",
        b"id=3 addr=1.2.3.4:5\n",
        b"garbage\n",
        b"\xff\x00\x01=\n",
        b"id="
        + b"9" * 30
        + b" addr=1.2.3.4:5 fd=8 name=c age=9 idle=1 flags=N db=0 events=r cmd=get user=u\n",
    ):
        for reply in (bad + good, good + bad, _ROW % (1, b"a", b"u") + bad + _ROW % (2, b"b", b"u")):
            rows, unreadable = read(reply)
            assert ([row["id"] for row in rows], unreadable) == ([b"1", b"2"], 1), bad


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_a_captured_subscriber_has_its_subscriptions_and_nobody_else_has_any(capture: Path) -> None:
    rows, _ = read(capture.read_bytes())
    assert {row["name"]: row["subscriptions"] for row in rows if row["subscriptions"] != b"0"} == {
        b"listening": b"1"
    }
    assert all(row["omem"].isdigit() for row in rows)


@pytest.mark.parametrize(
    ("told", "sum_of_all"),
    [
        (b"sub=0 psub=0 ssub=0", b"0"),
        (b"sub=1 psub=0 ssub=0", b"1"),
        (b"sub=0 psub=2 ssub=0", b"2"),
        (b"sub=0 psub=0 ssub=3", b"3"),
        (b"sub=10 psub=20 ssub=30", b"60"),
        (b"sub=0 psub=0", b"0"),
        (b"sub=0 psub=7", b"7"),
        (b"sub=5", b"5"),
        (b"sub=0", b"0"),
        (b"ssub=4 sub=1", b"5"),
        (b"sub=1 of=2 psub=3", b"4"),
        (b"sub=00 psub=00 ssub=00", b"0"),
        # What is no number counts as none.
        (b"sub=-1 psub=2 ssub=x", b"2"),
        (b"sub= psub=" + b"9" * 20, b"0"),
        (b"x=1", b""),
    ],
)
@pytest.mark.parametrize("others", [b"sub=0 psub=0 ssub=0", b"sub=2 psub=0 ssub=0", None])
def test_subscriptions_are_summed_whatever_their_fields(
    told: bytes, sum_of_all: bytes, others: bytes | None
) -> None:
    reply = _SUBSCRIBED % (1, told, b"0") + _SUBSCRIBED % (2, told if others is None else others, b"17")
    rows, unreadable = read(reply)
    assert (rows[0]["subscriptions"], rows[0]["omem"], rows[1]["omem"]) == (sum_of_all, b"0", b"17")
    assert (rows, unreadable) == read_slowly(reply)


def test_an_output_buffer_that_is_no_number_makes_a_row_unreadable() -> None:
    good = _SUBSCRIBED % (1, b"sub=1 psub=0 ssub=0", b"5")
    for odd in (b"-5", b"", b"x", b"9" * 20):
        rows, unreadable = read(good + _SUBSCRIBED % (2, b"sub=1 psub=0 ssub=0", odd))
        assert ([row["id"] for row in rows], unreadable) == ([b"1"], 1)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"sub", b"psub", b"ssub", b"resp"]), st.sampled_from([b"0", b"1", b"00", b""])
        ),
        max_size=7,
    ),
    st.lists(st.sampled_from([b"sub=0 psub=0 ssub=0", b"sub=0 psub=1 ssub=0"]), max_size=2),
)
def test_any_fields_of_subscriptions_read_as_the_slow_reader_reads_them(
    fields: list[tuple[bytes, bytes]], before: list[bytes]
) -> None:
    told = b" ".join(key + b"=" + value for key, value in fields) or b"x=1"
    reply = b"".join(
        _SUBSCRIBED % (number, each, b"0") for number, each in enumerate([*before, told, *before])
    )
    assert read(reply) == read_slowly(reply)


def test_a_reply_of_many_blocks_loses_no_row_at_their_borders() -> None:
    reply = b"".join(_ROW % (number, b"n" * (number % 90), b"u") for number in range(5000))
    blocks = list(split_blocks(reply))
    assert len(blocks) > 5
    assert b"".join(blocks) == reply
    rows, unreadable = read(reply)
    assert [int(row["id"]) for row in rows] == list(range(5000))
    assert unreadable == 0


def test_an_empty_reply_has_no_rows() -> None:
    assert read(b"") == ([], 0)
    assert read(b"\n") == ([], 0)


def test_no_more_than_64_bit_numbers_are_counted_with() -> None:
    rows, _ = read(_ROW % (10**19 - 1, b"", b"u"))
    assert rows[0]["id"] == b"9" * 19


# Names are '!' to '~' (validateClientAttr); users are all but spaces and NUL; sockets' paths hold spaces.
_NAMES = st.binary(max_size=40).map(lambda raw: bytes(33 + byte % 94 for byte in raw))
_USERS = st.text(max_size=20).map(
    lambda text: "".join(text.split()).replace("\0", "").encode(errors="ignore")
)
_PATHS = st.text(alphabet="/ab =.", max_size=15).map(str.encode)


@given(st.lists(st.tuples(_NAMES, _USERS)))
def test_whatever_names_and_users_clients_have_every_row_is_read(who: list[tuple[bytes, bytes]]) -> None:
    reply = b"".join(_ROW % (number, name, user) for number, (name, user) in enumerate(who))
    rows, unreadable = read(reply)
    assert [(row["name"], row["user"]) for row in rows] == who
    assert unreadable == 0


@given(st.lists(st.tuples(_PATHS, _NAMES), min_size=1))
def test_sockets_with_spaces_read_as_the_slow_reader_reads_them(who: list[tuple[bytes, bytes]]) -> None:
    template = b"id=%d addr=%b:0 laddr=%b:0 fd=8 name=%b age=9 idle=1 flags=U db=0 events=r cmd=get user=u\n"
    reply = b"".join(template % (number, path, path, name) for number, (path, name) in enumerate(who))
    assert read(reply) == read_slowly(reply)


_KEYS = (
    b"id addr name age idle flags db sub psub ssub watch omem tot-mem cmd user lib-name lib-ver tot-cmds resp"
).split()
_WORDS = st.sampled_from([*_KEYS, b"=", b" ", b"\n", b"\r", b"1", b"-1", b"x", b"\xff"])


@given(st.lists(_WORDS, max_size=60).map(b"".join) | st.binary(max_size=200))
def test_hostile_replies_read_as_the_slow_reader_reads_them(reply: bytes) -> None:
    assert read(reply) == read_slowly(reply)


@given(st.sampled_from(CAPTURES), st.integers(0), st.integers(0), st.binary(max_size=5))
def test_damaged_captures_read_as_the_slow_reader_reads_them(
    capture: Path, start: int, length: int, put: bytes
) -> None:
    reply = capture.read_bytes()
    start %= len(reply)
    damaged = reply[:start] + put + reply[start + length % 50 :]
    assert read(damaged) == read_slowly(damaged)
