"""The log: one line per event whoever writes it; who reads it slowly or fills it harms nobody."""

import fcntl
import json
import logging
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter import log
from exporter.demo.servers import free_port
from exporter.limits import LOG_KIND_LINES, LOG_WAITING_BYTES
from exporter.log_writer import Writer
from tests.conftest import StartServer
from tests.daemon import (
    ROOT,
    Daemon,
    altered,
    command,
    environment,
    log_events,
    quick,
    running_exporter,
    target,
)
from tests.waiting import eventually

_LOGFMT = re.compile(r'(?:[a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^" ]*)(?: |$))+')


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe of 4 KiB: its reading and its writing end."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def _read_until(descriptor: int, last: bytes) -> bytes:
    read = b""
    while last not in read:
        read += os.read(descriptor, 65536)
    return read


def test_lines_that_nobody_reads_are_dropped_counted_and_told_of_when_they_are_read_again() -> None:
    with _pipe() as (reading, writing):
        writer = Writer(writing, lambda lines: f"{lines} dropped")
        line, before = "x" * 999, threading.active_count()
        began = time.monotonic()
        for _ in range(5000):
            writer.put(line)
        assert writer.dropped >= 5000 - (LOG_WAITING_BYTES + 70_000 + 4096) / 1000
        writer.flush(0.1)
        assert time.monotonic() - began < 5
        assert threading.active_count() == before
        read = _read_until(reading, b" dropped\n")
        assert read.count(b"x\n") + writer.dropped == 5000
        assert read.splitlines()[-1] == b"%d dropped" % writer.dropped
        writer.put("again")
        assert _read_until(reading, b"again\n") == b"again\n"


def test_a_pipe_that_its_owner_has_made_not_to_wait_loses_no_line() -> None:
    with _pipe() as (reading, writing):
        os.set_blocking(writing, False)
        writer = Writer(writing, lambda lines: f"{lines} dropped")
        for number in range(500):
            writer.put(f"{number} {'x' * 99}")
        writer.put("end")
        assert len(_read_until(reading, b"end\n").splitlines()) == 501
        writer.flush(5)
        assert writer.dropped == 0


def test_lines_for_a_reader_who_has_gone_are_counted() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = Writer(writing, str)
    writer.put("lost")
    eventually(lambda: writer.dropped == 1)
    os.close(writing)


def test_a_stalled_reader_of_the_log_stalls_no_poll_no_page_and_no_sigterm(
    start_server: StartServer, tmp_path: Path
) -> None:
    port, closed = free_port(), free_port()
    with _pipe() as (_, writing):
        process = subprocess.Popen(
            command(
                f"redis://127.0.0.1:{start_server().port}",
                *(f"redis://127.0.1.{number}:{closed}" for number in range(1, 61)),
                *(
                    "--web.listen-address",
                    f"127.0.0.1:{port}",
                    "--poll.interval",
                    "1s",
                    "--poll.timeout",
                    "900ms",
                ),
            ),
            env=environment(),
            cwd=ROOT,
            stderr=writing,
        )
        try:
            daemon = Daemon(process, tmp_path / "none", tmp_path / "none", port)

            def polled() -> bool:
                states = list(daemon.states().values())
                return states.count("refused") == 60 and states.count("ok") == 1

            eventually(lambda: _listens(port), 30)
            eventually(polled)
            for _ in range(60):
                _send(port, b"nonsense\r\n\r\n")
            assert daemon.ask("/-/healthy").status == 200
            asked = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - asked < 4
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _send(port: int, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        client.recv(4096)


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_whoever_writes_to_the_log_writes_one_line_per_event_and_strangers_cannot_fill_it(
    form: str, start_server: StartServer, tmp_path: Path
) -> None:
    noisy = altered(
        tmp_path,
        "import asyncio, threading, warnings\n"
        "from exporter.web import routes\n"
        "class Broken:\n"
        "    def __del__(self): raise ValueError('in\\na destructor')\n"
        "async def everything(self, request):\n"
        "    warnings.warn('a\\nwarning', UserWarning)\n"
        "    Broken()\n"
        "    loop = asyncio.get_running_loop()\n"
        "    loop.call_soon(lambda: 1 // 0)\n"
        "    threading.Thread(target=lambda: [][1]).start()\n"
        "    raise LookupError('a \"bug\"\\nof two lines')\n"
        "routes.Site._service_discovery = everything\n",
    )
    config = quick(
        target("one", f"redis://127.0.0.1:{start_server().port}"), log={"level": "debug", "format": form}
    )
    log_file = tmp_path / "exporter.log"
    with running_exporter(tmp_path, config, prefix=(), **noisy) as daemon:
        daemon.wait_for({"one": "ok"})
        assert daemon.ask("/sd").status == 500
        for _ in range(200):
            _send(daemon.port, b"nonsense\r\n\r\n")
        wanted = ("LookupError", "a destructor", "ZeroDivisionError", "IndexError", "UserWarning")
        eventually(lambda: all(each in daemon.output() for each in wanted))
        for line in daemon.output().splitlines():
            assert json.loads(line) if form == "json" else _LOGFMT.fullmatch(line), line
        bad = daemon.output().count("Invalid HTTP request received.")
        assert LOG_KIND_LINES <= bad < LOG_KIND_LINES + 20
        assert daemon.stop() == 0
        lines = daemon.output().splitlines()
        assert "stopped" in lines[-1], "the last line is written before the end"
        log_file.write_text("")  # the bugs were wanted


def test_a_line_of_a_kind_tells_how_many_were_left_out_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter, now = log.Limiter(), [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def said(event: str, name: str) -> object:
        record = logging.LogRecord("exporter", logging.INFO, "", 0, event, None, None)
        fields: dict[str, object] = {"target": name}
        record.fields = fields
        return limiter.filter(record) and vars(record)["fields"].get("left_out_before", 0)

    assert [said("changed", "a") for _ in range(LOG_KIND_LINES + 5)] == [0] * LOG_KIND_LINES + [False] * 5
    assert said("changed", "b") == 0, "another target is another kind"
    assert said("failed", "a") == 0, "so is another event"
    now[0] += 5
    assert said("changed", "a") == 5
    assert said("changed", "a") is False
    assert limiter.left_out == 6


def test_a_bug_outside_of_all_targets_ends_the_process_with_its_traceback_in_one_line(
    start_server: StartServer, tmp_path: Path
) -> None:
    buggy = altered(
        tmp_path,
        "from exporter import app\n"
        "async def broken(self): raise ZeroDivisionError('a bug')\n"
        "app.Exporter._measure_lag = broken\n",
    )
    ended = subprocess.run(
        command(
            f"redis://127.0.0.1:{start_server().port}",
            *("--web.listen-address", "127.0.0.1:0", "--log.format", "json"),
        ),
        env=environment(**buggy),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    last = log_events(ended.stderr)[-1]
    assert (last["msg"], last["level"]) == ("ended by a bug", "critical")
    assert "Traceback" in last["traceback"]
    assert "ZeroDivisionError: a bug" in last["traceback"]
    assert ended.stderr.splitlines() == [line for line in ended.stderr.splitlines() if line.startswith("{")]
