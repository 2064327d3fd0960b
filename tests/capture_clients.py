"""`python -m tests.capture_clients` writes CLIENT LIST of every server kind to tests/data/clients-*.txt.

With `NAME COMMAND ...` it does so for one server that is not among the kinds.
"""

import contextlib
import socket
import sys
import tempfile
from pathlib import Path

from exporter.demo.servers import running_server
from tests.servers.kinds import KINDS, ServerKind
from tests.waiting import eventually

_DATA = Path(__file__).parent / "data"

# What each client says, one list per client; what a version does not know, it refuses, and that is no harm.
_TALKS: tuple[list[str], ...] = (
    ["CLIENT SETNAME orders-7c9f8d6b5-x2x9k", "GET a"],
    ["CLIENT SETNAME team=a:pod=x", "MULTI", "GET a"],
    ['CLIENT SETNAME "', "WATCH a"],
    ["CLIENT SETNAME waiting", "BLPOP nobody 0"],
    ["CLIENT SETNAME listening", "SUBSCRIBE news"],
    ["CLIENT SETNAME watching", "MONITOR"],
    ["CLIENT SETINFO LIB-NAME redis-py(app_v1)", "CLIENT SETINFO LIB-VER 5.0.1", "SELECT 3"],
    ["ACL SETUSER größe=1 on nopass +@all", "AUTH größe=1 x", "PING"],
    ["CLIENT SETNAME " + "n" * 20_000],
    [],
)


def _commands(talk: list[str]) -> bytes:
    return b"".join(
        b"*%d\r\n" % len(words := line.encode().split(b" "))
        + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        for line in talk
    )


def main(kinds: tuple[ServerKind, ...]) -> None:
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="capture-") as folder, contextlib.ExitStack() as stack:
            path = Path(folder) / "socket"
            server = stack.enter_context(
                running_server(kind.command, Path(folder), "--unixsocket", str(path))
            )
            for talk in _TALKS:
                member = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                member.sendall(_commands(talk))
            local = stack.enter_context(socket.socket(socket.AF_UNIX))
            local.connect(str(path))
            local.sendall(_commands(["CLIENT SETNAME local", "PING"]))
            asking = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))

            def ask(asking: socket.socket = asking) -> bytes:
                asking.sendall(b"CLIENT LIST\r\n")
                with asking.makefile("rb") as replies:
                    size = int(replies.readline()[1:])
                    return replies.read(size + 2)[:-2]

            eventually(lambda: ask().count(b"\n") == len(_TALKS) + 2 and b"cmd=monitor" in ask(), 10)
            (_DATA / f"clients-{kind.name}.txt").write_bytes(
                ask().replace(folder.encode(), b"/run/sp ace/r s")
            )


if __name__ == "__main__":
    main((ServerKind(sys.argv[1], tuple(sys.argv[2:]), tls=False),) if sys.argv[1:] else KINDS)
