"""CLIENT LIST of forks, proxies and liars: a field costs a field, a row a row, and a server only itself."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.limits import LIST_LAYOUTS, ROW_BYTES, ROW_WORDS, TEXT_BYTES
from exporter.parse.clients import (
    BLOCK_BYTES,
    RowReader,
    compiled_layouts,
    read_work,
)
from tests.blocks import read_rows, split_blocks
from tests.conftest import StartServer
from tests.daemon import Daemon, log_events, quick, running_exporter, target
from tests.series import LIST_AVAILABLE, LIST_FAILURES
from tests.strange import listing, strange_server
from tests.waiting import eventually

_INFO = (
    b"# Server\r\nredis_version:7.0.15\r\nrun_id:%b\r\n# Clients\r\nconnected_clients:41\r\n"
    b"maxclients:1000\r\n" % (b"a" * 40)
)
_FIELDS = (
    "id={id} addr=1.2.3.{host}:5 fd=8 name=cart age=9 idle=1 flags=N db=0 sub=0 psub=0 qbuf=0 omem=0 "
    "tot-mem=7 events=r cmd=get user=app lib-name=redis-py lib-ver=5 tot-cmds=3"
)
_CLIENTS = 40


def _rows(template: str, count: int = _CLIENTS) -> bytes:
    rows = (template.replace("{id}", f"{2 + each}").replace("{host}", f"{each}") for each in range(count))
    return "".join(row + "\n" for row in rows).encode()


def _without(*keys: str) -> str:
    return " ".join(word for word in _FIELDS.split() if word.partition("=")[0] not in keys)


def _moved(key: str, behind: str) -> str:
    """The row's fields with one of them put behind another."""
    words = {word.partition("=")[0]: word for word in _FIELDS.split()}
    moved = words.pop(key)
    return " ".join(f"{word} {moved}" if name == behind else word for name, word in words.items())


