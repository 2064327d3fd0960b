"""What it means that a connection failed: the state, and a sentence for people."""

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator
from enum import Enum, auto

from exporter.connection.handshake import explain_handshake, plain_url, tls_url
from exporter.connection.wire import UnaskedError
from exporter.model import Access, RedisUrl, State
from exporter.parse import GarbageError
from exporter.parse.garbage import describe_garbage, recognise
from exporter.text import as_sentence

_CLOSED = (EOFError, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_NO_SERVER = "a proxy there has no server behind it"


class Step(Enum):
    """What a connection waits for."""

    FILES = auto()
    RESOLVE = auto()
    CONNECT = auto()  # TCP and TLS together
    ANSWER = auto()


def explain_failure(
    error: BaseException, access: Access, *, closed: State, answered: bool = True
) -> tuple[State, str]:
    """Explain an error by what it was raised from: redis-py wraps that in its own, mostly without a `from`.

    `closed` is the state where the other side just hung up: UNREACHABLE, or in a TLS handshake TLS, or
    AT_LIMIT if the last reading was near the limit. `answered` says whether the server has answered anything
    over this connection.
    """
    causes = tuple(_causes(error))
    cause = next((each for each in causes if isinstance(each, OSError | EOFError | GarbageError)), causes[-1])
    state, text = _explain(cause, access, closed, answered=answered)
    return state, as_sentence(text)


def explain_timeout(
    step: Step, url: RedisUrl, seconds: float | None = None, *, behind_others: bool = False
) -> str:
    """Say what did not come within so many seconds, or has not come yet.

    `behind_others` says that a file or name waits for a thread, because others hang.
    """
    within, place = "yet" if seconds is None else f"within {seconds:g} s", url.place
    slow = "the host is down or slow, or a firewall drops what is sent to it"
    match step:
        case Step.FILES if behind_others:
            text = f"the files of the settings were not read {within}: they wait behind files that hang"
        case Step.RESOLVE if behind_others:
            text = f"the name {url.host} was not resolved {within}: it waits behind names that hang"
        case Step.FILES:
            text = f"the files of the settings were not read {within}: does their disk answer?"
        case Step.RESOLVE:
            text = f"the name {url.host} was not resolved {within}: does the DNS server answer?"
        case Step.CONNECT if url.path:
            text = f"no connection to {place} {within}: the server does not accept it"
        case Step.CONNECT if url.tls:  # a plain Redis port reads the hello, and waits for the end of a line
            text = f"no TLS handshake with {place} {within}: {_maybe_plain(url)}, {slow}"
        case Step.CONNECT:
            text = f"no connection to {place} {within}: {slow}"
        case Step.ANSWER:
            text = f"connected to {place}, but no answer {within}"
    return as_sentence(text)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _explain(cause: BaseException, access: Access, closed: State, *, answered: bool) -> tuple[State, str]:
    url = access.url
    if isinstance(cause, GarbageError):
        return State.PROTOCOL, _explain_garbage(cause, url)
    if partial := getattr(cause, "partial", b""):  # of an asyncio.IncompleteReadError
        return State.PROTOCOL, _explain_cut(partial, url)
    if isinstance(cause, ConnectionAbortedError) and "handshake is taking longer" in str(cause):
        return State.TIMEOUT, f"no TLS handshake with {url.place}: {_maybe_plain(url)}"
    if isinstance(cause, _CLOSED) and not isinstance(cause, ConnectionRefusedError):
        return closed, _explain_closed(url, closed, answered=answered)
    if isinstance(cause, ssl.SSLError):
        return State.TLS, explain_handshake(cause, access)
    return _explain_os_error(cause, url)


def _explain_garbage(error: GarbageError, url: RedisUrl) -> str:
    if isinstance(error, UnaskedError):
        return f"{url.place} sent what nobody had asked for: perhaps a proxy mixes up its connections"
    return f"{url.place}: {describe_garbage(error.first)}"


def _explain_cut(partial: bytes, url: RedisUrl) -> str:
    known = recognise(partial)
    return f"{url.place}: {known}" if known else f"{url.place} closed the connection in the middle of a reply"


def _maybe_plain(url: RedisUrl) -> str:
    return f"perhaps the port does not speak TLS (then write {plain_url(url)})"


def _explain_closed(url: RedisUrl, closed: State, *, answered: bool) -> str:
    in_handshake = f"{url.place} closed the connection during the TLS handshake"
    if closed is State.AT_LIMIT:
        return f"{in_handshake}, as Redis does at maxclients; the last reading was near the limit"
    if closed is State.TLS:
        return f"{in_handshake}: {_maybe_plain(url)}, or {_NO_SERVER}; Redis also does this at maxclients"
    if answered:
        causes = "a restart, CLIENT KILL, its timeout, or an output buffer limit"
        return f"{url.place} closed the connection: {causes}"
    silent = f"{url.place} accepted the connection and closed it without an answer"
    if url.path:
        return silent
    if url.tls:
        return f"{silent}: perhaps it wants another client certificate, or {_NO_SERVER}"
    return f"{silent}: perhaps the port speaks TLS (then write {tls_url(url)}), or {_NO_SERVER}"


def _explain_os_error(error: BaseException, url: RedisUrl) -> tuple[State, str]:
    match error:
        case socket.gaierror():
            reason = error.strerror or type(error).__name__
            return State.DNS, f"the name {url.host} does not resolve: {reason}"
        case TimeoutError():
            return State.TIMEOUT, f"{url.place} does not answer: the system gave up waiting"
        case OSError():
            return _explain_numbers(error, url)
    return State.UNKNOWN, f"{url.place}: unexpected {type(error).__name__}"


def _explain_numbers(error: OSError, url: RedisUrl) -> tuple[State, str]:
    """Read the number of an error; asyncio joins several errors into one text without a number of its own."""
    numbers = {error.errno} if error.errno else set(map(int, re.findall(r"\[Errno (\d+)\]", str(error))))
    if numbers and numbers <= {errno.ECONNREFUSED, errno.EADDRNOTAVAIL}:
        return State.REFUSED, f"connection refused: nothing listens on {url.place}"
    if url.path and numbers == {errno.ENOENT}:
        return State.REFUSED, f"there is no socket {url.path}"
    if url.path and numbers == {errno.EACCES}:
        who = "the exporter's user may not open the socket"
        return State.UNREACHABLE, f"{who} {url.path}: it needs read and write access"
    if numbers & {errno.EMFILE, errno.ENFILE}:
        cure = "raise its limit (ulimit -n, LimitNOFILE=)"
        return State.UNREACHABLE, f"the exporter has too many files and connections open: {cure}"
    reason = ", ".join(os.strerror(number) for number in sorted(numbers)) or type(error).__name__
    return State.UNREACHABLE, f"{url.place} cannot be reached: {reason}"
