"""The one held connection to a server, and the only file that knows redis-py.

redis-py opens the connection (TCP, TLS, unix socket, keepalive) and packs commands. Its handshake, reply
parsers and retries are bypassed: by default they cost eleven refused connections and four seconds for one
PING at maxclients, and 100 ms of event loop for a long CLIENT LIST. What is used of it is pinned by
tests/test_link.py.
"""

import asyncio
import math
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, UnixDomainSocketConnection
from redis.exceptions import RedisError, ResponseError

from exporter import NAME, __version__
from exporter.analyse.failures import explain_failure
from exporter.model import Access, ServerConfig, State
from exporter.parse import GarbageError
from exporter.parse.errors import PASSING, is_denial, read_error
from exporter.resolve import Resolver

# INFO is some 6 KB, with ten thousand databases 600 KB; a lying server must not fill our memory or loop.
MAX_REPLY_BYTES = 1024 * 1024
_MAX_ITEMS = 64
_CHUNK_BYTES = 96 * 1024  # 250 clients and more, in one piece

Reply = bytes | int | list["Reply"] | ResponseError | None


class LinkError(Exception):
    """A server could not be asked: the state that follows, and a sentence for people without secrets."""

    def __init__(self, state: State, detail: str) -> None:
        super().__init__(detail)
        self.state = state
        self.detail = detail


class _RawReplies:
    """Reads one RESP2 reply as raw bytes; redis-py takes it as its `parser_class`."""

    def __init__(self, socket_read_size: int) -> None:  # noqa: ARG002  redis-py gives it to every parser
        self._stream: asyncio.StreamReader | None = None
        self._budget = MAX_REPLY_BYTES

    def on_connect(self, connection: Any) -> None:  # noqa: ANN401  redis-py's own untyped connection
        self._stream = connection._reader  # noqa: SLF001  as its own parsers do

    def on_disconnect(self) -> None:
        self._stream = None

    async def read_response(self, disable_decoding: bool = False) -> Reply:  # noqa: FBT001, FBT002, ARG002
        self._budget = MAX_REPLY_BYTES
        return await self._read(depth=0)

    async def _read(self, depth: int) -> Reply:
        if self._stream is None:
            raise ConnectionResetError("not connected")
        try:
            line = (await self._stream.readuntil(b"\r\n"))[:-2]
        except asyncio.LimitOverrunError:
            raise GarbageError from None
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest
            case b"-":
                return ResponseError(rest.decode(errors="replace"))
            case b":":
                return _whole(rest, -(2**63), 2**63)
            case b"$":
                size = _whole(rest, -1, self._budget)
                return None if size < 0 else await self._body(line, size)
            case b"*" if depth < 2:  # noqa: PLR2004  nothing we ask nests deeper
                size = _whole(rest, -1, _MAX_ITEMS)
                return None if size < 0 else [await self._read(depth + 1) for _ in range(size)]
        raise GarbageError

    async def read_in_chunks(self, feed: Callable[[bytes], None]) -> float:
        """Hand one bulk reply on as it comes in; return the moment (monotonic) at which it began.

        It is never held whole, so its size needs no bound but the poll's deadline.

        Raises:
            ResponseError: it is an error reply.

        """
        if self._stream is None:
            raise ConnectionResetError("not connected")
        try:
            line = (await self._stream.readuntil(b"\r\n"))[:-2]
        except asyncio.LimitOverrunError:
            raise GarbageError from None
        began = time.monotonic()
        if line.startswith(b"-"):
            raise ResponseError(line[1:].decode(errors="replace"))
        if not line.startswith(b"$"):
            raise GarbageError
        left = _whole(line[1:], 0, 2**40)
        while left:
            chunk = await self._stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise asyncio.IncompleteReadError(line, left)
            left -= len(chunk)
            feed(chunk)
            if left:
                await asyncio.sleep(0)  # what is buffered is read without a wait
        await self._stream.readexactly(2)
        return began

    async def _body(self, line: bytes, size: int) -> bytes:
        self._budget -= size
        try:
            return (await self._stream.readexactly(size + 2))[:-2] if self._stream is not None else b""
        except asyncio.IncompleteReadError as error:  # its head was read, so the reply was cut in the middle
            raise asyncio.IncompleteReadError(line + error.partial, error.expected) from None


def _whole(digits: bytes, least: int, most: int) -> int:
    if not re.fullmatch(rb"-?[0-9]{1,19}", digits) or not least <= int(digits) <= most:
        raise GarbageError
    return int(digits)


