"""Names that move: a failover in DNS is followed without a gap, and nothing else about a name is."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CI, StartServer
from tests.daemon import Daemon, quick, running_exporter, target
from tests.names import Names, free_port_on, names_of_a_test
from tests.packed import Talk, ids_of_ours
from tests.series import ADDRESS_CHANGES, always_up, polls, reload, told
from tests.tcp import wire
from tests.waiting import eventually

RESOLVED_EVERY_SECONDS = 60
OLD, NEW, THIRD = "127.0.1.2", "127.0.1.3", "127.0.1.4"
JSON = {"format": "json"}


@pytest.fixture
def names() -> Iterator[Names]:
    with names_of_a_test() as server:
        yield server


class Moving:
    """Two servers behind one port of two addresses, and the names that lead to them."""

    def __init__(self, start_server: StartServer, talk: Talk, stack: contextlib.ExitStack) -> None:
        old, new = start_server(), start_server()
        self.port = free_port_on(OLD, NEW, THIRD)
        self.old_wire = stack.enter_context(wire(old.port, OLD, self.port))
        self.new_wire = stack.enter_context(wire(new.port, NEW, self.port))
        self._old, self._new = talk(old), talk(new)

    def target(self, name: str) -> dict[str, Any]:
        return target(name, f"redis://{name}.test:{self.port}")

    def at_old(self) -> list[str]:
        """The exporter's connections to the old server."""
        return ids_of_ours(self._old)

    def at_new(self) -> list[str]:
        return ids_of_ours(self._new)


def _polled(daemon: Daemon, name: str, times: int) -> None:
    """Wait for some polls of a target, and look all the while that none fails."""
    before = polls(daemon, name)

    def enough() -> bool:
        always_up(daemon, name)
        return polls(daemon, name) >= before + times

    eventually(enough)


def _told_of_a_move(daemon: Daemon, name: str) -> bool:
    return any(NEW in str(event) for event in told(daemon, name))


def test_a_reload_follows_a_name_to_its_new_address_and_leaves_the_old_one_last(
    start_server: StartServer, talk: Talk, names: Names, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        moving = Moving(start_server, talk, stack)
        names.addresses["one.test"] = [OLD]
        config = quick(moving.target("one"), log=JSON)
        prefix = names.asked_by(tmp_path)
        daemon = stack.enter_context(running_exporter(tmp_path, config, prefix=prefix))
        daemon.wait_for({"one": "ok"})
        first = eventually(moving.at_old)

        names.addresses["one.test"] = [NEW, OLD]
        reload(daemon)
        _polled(daemon, "one", 2)
        assert moving.at_old() == first, "the address in use is still one of the name's"
        assert not moving.new_wire.accepted

        names.broken.add("one.test")
        reload(daemon)
        _polled(daemon, "one", 2)
        assert moving.at_old() == first, "a failed lookup says nothing"
        names.broken.clear()

        names.addresses["one.test"] = [THIRD]
        reload(daemon)
        _polled(daemon, "one", 2)
        assert moving.at_old() == first, "nobody listens at the new address"

        moving.new_wire.hold()
        names.addresses["one.test"] = [NEW]
        reload(daemon)
        eventually(lambda: moving.new_wire.accepted)
        _polled(daemon, "one", 2)
        assert moving.at_old() == first, "the new server has not answered yet"
        assert daemon.scrape().get(ADDRESS_CHANGES, "one") == 0
        moving.new_wire.release()
        eventually(lambda: len(moving.at_new()) == 1)
        eventually(lambda: not moving.at_old())

        _polled(daemon, "one", 1)
        assert moving.new_wire.first_answers[-1] < moving.old_wire.left[-1], "make before break"
        assert daemon.scrape().get(ADDRESS_CHANGES, "one") == 1
        assert _told_of_a_move(daemon, "one"), daemon.output()


@pytest.mark.skipif(not CI, reason="waits for more than a minute; CI=true runs it")
def test_a_name_is_resolved_again_every_minute(
    start_server: StartServer, talk: Talk, names: Names, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        moving = Moving(start_server, talk, stack)
        sorts = ("moves", "grows", "breaks", "refuses")
        names.addresses.update({f"{sort}.test": [OLD] for sort in sorts})
        config = quick(*map(moving.target, sorts), log=JSON)
        prefix = names.asked_by(tmp_path)
        daemon = stack.enter_context(running_exporter(tmp_path, config, prefix=prefix))
        daemon.wait_for(dict.fromkeys(sorts, "ok"))
        eventually(lambda: len(moving.at_old()) == len(sorts))
        names.addresses.update({"moves.test": [NEW], "grows.test": [NEW, OLD], "refuses.test": [THIRD]})
        names.broken.add("breaks.test")
        asked = dict(names.asked)

        def moved() -> bool:
            page = always_up(daemon, *sorts)
            again = all(names.asked[f"{name}.test"] > asked[f"{name}.test"] for name in sorts)
            return again and page.get(ADDRESS_CHANGES, "moves") == 1

        eventually(moved, 1.25 * RESOLVED_EVERY_SECONDS)
        assert _told_of_a_move(daemon, "moves")
        for name in ("grows", "breaks", "refuses"):
            assert daemon.scrape().get(ADDRESS_CHANGES, name) == 0, name
        eventually(lambda: len(moving.at_new()) == 1)
        eventually(lambda: len(moving.at_old()) == len(sorts) - 1)
