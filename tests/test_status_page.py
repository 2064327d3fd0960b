"""The status page, rendered from readings that no server at hand gives."""

import re
from dataclasses import replace

import pytest

from exporter.analyse.slots import count_slots
from exporter.model import Reading, Shard
from exporter.web.pages.status import render_status, row_of
from tests.one_page import info_of, reading_of, report_on


def reserving(used: int, priority: int, reserved: int | None, **fields: object) -> Reading:
    """A Valkey 9.2 with 100 slots."""
    told = {"connected_clients": used, "connected_priority_clients": priority, "maxclients": 100}
    reading = reading_of(info_of(**told | fields))
    slots = count_slots(reading.info, limit=None, known_nodes=None, reserved=reserved)
    return replace(reading, slots=slots)


def shown(*readings: Reading) -> str:
    return render_status([row_of(report_on(*readings))], "/metrics", Shard()).decode()


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        ({"redis_version": "7.0.15"}, "Redis 7.0.15 master"),
        ({"redis_version": "7.2.4", "valkey_version": "9.2.0"}, "Valkey 9.2.0 master"),
        ({"redis_version": "7.2.4", "redict_version": "7.3.2"}, "Redict 7.3.2 master"),
        ({}, "Redis master"),
    ],
)
def test_a_server_is_called_by_its_own_name_and_version(versions: dict[str, str], text: str) -> None:
    assert f">{text}<" in shown(reading_of(info_of(**versions, role="master")))


def test_a_server_with_a_reserve_says_how_full_it_is_for_ordinary_clients() -> None:
    page = shown(reserving(60, 20, 20))
    assert "60 of 100 (50%)" in page
    assert "ordinary clients: 40 of 80; 20 reserved" in page
    assert ">ok<" in page
    assert "ordinary" not in shown(reserving(60, 20, 0))
    assert "ordinary" not in shown(reserving(60, 20, None))


def test_a_server_whose_reserve_is_all_that_is_free_is_at_its_limit() -> None:
    page = shown(reserving(80, 0, 20))
    assert ">at_limit<" in page
    assert "refuses ordinary newcomers: the 20 free slots are its reserve" in page


def test_a_server_that_is_full_refuses_everybody_whatever_its_reserve() -> None:
    for reserved in (20, 0, None):
        page = shown(reserving(100, 20, reserved))
        assert ">at_limit<" in page
        assert "the server refuses newcomers; our own connection still answers" in page


def test_a_state_is_shown_with_how_long_it_lasts() -> None:
    assert "for 2 s<" in shown(*[reading_of(info_of())] * 3)


def test_refusals_are_shown_with_their_rate() -> None:
    told = {"total_connections_received": 5, "total_commands_processed": 5}
    readings = [reading_of(info_of(rejected_connections=count, **told)) for count in (100, 103)]
    assert re.search(r"103<br>.*>3 per second<", shown(*readings))
    assert "per second" not in shown(*readings[:1])


def test_what_is_denied_is_shown_with_what_is_missing() -> None:
    reading = replace(reading_of(info_of()), denied=frozenset(["client|list", "client|new"]))
    assert "not allowed or unknown there: client|list (no apps, hosts or users), client|new<" in shown(
        reading
    )