class _TlsConnection(Connection):
    """redis-py's TLS connection cannot set a server name, and reads the system's CAs at each connect."""

    def __init__(self, *, context: ssl.SSLContext, server_name: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self._tls = {"ssl": context, "server_hostname": server_name}

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), **self._tls}


def _pack(words: Sequence[bytes]) -> bytes:
    """A command in RESP; made for hundreds of ids of equal length, of which redis-py packs each by itself."""
    parts = [b"*%d\r\n" % len(words)]
    for size, run in groupby(words, len):
        head = b"$%d\r\n" % size
        parts += (head, (b"\r\n" + head).join(run), b"\r\n")
    return b"".join(parts)


def _file_age(path: Path | None) -> int:
    return path.stat().st_mtime_ns if path is not None else 0


@lru_cache(maxsize=64)
def _tls_context(
    files: tuple[Path | None, ...],
    _ages: tuple[int, ...],
    insecure_skip_verify: bool,  # noqa: FBT001  keywords would make other keys of the cache
) -> ssl.SSLContext:
    """Build a context, anew only when one of its files has changed: loading CAs takes milliseconds."""
    ca_file, cert_file, key_file = files
    context = ssl.create_default_context(cafile=ca_file)
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file, password=lambda: "")  # never ask at a terminal
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _new_connection(access: Access, address: str) -> AbstractConnection:
    """Make a redis-py connection to one address; connecting, it sends nothing and retries nothing."""
    options: dict[str, Any] = {
        "protocol": 2,
        "parser_class": _RawReplies,
        "driver_info": None,
        "socket_timeout": None,  # the poll has one deadline over everything
        "socket_connect_timeout": None,
    }
    url, tls = access.url, access.tls
    if url.path:
        return UnixDomainSocketConnection(path=url.path, **options)
    options |= {"host": address, "port": url.port}
    if not url.tls:
        return Connection(**options)
    try:
        files = (tls.ca_file, tls.cert_file, tls.key_file)
        context = _tls_context(files, tuple(map(_file_age, files)), tls.insecure_skip_verify)
    except OSError as error:  # ssl.SSLError is one too
        reason = error.strerror or "not PEM"
        raise LinkError(State.TLS, f"a TLS file cannot be used: {error.filename or reason}") from error
    return _TlsConnection(context=context, server_name=tls.server_name or url.host, **options)


def _password(access: Access) -> str | None:
    """Read the password anew, so that a rotated file counts from the next connect on."""
    if access.password_file is None:
        return access.password
    try:
        return access.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise LinkError(State.AUTH, f"password_file cannot be read: {reason}") from None