ORDERS = {
    "id within the identity": _moved("id", "cmd"),
    "age within the identity": _moved("age", "user"),
    "idle within the identity": _moved("idle", "lib-name"),
    "tot-cmds before cmd": _moved("tot-cmds", "events"),
    "name within the work": _moved("name", "flags"),
    "backwards": " ".join(reversed(_FIELDS.split())),
    "names with underscores and capitals": _FIELDS.replace("qbuf", "q_Buf.9").replace("events", "éä(*)"),
    "a clock that was set back": _FIELDS.replace("age=9", "age=-2").replace("idle=1", "idle=-2"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_known_fields_are_read_in_any_order(name: str) -> None:
    rows, unreadable = read_rows(_rows(ORDERS[name]))
    assert (len(rows), unreadable) == (_CLIENTS, 0)
    client_id, addr, told_name, age, work, memory, identity, counters = rows[0]
    assert (client_id, addr, told_name, counters) == (b"2", b"1.2.3.0:5", b"cart", b"tot-cmds=3")
    assert age in (b"9", b"-2")
    assert read_work(work).idle in (1, 0)
    assert set(memory.split(b" ")) == {b"omem=0", b"tot-mem=7"}
    assert {b"cmd=get", b"user=app", b"lib-name=redis-py", b"lib-ver=5"} <= set(identity.split(b" "))


@given(
    st.permutations(_FIELDS.split()),
    st.sets(st.sampled_from(["id", "cmd", "user", "tot-cmds", "sub", "omem"])),
)
def test_any_order_and_any_lack_is_read_by_the_expression_as_row_by_row(
    words: list[str], lacking: set[str]
) -> None:
    template = " ".join(word for word in words if word.partition("=")[0] not in lacking)
    block = _rows(template)
    rows, unreadable = read_rows(block)
    # The other order of words in the first row makes the expression fit none of the others.
    odd = b"addr=1:1 age=1 idle=1 flags=N %s\n" % b" ".join(b"x%d=1" % number for number in range(9))
    slowly, _ = read_rows(odd + block)
    assert unreadable == 0
    assert [_meaning(row) for row in rows] == [_meaning(row) for row in slowly if row[1] != b"1:1"]


def _meaning(row: tuple[bytes, ...]) -> tuple[frozenset[bytes], ...]:
    known = (b"idle flags db sub psub omem tot-mem cmd user lib-name lib-ver".split(),)
    return tuple(
        frozenset(
            word for word in column.split(b" ") if b"=" not in word or word.partition(b"=")[0] in known[0]
        )
        for column in row
    )


def _seconds(block: bytes) -> float:
    """The least of three."""
    took = []
    for _ in range(3):
        begun = time.process_time()
        for each in split_blocks(block):
            read_rows(each)
        took.append(time.process_time() - begun)
    return min(took)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "a path of many words": lambda size: b"addr=/" + b" a" * (size // 2) + b"\n",
    "short lines after a first row of one field": lambda size: (
        b"x=1 id=1 addr=1:1 age=1 idle=1 flags=N cmd=x\n" + b"x=\n" * (size // 3)
    ),
    "lines of one field, each the beginning of a row": lambda size: (
        b"id=1 addr=1:1 age=1 idle=1 flags=N cmd=x\n" + b"id=1\n" * (size // 5)
    ),
    "rows that end one field early": lambda size: (
        b"id=1 addr=1:1 age=1 idle=1 flags=N cmd=x z=1\n"
        + b"id=1 addr=1:1 age=1 idle=1 flags=N cmd=x\n" * (size // 41)
    ),
    "a name without an end": lambda size: (
        b"id=1 addr=1:1 name=a age=1 idle=1 flags=N cmd=x\nid=1 addr=1:1 name=" + b"n" * size + b"\n"
    ),
    "a row of many fields": lambda size: b"".join(b"f%d=1 " % number for number in range(size // 6)) + b"\n",
    "the same field again and again": lambda size: b"id=1 " * (size // 5) + b"\n",
    "equals signs": lambda size: b"=" * size + b"\n",
    "spaces": lambda size: b" " * size + b"\n",
    "newlines": lambda size: b"\n" * size,
    "carriage returns": lambda size: b"id=1 addr=1:1 age=1 idle=1 flags=N cmd=x\r\n" + b"\r" * size + b"\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_reading_takes_linear_time_whatever_the_rows_are(name: str) -> None:
    make = HOSTILE[name]
    small, large = make(4 * BLOCK_BYTES), make(16 * BLOCK_BYTES)
    read_rows(small[:1000])
    assert _seconds(large) < 4 * 3 * max(_seconds(small), 0.002)
    assert _seconds(make(BLOCK_BYTES)) < 0.05 * 3, "64 KB; three times for a loaded machine"


def test_long_texts_are_cut_and_long_rows_are_no_rows() -> None:
    long = _FIELDS.replace("name=cart", "name=" + "n" * 9_000)
    too_long = _FIELDS.replace("name=cart", "name=" + "n" * ROW_BYTES)
    too_many = _FIELDS + " x=1" * ROW_WORDS
    rows, unreadable = read_rows(
        b"".join([_rows(_FIELDS), *(_rows(row, 1) for row in (long, too_long, too_many))])
    )
    assert (len(rows), unreadable) == (_CLIENTS + 1, 2)
    assert max(len(row[2]) for row in rows) == TEXT_BYTES
    assert all(len(field) < 10 * TEXT_BYTES for row in rows for field in row)


def test_a_server_whose_every_row_has_another_layout_has_few_of_them_compiled() -> None:
    reader, compiled = RowReader(), compiled_layouts()
    for number in range(200):
        template = _FIELDS.replace("events", f"field-{number}")
        rows, unreadable = reader.read(_rows(template, 1))
        assert (len(rows), unreadable) == (1, 0)
    assert compiled_layouts() - compiled <= LIST_LAYOUTS


def test_rows_without_a_layout_take_no_place_of_those_that_have_one() -> None:
    reader = RowReader()
    for number in range(2 * LIST_LAYOUTS):
        reader.read(b"id=1 addr=/run/sp ace/%d:0 age=1 idle=1 flags=U cmd=x\n" % number)
    compiled = compiled_layouts()
    rows, unreadable = reader.read(_rows(_FIELDS.replace("events", "only-here")))
    assert (len(rows), unreadable) == (_CLIENTS, 0)
    assert compiled_layouts() == compiled + 1


@pytest.fixture
def strange(start_server: StartServer, tmp_path: Path) -> Iterator[tuple[Daemon, list[bytes]]]:
    """A daemon that watches a strange server, whose list a test may change, and an honest one."""
    told = [_rows(_FIELDS)]
    honest = start_server()
    with strange_server(listing(_INFO, lambda: told[0])) as port:
        tree = quick(
            target("strange", f"redis://127.0.0.1:{port}"),
            target("honest", f"redis://127.0.0.1:{honest.port}"),
            clients={"interval": "1s", "server_time_budget": 1},
            log={"format": "json"},
        )
        with running_exporter(tmp_path, tree) as daemon:
            daemon.wait_for({"strange": "ok", "honest": "ok"})
            yield daemon, told


def _connections(daemon: Daemon, app: str) -> float:
    return daemon.scrape().sum("redis_app_connections", "strange", app=app)


def test_strange_orders_are_counted_one_after_the_other_and_end_nothing(
    strange: tuple[Daemon, list[bytes]],
) -> None:
    daemon, told = strange
    for number, template in enumerate(ORDERS.values()):
        told[0] = _rows(template.replace("name=cart", f"name=cart{chr(97 + number)}x"))
        eventually(lambda: _connections(daemon, f"cart{chr(97 + number)}x") == _CLIENTS)  # noqa: B023  used at once
    assert daemon.scrape().state("honest") == "ok"


@pytest.mark.parametrize("lacking", ["id", "cmd"])
def test_a_server_that_tells_no_id_or_no_command_still_has_its_clients_counted(
    strange: tuple[Daemon, list[bytes]], lacking: str
) -> None:
    daemon, told = strange
    told[0] = _rows(_without(lacking).replace("name=cart", "name=less"))
    eventually(lambda: _connections(daemon, "less") == _CLIENTS)
    assert daemon.scrape().get(LIST_AVAILABLE, "strange") == 1


def test_a_list_of_which_a_twentieth_cannot_be_read_is_no_list_and_says_why(
    strange: tuple[Daemon, list[bytes]],
) -> None:
    daemon, told = strange
    told[0] = _rows(_FIELDS, 38) + b"x=1\n"
    eventually(
        lambda: daemon.scrape().get("redis_connection_exporter_client_list_unreadable_rows", "strange") == 1
    )
    told[0] = _rows(_FIELDS, 38) + b"x=1\n" * 3
    eventually(lambda: daemon.scrape().get(LIST_AVAILABLE, "strange") == 0)
    assert (daemon.scrape().get(LIST_FAILURES, "strange", reason="unreadable") or 0) >= 1
    (line,) = [line for line in log_events(daemon.output()) if line["msg"] == "client list failed"]
    assert (line["target"], line["reason"]) == ("strange", "unreadable")


def test_hostile_rows_hold_up_nobody(start_server: StartServer, tmp_path: Path) -> None:
    honest, asked = start_server(), Counter[str]()
    with ExitStack() as stack:

        def hostile(name: str) -> int:
            def rows() -> bytes:
                asked[name] += 1
                return HOSTILE[name](1024 * 1024)

            return stack.enter_context(strange_server(listing(_INFO, rows)))

        urls = {name.replace(" ", "-"): f"redis://127.0.0.1:{hostile(name)}" for name in HOSTILE}
        tree = quick(
            *(target(name, url) for name, url in urls.items()),
            target("honest", f"redis://127.0.0.1:{honest.port}"),
            clients={"interval": "1s", "server_time_budget": 1},
        )
        daemon = stack.enter_context(running_exporter(tmp_path, tree))

        def waited() -> float:
            begun = time.monotonic()
            assert daemon.ask("/-/healthy").status == 200
            return time.monotonic() - begun

        slowest = 0.0
        while len(asked) < len(HOSTILE):
            assert daemon.process.poll() is None
            slowest = max(slowest, waited())
        daemon.wait_for(dict.fromkeys(urls, "ok"))
        slowest = max(slowest, waited())
        assert slowest < 1
        daemon.wait_for({"honest": "ok"})
        assert daemon.stop() == 0
