"""Opens a connection that is ready to be used: connected, authenticated, introduced, and asked for INFO."""

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from exporter import NAME, threads
from exporter.connection.connect import connect, race
from exporter.connection.errors import LinkError, as_link_errors
from exporter.connection.failures import Step, explain_timeout
from exporter.connection.files import mount_of
from exporter.connection.resolver import Resolver
from exporter.connection.resp import ErrorReply, Reply
from exporter.connection.secrets import SecretError, read_secret
from exporter.connection.tls import TlsFileError, file_ages, tls_context
from exporter.connection.wire import Command, Connection
from exporter.model import Access, State, Tls
from exporter.parse.errors import PASSING, read_error
from exporter.threads import Kind, NoThreadError

INFO: Command = (b"INFO",)
# What every version knows of saying who we are; the names are those that ACL rules give the commands.
GREETING: Mapping[str, Command] = {
    "client|setname": (b"CLIENT", b"SETNAME", NAME.encode()),
    "client|id": (b"CLIENT", b"ID"),
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an opening may take (seconds): in all, and for the first round trip once it is connected.

    `closed_in_handshake` is what it means that a server hangs up in the TLS handshake.
    """

    connect: float
    reply: float | None
    closed_in_handshake: State


class Progress:
    """What an opening waits for at the moment, and when each of its steps began (monotonic)."""

    def __init__(self) -> None:
        self.begun = [(Step.FILES, time.monotonic())]
        self.ended: float | None = None

    @property
    def step(self) -> Step:
        """The present step, or the last one."""
        return self.begun[-1][0]

    @step.setter
    def step(self, step: Step) -> None:
        self.begun.append((step, time.monotonic()))

    def spans(self, since: float, until: float) -> Iterator[tuple[Step, float, float]]:
        """When each step began and ended, as far as that was between two moments (monotonic)."""
        ends = [*(at for _, at in self.begun[1:]), until if self.ended is None else self.ended]
        for (step, begin), end in zip(self.begun, ends, strict=True):
            if end > since:
                yield step, max(begin, since), min(end, until)

    def explain(self, access: Access, resolver: Resolver, seconds: float | None = None) -> str:
        """Say what did not come within so many seconds, or has not come yet."""
        waits = (self.step is Step.FILES and threads.is_waiting(Kind.FILE, _files(access))) or (
            self.step is Step.RESOLVE and resolver.is_waiting
        )
        return explain_timeout(self.step, access.url, seconds, behind_others=waits)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the files and the settings of an access hold at one moment."""

    secret: str | None
    context: ssl.SSLContext | None
    ages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection, and what was answered in its first round trip; `at` is when (monotonic)."""

    connection: Connection
    access: Access
    credentials: Credentials
    addresses: tuple[str, ...]
    info: Reply
    greeting: Mapping[str, Reply]
    at: float


async def read_credentials(access: Access) -> Credentials:
    """Read password and certificates, in a thread where there is a file: its disk may not answer.

    Raises:
        LinkError: a file cannot be used.

    """
    if access.password_file is None and not access.url.tls:
        return Credentials(access.password, None, ())

    def read() -> Credentials:
        context = tls_context(access.tls) if access.url.tls else None
        secret = read_secret(access) if access.password_file is not None else None
        return Credentials(secret, context, file_ages(access.tls))

    try:
        found = await threads.run(Kind.FILE, _files(access), read, map(mount_of, _paths(access)))
    except SecretError as error:
        raise LinkError(State.AUTH, error.detail) from error
    except TlsFileError as error:
        raise LinkError(State.TLS, error.detail) from error
    except NoThreadError as error:
        raise LinkError(
            State.UNREACHABLE, f"the files of the settings were not read: {error.strerror}"
        ) from error
    return found if access.password_file is not None else replace(found, secret=access.password)


def _files(access: Access) -> tuple[object, ...]:
    """What the files of an access are read for: who needs the same shares the reading."""
    tls = replace(access.tls, server_name=None) if access.url.tls else None
    return access.password_file, tls


def _paths(access: Access) -> Iterator[Path]:
    tls = access.tls if access.url.tls else Tls()
    return filter(None, (access.password_file, tls.ca_file, tls.cert_file, tls.key_file))


def auth_command(access: Access, secret: str) -> Command:
    """Authenticate; without a user as servers before Redis 6 want it."""
    who = (access.username.encode(),) if access.username is not None else ()
    return (b"AUTH", *who, secret.encode())


async def open_connection(
    access: Access, resolver: Resolver, patience: Patience, progress: Progress
) -> Opened:
    """Connect; AUTH, INFO and the greeting take one round trip together. `progress` is kept up to date.

    Raises:
        LinkError: it did not succeed, or not in time.

    """
    connection: Connection | None = None
    try:
        async with asyncio.timeout(patience.connect):
            credentials = await read_credentials(access)
            progress.step = Step.RESOLVE
            closed = patience.closed_in_handshake if access.url.tls else State.UNREACHABLE
            with as_link_errors(access, closed=closed, answered=False):
                addresses = await resolver.addresses()
                progress.step = Step.CONNECT
                attempt = partial(connect, access, context=credentials.context)
                connection = await race(addresses, attempt, patience.connect)
            progress.step = Step.ANSWER
            async with asyncio.timeout(patience.reply):
                info, greeting = await _first_round_trip(connection, access, credentials.secret)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, TimeoutError):
            raise _too_late(access, resolver, patience, progress) from None
        raise
    finally:
        progress.ended = time.monotonic()
    return Opened(connection, access, credentials, addresses, info, greeting, time.monotonic())


def _too_late(access: Access, resolver: Resolver, patience: Patience, progress: Progress) -> LinkError:
    late_answer = progress.step is Step.ANSWER and patience.reply is not None
    seconds = patience.reply if late_answer else patience.connect
    return LinkError(State.TIMEOUT, progress.explain(access, resolver, seconds))


async def _first_round_trip(
    connection: Connection, access: Access, secret: str | None
) -> tuple[Reply, Mapping[str, Reply]]:
    """Ask all at once, and stop reading where an answer says that no more will come."""
    auth = [auth_command(access, secret)] if secret is not None else []
    expected = deque(connection.send(*auth, INFO, *GREETING.values()))
    greeting: dict[str, Reply] = {}
    if auth:
        with as_link_errors(access, closed=State.UNREACHABLE, answered=False):
            refusal = await connection.receive(expected.popleft())
        if isinstance(refusal, ErrorReply):
            raise LinkError(*read_error(refusal.text, "AUTH", access, secret))
    with as_link_errors(access, closed=State.UNREACHABLE, answered=bool(auth)):
        info = await connection.receive(expected.popleft())
        if isinstance(info, ErrorReply):
            state, detail = read_error(info.text, "INFO", access, secret)
            if state not in PASSING:
                raise LinkError(state, detail)
        # A server that hangs up after INFO has told what matters; its end is found at the next command.
        with contextlib.suppress(OSError, EOFError):
            for name, each in zip(GREETING, expected, strict=True):
                greeting[name] = await connection.receive(each)
    return info, greeting
