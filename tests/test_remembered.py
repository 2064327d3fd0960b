"""What is remembered of names that others choose: one bounded memory for all servers, and hot names stay."""

import gc
import random
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import AppNames, Remembered, names_by, names_remembered
from exporter.limits import (
    HOSTS_REMEMBERED,
    IDENTITIES_REMEMBERED,
    NAMES_REMEMBERED,
    REMEMBERED_BYTES,
    TEXT_BYTES,
)
from exporter.model import AppRules, ClientPlan, ServerInfo
from exporter.poll.listing.lister import Lister
from tests.blocks import read_rows, take
from tests.conftest import StartServer
from tests.crowd import crowd
from tests.daemon import quick, running_exporter, target
from tests.series import LISTED_AT
from tests.waiting import eventually

HOT = [b"app-%d" % number for number in range(20)]
_ROW = (
    b"id=%d addr=%b:5 fd=8 name=%b age=900 idle=%d flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 "
    b"omem=0 tot-mem=9 events=r cmd=%b user=%b lib-name=%b lib-ver=%b tot-cmds=%d\n"
)


@dataclass
class Asked:
    """A memory whose function notes what it was asked for."""

    most: int = 300
    most_bytes: int = 30_000
    times: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory = Remembered(self.find, self.most, self.most_bytes)

    def find(self, key: bytes) -> bytes:
        self.times[key] = self.times.get(key, 0) + 1
        return key.upper()


def never_again(seed: int = 1) -> Iterator[bytes]:
    chances = random.Random(seed)
    while True:
        yield b"pod-%016x" % chances.getrandbits(64)


def test_a_name_that_repeats_is_read_once_whatever_never_repeats_meanwhile() -> None:
    asked, unique = Asked(), never_again()
    for _ in range(1000):
        for name in HOT:
            assert asked.memory[name] == name.upper()
        for _ in range(100):
            asked.memory[next(unique)]
        assert asked.memory.size <= asked.most
    assert {asked.times[name] for name in HOT} == {1}


def test_it_stays_hot_beside_names_that_repeat_for_a_while_and_then_no_more() -> None:
    asked, unique = Asked(), never_again()
    for _ in range(1000):
        passing = [next(unique) for _ in range(10)]
        for name in 3 * [*HOT, *passing]:
            asked.memory[name]
        assert asked.memory.size <= asked.most
    assert {asked.times[name] for name in HOT} == {1}
    assert max(asked.times.values()) == 1


def test_names_that_stay_are_all_known_as_far_as_there_is_room_and_most_of_them_beyond() -> None:
    for count, anew in ((95, 0), (150, 50)):
        asked, names = Asked(), [b"name-%d" % number for number in range(count)]
        for _ in range(20):
            asked.times = {}
            for name in names:
                asked.memory[name]
        assert len(asked.times) <= anew


def test_long_names_are_bounded_by_their_bytes_and_the_longest_are_not_remembered() -> None:
    asked = Asked(most=300, most_bytes=9_000)
    for number in range(1000):
        name = b"%0100d" % number
        for _ in range(3):
            asked.memory[name]
    assert asked.memory.size <= 90
    endless = b"n" * (TEXT_BYTES + 1)
    for _ in range(3):
        assert asked.memory[endless] == endless.upper()
    assert asked.times[endless] == 3


def test_servers_with_the_same_rules_share_what_is_remembered_and_the_last_takes_it_along() -> None:
    rules = AppRules(sources=("name", "host"))
    one, other = Lister(ClientPlan(rules=rules)), Lister(ClientPlan(rules=AppRules(sources=("name", "host"))))
    before = names_remembered()
    for name in HOT:
        names_by(rules).apps[name]
    assert names_remembered() == before + len(HOT)
    names_by(AppRules(sources=("host",))).apps[HOT[0]]  # nobody keeps these
    del one
    gc.collect()
    assert names_remembered() == before + len(HOT)
    del other
    gc.collect()
    assert names_remembered() == before


