"""The status page, rendered from readings that no server at hand gives."""

import pytest

from exporter.board import Board
from exporter.model import Activity, Reading, Shard
from exporter.web.pages.status import render_status
from tests.one_page import ORDERS, info_of, reading_of


def shown(*readings: Reading) -> str:
    board = Board()
    board.set_targets([ORDERS])
    for number, reading in enumerate(readings):
        board.record(ORDERS.name, reading, Activity(), now=float(number), patience=10.0)
    return render_status(board, readings[-1].at, "/metrics", Shard()).decode()


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
