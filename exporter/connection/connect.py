"""Opens sockets with redis-py, which knows TCP, TLS and unix sockets, and the only file that knows it.

Its handshake, parsers and retries are bypassed: by default they cost eleven refused connections and four
seconds for one PING at maxclients. What is used of it is pinned by tests/test_wire.py.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.connection import Connection as TcpConnection

from exporter import descriptors, threads
from exporter.connection.files import mount_of
from exporter.connection.wire import Connection
from exporter.limits import ADDRESSES_AT_ONCE
from exporter.model import Access
from exporter.threads import Kind

_HEAD_START_SECONDS = 1.0  # of an address, before the next is tried beside it: enough for a far server
# A dead host is told within two minutes, also while it owes a reply (TCP_USER_TIMEOUT, milliseconds).
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 15),
        ("TCP_KEEPCNT", 6),
        ("TCP_USER_TIMEOUT", 120_000),
    )
    if hasattr(socket, name)
}


class _NoParser:
    """What redis-py wants as its parser; nothing is read with it."""

    def __init__(self, socket_read_size: int) -> None: ...

    def on_connect(self, connection: object) -> None: ...

    def on_disconnect(self) -> None: ...


class _TlsConnection(TcpConnection):
    """redis-py's own TLS connection cannot set a server name, and reads the system's CAs at each connect."""

    def __init__(self, *, context: ssl.SSLContext, server_name: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self._tls = {"ssl": context, "server_hostname": server_name}

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), **self._tls}


class _UnixConnection(UnixDomainSocketConnection):
    """redis-py's own connects in the loop, which then waits for the disk that the socket's path lies on."""

    async def _connect(self) -> None:
        path = self.path
        sock = await threads.run(
            Kind.FILE,
            None,
            lambda: _connected(path),
            [mount_of(Path(path))],
            unwanted=socket.socket.close,
        )
        self._reader, self._writer = await asyncio.open_unix_connection(sock=sock)
        await self.on_connect()


def _connected(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)  # a server that accepts nothing is told at once
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


async def connect(access: Access, address: str, context: ssl.SSLContext | None) -> Connection:
    """Connect to one address, with TLS where there is a context. Nothing is sent, nothing tried twice.

    Raises:
        RedisError, OSError: it did not succeed; redis-py wraps the telling error in one of its own.

    """
    descriptors.check_room()
    opened = _unconnected(access, address, context)
    await opened.connect()  # type: ignore[no-untyped-call]
    reader, writer = opened._reader, opened._writer  # noqa: SLF001  pinned by a test
    if reader is None or writer is None:
        raise ConnectionResetError("not connected")
    connection = Connection(writer.transport, release=opened._close)  # type: ignore[arg-type]  # noqa: SLF001
    used = writer.transport.get_extra_info("socket")  # None where the other side has hung up
    if used is not None and descriptors.is_kept(used.fileno()):  # many connected at once
        connection.close()
        raise descriptors.too_many()
    reader.feed_eof()  # no more comes this way: reading what has come cannot wait
    connection.take_over(await reader.read())
    return connection


def _unconnected(access: Access, address: str, context: ssl.SSLContext | None) -> AbstractConnection:
    options: dict[str, Any] = {
        "protocol": 2,
        "parser_class": _NoParser,
        "driver_info": None,
        "socket_timeout": None,  # whoever calls has a deadline
        "socket_connect_timeout": None,
    }
    url = access.url
    if url.path:
        return _UnixConnection(path=url.path, **options)
    options |= {"host": address, "port": url.port, "socket_keepalive_options": _KEEPALIVE}
    if context is None:
        return TcpConnection(**options)
    return _TlsConnection(context=context, server_name=access.tls.server_name or url.host, **options)


async def race(
    addresses: Sequence[str], attempt: Callable[[str], Awaitable[Connection]], within: float
) -> Connection:
    """Try addresses in turn, so that each has its share of `within` seconds at least.

    The next is tried beside those before after a second, or as soon as one of them has failed. The first
    that succeeds wins, the others are given up.

    Raises:
        Exception: of the last attempt that failed, when all have.

    """
    waiting = list(addresses[:ADDRESSES_AT_ONCE])
    head_start = min(_HEAD_START_SECONDS, within / max(1, len(waiting)))
    running: set[asyncio.Future[Connection]] = set()
    failure: BaseException = OSError("no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(attempt(waiting.pop(0))))
            done, _ = await asyncio.wait(
                running, timeout=head_start if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for each in done:
                running.discard(each)
                error = each.exception()
                if error is None:
                    return each.result()
                failure = error
        raise failure
    finally:
        for each in running:
            each.cancel()
            each.add_done_callback(_discard)


def _discard(attempt: "asyncio.Future[Connection]") -> None:
    """Close what an attempt has reached although nobody waits for it any more."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
