"""Clients that are refused and try again at once, as the pools of real applications do."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

_PAUSE_SECONDS = 0.03
_LONGEST_SECONDS = 120.0


class Hungry:
    """So many clients of one server, each with a thread; whoever gets a slot keeps it until the end.

    A client that the kernel accepted and the server did not answer yet waits patiently: in the queue of a
    server that stalls it is the next to get a slot.
    """

    def __init__(self, port: int, count: int = 2) -> None:
        self._port = port
        self._over = threading.Event()
        self.fed: list[socket.socket] = []
        self.tries = 0
        self._threads = [threading.Thread(target=self._try, daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)
        while self.fed:
            self.fed.pop().close()

    def _try(self) -> None:
        for _ in range(int(_LONGEST_SECONDS / _PAUSE_SECONDS)):
            if self._over.wait(_PAUSE_SECONDS):
                return
            self.tries += 1
            with contextlib.suppress(OSError):
                client = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                if self._is_fed(client):
                    self.fed.append(client)
                    return
                client.close()

    def _is_fed(self, client: socket.socket) -> bool:
        """Whether the server took it; it is asked until the test is over."""
        client.settimeout(0.2)
        try:
            client.sendall(b"PING\r\n")
            while not self._over.is_set():
                try:
                    return client.recv(64).startswith((b"+PONG", b"-NOAUTH"))
                except TimeoutError:
                    continue
        except OSError:
            pass  # the refusal may come as a reset
        return False