class Link:
    """Holds the connection to one server, and replaces it when it is gone.

    After any error, timeout or cancellation it is closed at once, so that no reply is ever read by another
    command (the mechanism of CVE-2023-28858).
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._resolver = Resolver(access.url.host)
        self._secret: str | None = None
        self._connection: AbstractConnection | None = None
        self.introduced = False
        self.denied: frozenset[str] = frozenset()
        self.own_id = b""
        self.config, self.config_until = ServerConfig(), 0.0
        self.connects = self.introductions = 0
        self._round_trip = math.inf

    async def info(self) -> bytes:
        """Return the raw reply of INFO, connecting first if needed.

        A held connection that turns out closed (the server's `timeout`, CLIENT KILL, a restart) is replaced
        once. There is one attempt to connect in one call, at each address of the name
        in turn until one accepts.

        Raises:
            LinkError: the server could not be asked, or answered with an error.

        """
        held = self._connection is not None
        try:
            reply = await self._ask("INFO")
        except LinkError as error:
            if not held or error.state is not State.UNREACHABLE:
                raise
            reply = await self._ask("INFO")
        if isinstance(reply, bytes):
            return reply
        if isinstance(reply, ResponseError):
            refusal = self._refusal(reply, "INFO")
        else:
            refusal = LinkError(State.PROTOCOL, "the answer to INFO is no text")
        if refusal.state not in PASSING:
            self.close()
        raise refusal

    async def ask_if_allowed(self, name: str, *command: str) -> Reply:
        """Ask on the open connection what a server may not know or this user may not ask; None then.

        `name` is the command as ACL rules write it. It is not asked again over this connection once denied,
        because each denied call writes into the server's ACL LOG.
        """
        if name in self.denied or self._connection is None:
            return None
        reply = await self._ask(*command)
        if isinstance(reply, ResponseError):
            if is_denial(str(reply)):
                self.denied |= {name}
            return None
        return reply

    async def stream_if_allowed(
        self, feed: Callable[[bytes], None], name: str, *command: bytes
    ) -> float | None:
        """Ask as ask_if_allowed does, and hand the text of the reply on in pieces as they come in.

        Returns the server's seconds for it, or None where there is no reply: a server begins to send when all
        of it is ready, so that is the time until then, less the shortest round trip over this connection.
        """
        connection = self._connection
        if name in self.denied or connection is None:
            return None
        try:
            with _as_link_errors(closed=State.UNREACHABLE):
                parser: _RawReplies = connection._parser  # type: ignore[assignment]  # noqa: SLF001  our own
                packed, sent = _pack(command), time.monotonic()
                await connection.send_packed_command(packed, check_health=False)
                try:
                    began = await parser.read_in_chunks(feed)
                except ResponseError as error:
                    if is_denial(str(error)):
                        self.denied |= {name}
                    return None
                self._round_trip = min(self._round_trip, began - sent)
                return began - sent - self._round_trip
        except BaseException:
            self.close()
            raise

    @property
    def own_address(self) -> bytes:
        """Our end of the connection as the server prints it, unless there is a proxy or NAT between us."""
        connection = self._connection
        writer = connection._writer if connection is not None else None  # noqa: SLF001
        match writer.get_extra_info("sockname") if writer is not None else None:
            case (str(host), int(port), *_):
                return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        return b""

    async def introduce(self, version: tuple[int, ...]) -> None:
        """Say who we are, once per connection, as far as this version knows how and this user may."""
        self.introduced = True
        self.introductions += 1
        await self.ask_if_allowed("client|setname", "CLIENT", "SETNAME", NAME)
        found = await self.ask_if_allowed("client|id", "CLIENT", "ID")
        self.own_id = b"%d" % found if isinstance(found, int) else b""
        if version >= (7, 0):
            await self.ask_if_allowed("client|no-evict", "CLIENT", "NO-EVICT", "ON")
        if version >= (7, 2):
            await self.ask_if_allowed("client|setinfo", "CLIENT", "SETINFO", "LIB-NAME", NAME)
            await self.ask_if_allowed("client|setinfo", "CLIENT", "SETINFO", "LIB-VER", __version__)

    def close(self) -> None:
        """Drop the connection now, without waiting for the other side."""
        connection, self._connection = self._connection, None
        writer = connection._writer if connection is not None else None  # noqa: SLF001
        if connection is not None and writer is not None:
            writer.transport.abort()  # a polite close would keep the slot of a hung TLS server for 30 s
            connection._close()  # type: ignore[no-untyped-call]  # noqa: SLF001  forgets the streams

    async def _ask(self, *command: str) -> Reply:
        try:
            if self._connection is None:
                await self._open()
            return await self._converse(*command)
        except BaseException:
            self.close()
            raise

    async def _open(self) -> None:
        self._secret = _password(self._access)
        self.introduced, self.denied, self.own_id = False, frozenset(), b""
        self.config, self.config_until = ServerConfig(), 0.0
        self._round_trip = math.inf
        self.connects += 1
        with _as_link_errors(closed=State.UNREACHABLE):
            addresses = await self._resolver.addresses()
        for address in addresses:
            self._connection = _new_connection(self._access, address)
            try:
                with _as_link_errors(closed=State.AT_LIMIT if self._access.url.tls else State.UNREACHABLE):
                    await self._connection.connect()  # type: ignore[no-untyped-call]
                break
            except LinkError as error:
                if error.state not in (State.REFUSED, State.UNREACHABLE) or address == addresses[-1]:
                    raise
        if self._secret is not None:
            who = (self._access.username,) if self._access.username is not None else ()
            reply = await self._converse("AUTH", *who, self._secret)
            if isinstance(reply, ResponseError):
                raise self._refusal(reply, "AUTH")

    async def _converse(self, *command: str) -> Reply:
        connection = self._connection
        if connection is None:
            raise LinkError(State.UNREACHABLE, "the connection is closed")
        with _as_link_errors(closed=State.UNREACHABLE):
            sent = time.monotonic()
            await connection.send_command(*command)
            try:
                reply: Reply = await connection.read_response(
                    disable_decoding=True, disconnect_on_error=False
                )
            except ResponseError as error:  # raised only once read to its end, so the connection stays good
                return error
            self._round_trip = min(self._round_trip, time.monotonic() - sent)
        return reply

    def _refusal(self, reply: ResponseError, command: str) -> LinkError:
        return LinkError(*read_error(str(reply), command, self._secret))


@contextmanager
def _as_link_errors(*, closed: State) -> Iterator[None]:
    """Turn whatever a connection raises into a LinkError; `closed` is what a closed connection means here."""
    try:
        yield
    except (RedisError, OSError, EOFError, GarbageError) as error:
        raise LinkError(*explain_failure(error, closed)) from error
