"""A name server whose answers a test can change, and a process that asks only it."""

import contextlib
import os
import random
import shutil
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import need

_HEADER = struct.Struct("!6H")
_ANSWER = 0x8180  # a response, with recursion
_NO_SUCH_NAME, _SERVER_FAILURE = 3, 2
_A = 1


class Names:
    """The addresses of each name, in the order in which they are told; other names do not exist."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.broken: set[str] = set()
        self.silent_zones: set[str] = set()
        self.asked: dict[str, int] = {}
        self._server = _bound(self)
        self.address = str(self._server.server_address[0])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def reply(self, query: bytes) -> bytes | None:
        """Answer one query of RFC 1035: addresses for type A, nothing for other types of a known name.

        None is no answer at all.
        """
        number, _, _, *_ = _HEADER.unpack_from(query)
        labels, at = [], _HEADER.size
        while size := query[at]:
            labels.append(query[at + 1 : at + 1 + size].decode())
            at += 1 + size
        name, question = ".".join(labels).lower(), query[_HEADER.size : at + 5]
        (kind,) = struct.unpack_from("!H", query, at + 1)
        self.asked[name] = self.asked.get(name, 0) + 1
        if name.partition(".")[2] in self.silent_zones:
            return None
        code = _SERVER_FAILURE if name in self.broken else 0 if name in self.addresses else _NO_SUCH_NAME
        told = self.addresses.get(name, []) if kind == _A and not code else []
        header = _HEADER.pack(number, _ANSWER | code, 1, len(told), 0, 0)
        rows = [struct.pack("!HHHIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(each) for each in told]
        return header + question + b"".join(rows)

    def asked_by(self, folder: Path, patience: int = 1) -> tuple[str, ...]:
        """The beginning of a command line that runs a program for which this is the only name server."""
        resolver, switch = folder / "resolv.conf", folder / "nsswitch.conf"
        resolver.write_text(f"nameserver {self.address}\noptions timeout:{patience} attempts:1\n")
        switch.write_text("hosts: files dns\n")
        mounts = f"mount --bind {resolver} /etc/resolv.conf"
        if Path("/etc/nsswitch.conf").exists():
            mounts += f" && mount --bind {switch} /etc/nsswitch.conf"
        return ("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh")


def _bound(names: Names) -> socketserver.UDPServer:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, reply_socket = self.request
            reply = names.reply(query)
            if reply is not None:
                reply_socket.sendto(reply, self.client_address)

    for _ in range(20):  # the port of name servers is always 53, so the address is what is random
        host = ".".join(str(random.randint(2, 250)) for _ in range(3))
        with contextlib.suppress(OSError):
            return socketserver.UDPServer((f"127.{host}", 53), Handler)
    raise AssertionError("no address of the loopback interface lets a test listen on port 53")


@contextlib.contextmanager
def names_of_a_test() -> Iterator[Names]:
    """Run a name server where a test may have one."""
    need(os.geteuid() == 0 and shutil.which("unshare"), "a private name server needs root and unshare")
    running = Names()
    try:
        yield running
    finally:
        running.close()


def free_port_on(*hosts: str) -> int:
    """A TCP port that is free on several addresses at once."""
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            port = stack.enter_context(socket.create_server((hosts[0], 0))).getsockname()[1]
            with contextlib.suppress(OSError):
                for host in hosts[1:]:
                    stack.enter_context(socket.create_server((host, port)))
                return int(port)
    raise AssertionError(f"no port is free on all of {hosts}")


@contextlib.contextmanager
def deaf_listener(host: str, port: int) -> Iterator[None]:
    """Let an address drop every SYN: its queue is full, and nobody ever accepts."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(10):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.3)
            try:
                filler.connect(listener.getsockname())
            except TimeoutError:
                yield
                return
        raise AssertionError("the queue of a listener never becomes full here")
