"""Clients that take connections and do nothing with them."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Self


class Crowd:
    """Plain sockets to one server, as many as wanted."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._context = context
        self.members: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(len(self.members))

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=5)
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise

    def join(self, count: int) -> None:
        """Connect so many; each has been accepted when this returns."""
        for _ in range(count):
            member = self._connect()
            try:
                member.sendall(b"PING\r\n")
                answer = member.recv(64)
                assert answer.startswith((b"+PONG", b"-NOAUTH")), answer
            except BaseException:
                member.close()
                raise
            self.members.append(member)

    def fill(self) -> int:
        """Connect until the server refuses the next one, and say how many that were."""
        before = len(self.members)
        with contextlib.suppress(AssertionError, OSError):
            while True:
                self.join(1)
        return len(self.members) - before

    def leave(self, count: int) -> None:
        for _ in range(count):
            self.members.pop().close()


@contextlib.contextmanager
def crowd(port: int, context: ssl.SSLContext | None = None) -> Iterator[Crowd]:
    with Crowd(port, context) as clients:
        yield clients
