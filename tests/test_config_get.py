"""Replies to CONFIG GET as servers really send them, and as nobody should; and what is made of them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import BufferLimit, ServerConfig
from exporter.parse.config import parse_config
from tests.one_page import info_of, reading_of, series_of

LIMITS = b"client-output-buffer-limit"
# The default of every version from Redis 5.0 to 8.0 and of Valkey 8.1 and 9.1.
DEFAULT = b"normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"


def test_one_reply_tells_all_that_was_asked_in_any_order() -> None:
    told = parse_config([b"maxclients", b"10000", LIMITS, DEFAULT, b"maxclients-reserved", b"50"])
    assert told == ServerConfig(
        10_000,
        50,
        {
            "normal": BufferLimit(0, 0, 0),
            "replica": BufferLimit(268_435_456, 67_108_864, 60),
            "pubsub": BufferLimit(33_554_432, 8_388_608, 60),
        },
    )


def test_a_server_that_knows_none_of_it_tells_nothing() -> None:
    assert parse_config([]) == ServerConfig()


@pytest.mark.parametrize("value", [b"", b"-1", b"x", b"1.5", b"9" * 11, b"9" * 5000, 7, None, [b"5"]])
def test_a_limit_that_is_no_number_is_not_told(value: object) -> None:
    told = parse_config([b"maxclients", value, b"maxclients-reserved", value, LIMITS, DEFAULT])
    assert (told.max_clients, told.reserved) == (None, None)
    assert told.buffer_limits.keys() == {"normal", "replica", "pubsub"}


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        (b"replica 1 2 3", {"replica"}),
        (b"normal 1 2 3 other 1 2 3", {"normal"}),
        (b"normal 1 2 x pubsub 1 2 3", {"pubsub"}),
        (b"normal 1 2 -3", set()),
        (b"normal 1 2 3 pubsub 1 2", {"normal"}),
        (b"normal " + b"9" * 30 + b" 0 0", set()),
        (b"normal", set()),
        (b"", set()),
        (b"normal 1 2 3 " * 100, {"normal"}),
        (b"normal 1 2 3 " * 5000, set()),
        (7, set()),
    ],
)
def test_of_the_buffer_limits_only_what_can_be_read_is_told(value: object, classes: set[str]) -> None:
    assert parse_config([LIMITS, value]).buffer_limits.keys() == classes


@given(st.lists(st.none() | st.integers() | st.binary(max_size=30) | st.just([b"x"]), max_size=9))
def test_no_reply_is_too_odd_to_be_read(reply: list[object]) -> None:
    told = parse_config([LIMITS, DEFAULT, *reply])
    assert told.buffer_limits.keys() <= {"normal", "replica", "pubsub"}


def test_limits_are_told_by_class_and_what_is_unlimited_is_absent() -> None:
    told = parse_config([LIMITS, b"normal 0 0 0 slave 4096 0 60 pubsub 33554432 8388608 0"])
    series = series_of(replace(reading_of(info_of()), config=told))
    of_limits = {name: value for name, value in series.items() if "output_buffer_limit" in name}
    assert of_limits == {
        'redis_client_output_buffer_limit_bytes{class="replica",kind="hard"}': 4096,
        'redis_client_output_buffer_limit_bytes{class="pubsub",kind="hard"}': 33_554_432,
        'redis_client_output_buffer_limit_bytes{class="pubsub",kind="soft"}': 8_388_608,
        'redis_client_output_buffer_limit_soft_seconds{class="pubsub"}': 0,
    }


def test_where_config_was_not_asked_no_limit_is_told() -> None:
    assert not [name for name in series_of(reading_of(info_of())) if "output_buffer_limit" in name]
