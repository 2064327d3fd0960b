"""Names that move: a failover in DNS is followed without a gap, and nothing else about a name is."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CI, StartServer
from tests.daemon import Daemon, quick, running_exporter, target
from tests.names import free_port_on, names_of_a_test
from tests.packed import Talk, ids_of_ours
from tests.series import ADDRESS_CHANGES, always_up, reload, row_of_page, told
from tests.tcp import wire
from tests.waiting import eventually

RESOLVED_EVERY_SECONDS = 60
OLD, NEW, CLOSED, SLOW = "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.5"
SORTS = ("moves", "grows", "breaks", "refuses", "waits")


class Moving:
    """Names that lead to one server at first, and what each of them is told after `change`."""

    def __init__(self, start_server: StartServer, talk: Talk, stack: contextlib.ExitStack) -> None:
        old, new, slow = start_server(), start_server(), start_server()
        self.port = free_port_on(OLD, NEW, CLOSED, SLOW)
        self.old_wire = stack.enter_context(wire(old.port, OLD, self.port))
        self.new_wire = stack.enter_context(wire(new.port, NEW, self.port))
        self.slow_wire = stack.enter_context(wire(slow.port, SLOW, self.port))
        self.slow_wire.hold()
        self._old, self._new = talk(old), talk(new)
        self.names = stack.enter_context(names_of_a_test())
        self.names.addresses.update({f"{sort}.test": [OLD] for sort in SORTS})

    def targets(self) -> list[dict[str, Any]]:
        return [target(sort, f"redis://{sort}.test:{self.port}") for sort in SORTS]

    def change(self) -> None:
        self.names.addresses["moves.test"] = [NEW]
        self.names.addresses["grows.test"] = [NEW, OLD]
        self.names.broken.add("breaks.test")
        self.names.addresses["refuses.test"] = [CLOSED]
        self.names.addresses["waits.test"] = [SLOW]

    def at_old(self) -> set[str]:
        """The exporter's connections to the old server."""
        return set(ids_of_ours(self._old))

    def at_new(self) -> set[str]:
        return set(ids_of_ours(self._new))


@contextlib.contextmanager
def _moving(start_server: StartServer, talk: Talk, folder: Path) -> Iterator[tuple[Moving, Daemon]]:
    """The exporter, connected to the old server by every name."""
    with contextlib.ExitStack() as stack:
        moving = Moving(start_server, talk, stack)
        config = quick(*moving.targets(), log={"format": "json"})
        prefix = moving.names.asked_by(folder)
        daemon = stack.enter_context(running_exporter(folder, config, prefix=prefix))
        daemon.wait_for(dict.fromkeys(SORTS, "ok"))
        eventually(lambda: len(moving.at_old()) == len(SORTS))
        yield moving, daemon


def _wait_for_the_move(moving: Moving, daemon: Daemon, within: float) -> None:
    """Wait until every name was looked up and followed where it can be; no target may be down meanwhile."""
    asked, held = dict(moving.names.asked), moving.at_old()
    moving.change()
    if within < RESOLVED_EVERY_SECONDS:
        reload(daemon)

    def followed() -> bool:
        page = always_up(daemon, *SORTS)
        names = [f"{sort}.test" for sort in SORTS]
        tried = told(daemon, "refuses") and moving.slow_wire.accepted
        looked_up = all(moving.names.asked[name] > asked[name] for name in names)
        return bool(tried) and looked_up and page.get(ADDRESS_CHANGES, "moves") == 1

    eventually(followed, within)
    eventually(lambda: len(moving.at_old()) == len(SORTS) - 1)
    assert moving.at_old() < held, "only one of them has moved"
    assert len(moving.at_new()) == 1
    assert moving.new_wire.first_answers[0] < moving.old_wire.left[0], "make before break"
    assert any(NEW in str(event) for event in told(daemon, "moves")), daemon.output()
    assert "new address" in row_of_page(daemon, "refuses")
    for sort in ("grows", "breaks", "refuses", "waits"):
        assert daemon.scrape().get(ADDRESS_CHANGES, sort) == 0, sort


def test_a_reload_follows_a_name_to_its_new_address_and_nothing_else_about_names_costs_a_connection(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    with _moving(start_server, talk, tmp_path) as (moving, daemon):
        _wait_for_the_move(moving, daemon, 10)

        moving.slow_wire.release()
        eventually(lambda: always_up(daemon, *SORTS).get(ADDRESS_CHANGES, "waits") == 1)
        eventually(lambda: len(moving.at_old()) == len(SORTS) - 2)


@pytest.mark.skipif(not CI, reason="waits for more than a minute; CI=true runs it")
def test_a_name_is_resolved_again_every_minute(start_server: StartServer, talk: Talk, tmp_path: Path) -> None:
    with _moving(start_server, talk, tmp_path) as (moving, daemon):
        _wait_for_the_move(moving, daemon, 1.25 * RESOLVED_EVERY_SECONDS)
