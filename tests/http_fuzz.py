"""Random HTTP, most of it wrong somewhere, against the protocol in process; the answers are looked at too."""

import asyncio
import random
import re
from collections import Counter
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from exporter.board import Board
from exporter.limits import HTTP_HEAD_BYTES
from exporter.metrics.exposition import Pages
from exporter.metrics.own import OwnMetrics
from exporter.model import Config, ListenAddress, Pace
from exporter.web.connections import Connections
from exporter.web.protocol import BoundedProtocol
from exporter.web.routes import Site
from tests.one_page import ORDERS

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"get", b"PRI", b"CONNECT", b"", b"\x16\x03\x01")
_PATHS = (
    *(
        b"/",
        b"/metrics",
        b"/probe?target=orders",
        b"/sd",
        b"/config",
        b"/-/healthy",
        b"/-/ready",
        b"/-/reload",
    ),
    *(
        b"/probe?target=%ff&target=",
        b"/metrics?" + b"x=1&" * 900,
        b"http://x/metrics",
        b"*",
        b"//",
        b"/%00",
        b"",
    ),
)
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/", b"")
_HEADERS = (
    *(b"Host: x", b"Host: y", b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade"),
    *(b"Upgrade: websocket", b"Upgrade: h2c", b"Expect: 100-continue", b"Origin: null", b"Sec-Fetch-Site: x"),
    *(b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: 99999999999999", b"Content-Length: -1"),
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Accept: */*;q=,;;=\xff",
        b"a:",
        b" folded",
    ),
    *(b"Accept: application/openmetrics-text; version=1.0.0", b"Accept-Encoding: gzip", b"X" * 9000 + b": y"),
)
_BODIES = (
    b"",
    b"",
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"1\r\na\r\n" * 3000,
    b"zz\r\n",
    b"x" * 20_000,
)


def random_request(chance: random.Random) -> bytes:
    """A request, or what could be taken for one: with bytes of it missing, doubled or others now and then."""
    headers = [b"Host: x"] * (chance.random() < 0.9) + chance.choices(_HEADERS, k=chance.choice((0, 0, 1, 3)))
    line = b" ".join(
        (
            chance.choice(_METHODS[: chance.choice((2, 2, 2, 10))]),
            chance.choice(_PATHS),
            chance.choice(_VERSIONS[: chance.choice((1, 1, 7))]),
        )
    )
    request = b"\r\n".join((line, *headers, b"", chance.choice(_BODIES)))
    for _ in range(chance.choice((0, 0, 0, 0, 0, 0, 0, 1, 3))):
        at, width = chance.randrange(len(request)), chance.randrange(1, 9)
        request = (
            request[:at]
            + chance.choice((b"", chance.randbytes(width), request[at:] * 2))
            + request[at + width :]
        )
        request = request or b"\n"
    return request


class Pipe(asyncio.Transport):
    """Where a protocol writes to; closes as a real one does, in the next turn of the loop."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        super().__init__()
        self.written = bytearray()
        self._protocol = protocol
        self._closing = False
        self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        assert not self._closing or not data, "said after it was closed"
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self._closing

    def close(self, error: Exception | None = None) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, error)

    def abort(self) -> None:
        self.close()


class Fuzzed:
    """The exporter's HTTP side without sockets and without servers."""

    def __init__(self) -> None:
        board = Board()
        board.set_targets([ORDERS])
        pages = Pages(board, OwnMetrics())
        pages.set_targets()
        config = Config((ORDERS,), Pace(5.0, 2.0), (ListenAddress("", 0),), lifecycle=True)
        site = Site(board, pages, lambda: config, self._reload, lambda: None)
        self._config = uvicorn.Config(
            site, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
            h11_max_incomplete_event_size=HTTP_HEAD_BYTES,
        )  # fmt: skip
        self._state = ServerState()
        self.connections = Connections(64, lambda _: None)
        self.statuses: Counter[bytes] = Counter()

    async def _reload(self) -> None:
        await asyncio.sleep(0)

    def connect(self) -> tuple[BoundedProtocol, "Pipe"]:
        """A connection that has just been made."""
        protocol = BoundedProtocol(self._config, self._state, self.connections, "peer")
        self.connections.add(protocol)
        transport = Pipe(protocol)
        protocol.connection_made(transport)
        return protocol, transport

    async def converse(self, chance: random.Random, requests: int) -> None:
        """Say so much over one connection, in pieces, until it is closed or all is said; then hang up."""
        protocol, transport = self.connect()
        said = b"".join(random_request(chance) for _ in range(requests))
        while said and not transport.is_closing():
            size = chance.choice((1, 50, 5000, 300_000))
            piece, said = said[:size], said[size:]
            protocol.data_received(piece)
            await asyncio.sleep(0)
            for _ in range(20):
                if not transport.paused or transport.is_closing():
                    break
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        transport.close(chance.choice((None, ConnectionResetError())))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.statuses.update(_STATUS.findall(bytes(transport.written)))

    async def all_is_over(self) -> None:
        """Wait for what is under way, of which nothing may fail, and nothing be left."""
        while self._state.tasks:
            await asyncio.sleep(0.01)
        assert len(self.connections) == 0
        assert not self._state.connections


def fuzz(seed: int, requests: int) -> Counter[bytes]:
    """Send random requests until so many were answered, several over each connection; how often by what."""
    failures: list[dict[str, Any]] = []

    async def talk() -> Counter[bytes]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        chance, fuzzed = random.Random(seed), Fuzzed()
        while fuzzed.statuses.total() < requests:
            await fuzzed.converse(chance, chance.randrange(1, 6))
        await fuzzed.all_is_over()
        return fuzzed.statuses

    statuses = asyncio.run(talk())
    assert not failures, failures[0]
    return statuses
