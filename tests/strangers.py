"""Many HTTP connections at once, as strangers open them, from any address of the loopback."""

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from tests.daemon import Daemon

HEALTH = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"


def open_files_at_least(number: int) -> None:
    """Let this process open so many files, which is what opening so many connections takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, max(hard, number)))


@contextlib.contextmanager
def crowd(
    port: int, number: int, request: bytes = b"", source: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    """So many connections that have sent something, open on our side until the block ends."""
    open_files_at_least(number + 256)
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(number):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
            )
            with contextlib.suppress(ConnectionError):  # it had to go for another one
                connection.sendall(request)
            opened.append(connection)
        yield opened


def alive(connections: list[socket.socket]) -> list[socket.socket]:
    """Those that the other side has not closed."""
    return [each for each in connections if not _ended(each)]


def _ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def answer_to(port: int, request: bytes, within: float = 10.0) -> bytes:
    """Everything that comes back until the connection ends, by a reset too."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), within) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


def cpu_seconds(daemon: Daemon) -> float:
    """Time of the processor that the exporter has used so far."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory_bytes(daemon: Daemon) -> int:
    """What the exporter has in memory now."""
    return int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def seconds_of(daemon: Daemon, path: str) -> float:
    """How long a page takes, which must be had."""
    begun = time.monotonic()
    assert daemon.ask(path).status == 200
    return time.monotonic() - begun
