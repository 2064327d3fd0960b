"""File descriptors: few of them cost targets, and say so, but never the page."""

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exporter import descriptors
from tests.conftest import StartServer
from tests.daemon import quick, running_exporter, target
from tests.waiting import eventually


def _limited(options: str) -> tuple[str, ...]:
    return ("sh", "-c", f'ulimit {options} && exec "$@"', "sh")


def _hundred(start_server: StartServer) -> list[dict[str, Any]]:
    """Targets of seven servers, each at several addresses."""
    hosts = [f"127.0.0.{n}" for n in range(1, 16)]
    ports = [start_server("--bind", *hosts).port for _ in range(7)]
    places = [f"{host}:{port}" for host in hosts for port in ports][:100]
    return [target(f"t{n}", f"redis://{place}") for n, place in enumerate(places)]


def test_with_64_descriptors_and_100_targets_some_are_unreachable_and_say_why_and_pages_are_served(
    start_server: StartServer, tmp_path: Path
) -> None:
    config = quick(*_hundred(start_server))
    with running_exporter(tmp_path, config, prefix=_limited("-n 64")) as daemon, ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port)))

        def by_state() -> dict[str, int]:
            states = list(daemon.states().values())
            return {state: states.count(state) for state in set(states)}

        eventually(lambda: by_state().keys() == {"ok", "unreachable"})
        assert by_state()["ok"] >= 5
        assert "raise its limit (ulimit -n, LimitNOFILE=)" in daemon.ask("/").text
        (warning,) = (line for line in daemon.output().splitlines() if "too few file descriptors" in line)
        assert "targets=100 " in warning
        assert "limit=64 " in warning


def test_a_soft_limit_is_raised_to_the_hard_one(start_server: StartServer, tmp_path: Path) -> None:
    targets = _hundred(start_server)
    with running_exporter(tmp_path, quick(*targets), prefix=_limited("-S -n 40")) as daemon:
        daemon.wait_for({each["name"]: "ok" for each in targets})
        assert "too few file descriptors" not in daemon.output()


def test_of_few_descriptors_half_are_for_targets_and_of_many_all_but_64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of(limit: int) -> int:
        monkeypatch.setattr(descriptors, "limit", lambda: limit)
        return descriptors.for_targets()

    assert [of(40), of(64), of(128), of(1024)] == [20, 32, 64, 960]
