"""How far replicas are behind, from what a primary and a replica tell of it in INFO."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.parse.info import parse_info
from tests.one_page import DATA, info_of, reading_of, series_of

LAG, BEHIND = "redis_connected_replica_lag_seconds", "redis_connected_replica_offset_lag_bytes"


def _primary(*replicas: str, offset: object = 5000) -> dict[str, float]:
    lines = {f"slave{number}": replica for number, replica in enumerate(replicas)}
    return series_of(
        reading_of(info_of(role="master", connected_slaves=len(replicas), **lines, master_repl_offset=offset))
    )


def test_a_captured_primary_tells_the_worst_of_its_replicas() -> None:
    series = series_of(reading_of((DATA / "info-debian13-valkey-primary.txt").read_bytes()))
    assert (series[LAG], series[BEHIND]) == (3, 5149 - 120)
    assert series["redis_master_repl_offset"] == 5149
    assert "redis_slave_repl_offset" not in series
    assert "redis_master_last_io_seconds_ago" not in series


def test_a_captured_replica_tells_its_own_side() -> None:
    series = series_of(reading_of((DATA / "info-debian13-valkey-replica.txt").read_bytes()))
    assert series["redis_master_last_io_seconds_ago"] == 3
    assert series["redis_slave_repl_offset"] == series["redis_master_repl_offset"] == 5149
    assert LAG not in series
    assert BEHIND not in series


@pytest.mark.parametrize(
    ("replicas", "lag", "behind"),
    [
        ((), None, None),
        (("ip=10.0.0.2,port=6379,state=online,offset=4000,lag=2",), 2, 1000),
        (("ip=,port=0,state=online,offset=4000,lag=0,io-thread=0",), 0, 1000),
        (("ip=::1,port=1,state=online,offset=4990,lag=7,type=replica",), 7, 10),
        # The worst of each, which may be two replicas.
        (
            (
                "ip=a,port=1,state=online,offset=4999,lag=9",
                "ip=b,port=1,state=online,offset=1,lag=1",
            ),
            9,
            4999,
        ),
        # Still syncing: its lag is not measured, and prints as 0.
        (("ip=a,port=1,state=wait_bgsave,offset=0,lag=0",), None, None),
        (("ip=a,port=1,state=send_bulk,offset=0,lag=0,type=main-channel",), None, None),
        # It has just come online, and acknowledges within a second.
        (("ip=a,port=1,state=online,offset=0,lag=0",), 0, None),
        (("ip=a,port=1,state=online,offset=0,lag=1",), 1, None),
        (("ip=a,port=1,state=online,offset=0,lag=2",), 2, 5000),
        # Ahead of its primary is not behind.
        (("ip=a,port=1,state=online,offset=5001,lag=0",), 0, 0),
    ],
)
def test_the_worst_replica_is_told(
    replicas: tuple[str, ...], lag: float | None, behind: float | None
) -> None:
    series = _primary(*replicas)
    assert (series.get(LAG), series.get(BEHIND)) == (lag, behind)


def test_a_primary_without_a_write_has_replicas_that_are_not_behind() -> None:
    assert _primary("ip=a,port=1,state=online,offset=0,lag=0", offset=0)[BEHIND] == 0


def test_without_an_offset_of_the_primary_nobody_is_behind_it() -> None:
    series = _primary("ip=a,port=1,state=online,offset=1,lag=4", offset="x")
    assert (series[LAG], BEHIND in series) == (4, False)


@pytest.mark.parametrize(
    "replica",
    [
        "ip=a,port=1,state=online,offset=-1,lag=0",
        "ip=a,port=1,state=online,offset=1,lag=-1",
        "ip=a,port=1,state=online,offset=1,lag=1e9",
        "ip=a,port=1,state=online,offset=" + "9" * 40 + ",lag=0",
        "ip=a,port=1,state=online,lag=0",
        "ip=a,port=1,state=online,offset=1,lag=",
        "state=online,offset=1,lag=1",
        "127.0.0.1,6379,online",  # Redis 2.6
        ",state=online" * 1000,
    ],
)
def test_what_is_no_replica_counts_as_none(replica: str) -> None:
    series = _primary(replica, "ip=b,port=1,state=online,offset=4000,lag=2")
    assert (series[LAG], series[BEHIND]) == (2, 1000)


def test_a_link_that_is_down_has_no_last_byte() -> None:
    series = series_of(
        reading_of(info_of(role="slave", master_link_status="down", master_last_io_seconds_ago=-1))
    )
    assert series["redis_master_link_up"] == 0
    assert "redis_master_last_io_seconds_ago" not in series


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_whatever_stands_in_the_lines_of_replicas_costs_no_other_field(lines: list[bytes]) -> None:
    hostile = b"".join(b"slave%d:%b\r\n" % (number, line) for number, line in enumerate(lines))
    info = parse_info(b"# X\r\nconnected_clients:3\r\nconnected_slaves:9\r\n" + hostile)
    assert info.count(b"connected_clients") is not None
    assert all(offset >= 0 and lag >= 0 for offset, lag in info.replicas)