def test_names_on_several_servers_are_remembered_once_and_what_is_remembered_is_told(
    start_server: StartServer, tmp_path: Path
) -> None:
    servers = start_server(), start_server()
    targets = [target(f"t{number}", f"redis://127.0.0.1:{each.port}") for number, each in enumerate(servers)]
    with ExitStack() as stack:
        crowds = [stack.enter_context(crowd(server.port)) for server in servers]
        for each in crowds:
            each.join(60)
        daemon = stack.enter_context(running_exporter(tmp_path, quick(*targets, clients={"interval": "1s"})))
        unique, told = never_again(), 0
        for _ in range(3):
            names = [next(unique) for _ in range(60)]
            told += len(names)
            for each in crowds:
                for member, name in zip(each.members, names, strict=True):
                    member.sendall(b"CLIENT SETNAME %b\r\n" % name)
                    assert member.recv(64) == b"+OK\r\n"
            before = time.time()

            def listed(since: float = before) -> bool:
                page = daemon.scrape()
                return all((page.get(LISTED_AT, each["name"]) or 0) > since for each in targets)

            eventually(listed)
        remembered = daemon.scrape().get("redis_connection_exporter_names_remembered")
        assert remembered is not None
        assert told <= remembered <= told + 20, "names of both servers once, and a few identities and hosts"


def _row(number: int, name: bytes, word: bytes = b"x") -> bytes:
    return _ROW % (number, word, name, 400, word, word, word, word, number)


class Hostile:
    """Servers whose clients come anew for each list, with names, users, libraries, hosts and commands too."""

    def __init__(self, servers: int, clients: int) -> None:
        self.names = AppNames(AppRules())
        self.histories = [History(300.0, 5) for _ in range(servers)]
        self._clients = clients
        self._unique = never_again()
        self._id = 0

    def list_all(self, now: float) -> None:
        for history in self.histories:
            rows = []
            for _ in range(self._clients):
                self._id += 1
                word = next(self._unique)
                rows.append(_row(self._id, word.translate(_LETTERS), word))
            tally = Tally(self.names, 300.0)
            tally.add(*read_rows(b"".join(rows)))
            info = ServerInfo(
                {b"uptime_in_seconds": b"9", b"total_connections_received": b"%d" % self._id}, {}
            )
            take(history, tally, info, now=now)
            assert len(history.groups.apps) <= 6
            assert len(history.churn.opened) <= 6


MOST = NAMES_REMEMBERED + IDENTITIES_REMEMBERED + HOSTS_REMEMBERED

# Without digits and hyphens nothing of a name is taken for an instance: each is an app of its own.
_LETTERS = bytes.maketrans(b"0123456789-", b"ghijklmnopq")


def held_bytes(*roots: object) -> int:
    """The bytes of all objects that are reached from some, but for code."""
    seen: dict[int, object] = {}
    found = [*roots]
    while found:
        each = found.pop()
        if id(each) not in seen and not isinstance(each, (type, ModuleType, FunctionType)):
            seen[id(each)] = each
            found += gc.get_referents(each)
    return sum(map(sys.getsizeof, seen.values()))


def test_hours_of_names_that_never_repeat_fill_a_bounded_memory_and_no_more() -> None:
    hostile, hours, often = Hostile(servers=2, clients=110), 6, 20
    names, histories = [], []
    for hour in range(hours):
        for turn in range(often):
            hostile.list_all(3600.0 * (hour + turn / often))
            names.append(held_bytes(hostile.names) if turn % 10 == 9 else 0)
            assert hostile.names.size <= MOST
        histories.append(held_bytes(hostile.histories) / len(hostile.histories))
    assert max(names) < REMEMBERED_BYTES, "names"
    assert max(histories) < 150_000, "a server's history of six apps, and its last hundred clients"
    assert histories[-1] < 1.2 * histories[1], f"it grows from hour to hour: {histories}"
