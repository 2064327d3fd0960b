"""A TCP proxy in front of a real server that misbehaves on demand, and is healed on demand."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Literal

Mode = Literal["honest", "drips", "garbage", "closes", "silent", "floods"]


class Proxy:
    """Forwards to a port; the mode of the moment counts for every new connection and every answer."""

    def __init__(self, upstream: int, mode: Mode) -> None:
        self._upstream = upstream
        self.mode: Mode = mode
        self.accepted = 0
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(0.2)
        with client, contextlib.suppress(OSError), self._server() as server:
            while not self._over.is_set():
                try:
                    asked = client.recv(65536)
                except TimeoutError:
                    continue
                if not asked:
                    return
                mode = self.mode
                if mode == "closes":
                    return
                if mode == "garbage":
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                elif mode == "floods":
                    self._flood(client)
                elif mode != "silent":
                    server.sendall(asked)
                    self._answer(server.recv(65536), client, mode)

    def _answer(self, answer: bytes, client: socket.socket, mode: Mode) -> None:
        if mode == "honest":
            client.sendall(answer)
            return
        for byte in answer:
            client.sendall(bytes([byte]))
            if self._over.wait(1):
                return

    def _flood(self, client: socket.socket) -> None:
        client.settimeout(5)
        client.sendall(b"$60000000\r\n")
        for _ in range(600):  # 60 MB at the most
            client.sendall(b"x" * 100_000)
            if self._over.is_set():
                return

    def _server(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._upstream), timeout=5)


@contextlib.contextmanager
def proxy(upstream: int, mode: Mode) -> Iterator[Proxy]:
    running = Proxy(upstream, mode)
    try:
        yield running
    finally:
        running.close()
