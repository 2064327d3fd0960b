"""A server of a fork that nobody has: its answers are the test's, over real sockets, in a thread."""

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

Answer = Callable[[list[bytes]], bytes]


def bulk(text: bytes) -> bytes:
    """A reply that holds a text."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


@contextlib.contextmanager
def strange_server(answer: Answer) -> Iterator[int]:
    """Answer each command by a function until the block ends; yields the port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            reader = cast("BinaryIO", self.rfile)
            with contextlib.suppress(OSError):
                while line := reader.readline():
                    words = []
                    for _ in range(int(line[1:])):
                        size = int(reader.readline()[1:])
                        words.append(reader.read(size + 2)[:-2])
                    self.wfile.write(answer(words))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def listing(info: bytes, rows: Callable[[], bytes]) -> Answer:
    """Answers of a server with this INFO, whose CLIENT LIST is made anew each time."""

    def answer(words: list[bytes]) -> bytes:
        match [word.upper() for word in words[:2]]:
            case [b"INFO", *_]:
                return bulk(info)
            case [b"CLIENT", b"ID"]:
                return b":1\r\n"
            case [b"CLIENT", b"LIST"]:
                return bulk(rows())
            case _:
                return b"+OK\r\n"

    return answer
