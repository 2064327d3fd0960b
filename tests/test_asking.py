"""What CONFIG GET is asked for, and of whom it is not asked at all."""

import pytest

from exporter.analyse.asking import in_commands, parameters_to_ask
from exporter.parse.info import parse_info
from tests.one_page import info_of

LIMIT, RESERVED, BUFFERS = "maxclients", "maxclients-reserved", "client-output-buffer-limit"
NEW: dict[str, object] = {"maxclients": 9}
OLD: dict[str, object] = {"redis_version": "5.0.6"}
VALKEY_9_2 = NEW | {"redis_version": "7.2.4", "valkey_version": "9.2.0", "connected_priority_clients": 3}


@pytest.mark.parametrize(
    ("fields", "username", "fresh", "names"),
    [
        (NEW, None, False, [BUFFERS]),
        (NEW, "default", False, [BUFFERS]),
        (NEW, None, True, []),
        (NEW, "exporter", False, []),
        (VALKEY_9_2, None, False, [RESERVED, BUFFERS]),
        (VALKEY_9_2, "exporter", False, []),
        (OLD, None, False, [LIMIT, BUFFERS]),
        (OLD, "exporter", False, [LIMIT, BUFFERS]),
        (OLD, "exporter", True, [LIMIT]),
        # Dragonfly has a name of its own for it.
        ({"max_clients": 9}, "exporter", False, []),
        (NEW | {"redis_mode": "sentinel"}, None, False, []),
        (NEW | {"server_mode": "sentinel"}, None, False, []),
        (OLD | {"redis_mode": "sentinel"}, None, False, [LIMIT, BUFFERS]),
    ],
)
def test_config_is_asked_where_it_is_needed_or_where_nobody_minds(
    fields: dict[str, object],
    username: str | None,
    fresh: bool,  # noqa: FBT001
    names: list[str],
) -> None:
    info = parse_info(info_of(**fields))
    assert list(parameters_to_ask(info, username, fresh=fresh)) == names


@pytest.mark.parametrize(
    ("version", "commands"),
    [
        ((), [(LIMIT,), (BUFFERS,)]),
        ((6, 2, 14), [(LIMIT,), (BUFFERS,)]),
        ((7, 0, 0), [(LIMIT, BUFFERS)]),
        ((8, 0, 2), [(LIMIT, BUFFERS)]),
    ],
)
def test_several_parameters_go_into_one_command_where_the_server_takes_them(
    version: tuple[int, ...], commands: list[tuple[str, ...]]
) -> None:
    assert list(in_commands((LIMIT, BUFFERS), version)) == commands
    assert list(in_commands((), version)) == []
