"""What it means that a connection failed: the state, and a sentence for people."""

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator

from exporter.model import State
from exporter.parse import GarbageError

_CLOSED = {
    State.UNREACHABLE: "the connection was accepted and closed without an answer",
    State.AT_LIMIT: "closed in the TLS handshake without a word: Redis does so at maxclients "
    "(a proxy without a backend looks the same)",
}
_MEANINGS: tuple[tuple[type[BaseException], State, str], ...] = (
    (GarbageError, State.PROTOCOL, "the server sent what no Redis sends"),
    (socket.gaierror, State.DNS, "the name does not resolve: {reason}"),
    (ssl.SSLError, State.TLS, "TLS: {reason}"),
    (ConnectionRefusedError, State.REFUSED, "nobody listens there"),
    (FileNotFoundError, State.REFUSED, "there is no such socket"),
    (TimeoutError, State.TIMEOUT, "the network gave up"),
)


def explain_failure(error: BaseException, closed: State) -> tuple[State, str]:
    """Explain an error by what it was raised from; `closed` is what a closed connection means at this point.

    redis-py wraps the telling error in one of its own, mostly without a `from`.
    """
    cause = next(
        (each for each in _causes(error) if isinstance(each, OSError | EOFError | GarbageError)), error
    )
    if isinstance(cause, EOFError) and getattr(cause, "partial", False):
        return State.PROTOCOL, "the server closed the connection in the middle of a reply"
    for kind, state, text in _MEANINGS:
        if isinstance(cause, kind):
            return state, text.format(reason=_reason(cause))
    if isinstance(cause, EOFError | ConnectionError):
        return closed, _CLOSED[closed]
    return _explain_os_error(cause) if isinstance(cause, OSError) else (State.UNKNOWN, type(cause).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str:
    """What a resolver or a TLS error says of itself."""
    texts = (getattr(error, name, None) for name in ("verify_message", "reason", "strerror"))
    return next((str(text) for text in texts if text), type(error).__name__)


def _explain_os_error(error: OSError) -> tuple[State, str]:
    """Read an OSError; asyncio joins several of them into one text without a number of its own."""
    numbers = {error.errno} if error.errno else set(map(int, re.findall(r"\[Errno (\d+)\]", str(error))))
    if numbers and numbers <= {errno.ECONNREFUSED, errno.EADDRNOTAVAIL}:
        return State.REFUSED, "nobody listens there"
    text = ", ".join(os.strerror(number) for number in sorted(numbers)) or type(error).__name__
    return State.UNREACHABLE, text
