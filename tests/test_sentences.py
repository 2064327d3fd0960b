"""Sentences that lead to the cause: which user, file or place failed, why, and what to write instead."""

import asyncio
import contextlib
import html
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from exporter.connection.failures import Step, explain_failure, explain_timeout
from exporter.connection.wire import UnaskedError
from exporter.demo.servers import free_port
from exporter.model import Access, State, Tls
from exporter.parse import GarbageError
from exporter.parse.errors import read_error
from exporter.parse.garbage import describe_garbage
from exporter.settings.kinds import parse_redis_url
from tests.conftest import Certificates, StartServer
from tests.daemon import Daemon, log_events, quick, running_exporter, target
from tests.servers.kinds import KINDS, OLDEST, ServerKind
from tests.waiting import eventually

URL = parse_redis_url("redis://10.0.0.1:6379")
OURS = Access(URL, username="exporter", password_file=Path("/run/secrets/orders"))
OF_THE_DEFAULT_USER = Access(URL, password="hunter2")
NOBODY = Access(URL)

# As the servers of the matrix send them, from Redis 5.0 to 8.0 and Valkey 8.1 and 9.1.
UNKNOWN_AUTH = (
    "ERR unknown command `AUTH`, with args beginning with: `hunter2`, ",
    "ERR unknown command 'AUTH', with args beginning with: 'exporter' 'hunter2' ",
    "NOAUTH Authentication required.",  # Valkey 9.1, to AUTH itself
)
NO_PASSWORD = (
    "ERR Client sent AUTH, but no password is set",
    (
        "ERR AUTH <password> called without any password configured for the default user. Are you sure "
        "your configuration is correct?"
    ),
)
NO_INFO = (
    "NOPERM this user has no permissions to run the 'info' command or its subcommand",
    "NOPERM this user has no permissions to run the 'info' command",
    "NOPERM User exporter has no permissions to run the 'info' command",
)
WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled."
PROTECTED = (
    "DENIED Redis is running in protected mode because protected mode is enabled and no password is set"
)


@pytest.mark.parametrize(
    ("texts", "access", "state", "sentence"),
    [
        (
            (WRONGPASS,),
            OURS,
            State.AUTH,
            (
                "wrong password for user exporter (password_file /run/secrets/orders), or there is no such "
                "user, or it is off"
            ),
        ),
        (
            (WRONGPASS,),
            OF_THE_DEFAULT_USER,
            State.AUTH,
            "wrong password for user default (password: of the settings), for another user write username:",
        ),
        (
            ("ERR invalid password",),
            OF_THE_DEFAULT_USER,
            State.AUTH,
            "wrong password (password: of the settings)",
        ),
        (
            UNKNOWN_AUTH,
            OURS,
            State.AUTH,
            "the server does not know AUTH (rename-command, or a proxy): leave password_file out",
        ),
        (
            UNKNOWN_AUTH,
            OF_THE_DEFAULT_USER,
            State.AUTH,
            "the server does not know AUTH (rename-command, or a proxy): leave password out",
        ),
        (
            ("ERR wrong number of arguments for 'auth' command",),
            OURS,
            State.AUTH,
            "no users there (Redis before 6.0): leave username out (exporter)",
        ),
        (NO_PASSWORD[:1], OF_THE_DEFAULT_USER, State.AUTH, "the server has no password: leave password out"),
        (
            NO_PASSWORD[1:],
            OF_THE_DEFAULT_USER,
            State.AUTH,
            "user default has no password there: leave password out, or write username:",
        ),
        (
            ("ERR something that repeats hunter2", "hunter2"),
            OURS,
            State.AUTH,
            "AUTH failed for user exporter (password_file /run/secrets/orders)",
        ),
        (
            ("LOADING Redis is loading the dataset in memory",),
            OURS,
            State.LOADING,
            "the server is loading its data",
        ),
        ((PROTECTED,), OURS, State.REFUSED, "the server is in protected mode"),
        (("ERR max number of clients reached",), OURS, State.AT_LIMIT, "max number of clients reached"),
    ],
)
def test_a_refused_login_is_explained_with_the_user_and_where_the_secret_came_from(
    texts: tuple[str, ...], access: Access, state: State, sentence: str
) -> None:
    for text in texts:
        found, detail = read_error(text, "AUTH", access, "hunter2")
        assert found is state
        assert sentence in detail
        assert "hunter2" not in detail


@pytest.mark.parametrize(
    ("texts", "command", "access", "state", "sentence"),
    [
        (NO_INFO, "INFO", OURS, State.NOPERM, "user exporter may not run INFO: ACL SETUSER exporter +info"),
        (
            NO_INFO,
            "INFO",
            NOBODY,
            State.NOPERM,
            (
                "user default may not run INFO: write username: and password_file: of a user that may, or "
                "ACL SETUSER default +info"
            ),
        ),
        (
            ("NOPERM User exporter has no permissions to run the 'client|list' command",),
            "CLIENT LIST",
            OURS,
            State.NOPERM,
            "user exporter may not run CLIENT LIST: ACL SETUSER exporter +client|list",
        ),
        (
            ("NOPERM No permissions to access database",),
            "INFO",
            OURS,
            State.NOPERM,
            "NOPERM No permissions to access database",
        ),
        (
            ("NOAUTH Authentication required.",),
            "INFO",
            NOBODY,
            State.AUTH,
            "the server wants a password: write password_file:, and username: for a user of its own",
        ),
        (
            ("NOAUTH Authentication required.",),
            "INFO",
            OURS,
            State.AUTH,
            "the server wants a login again, after AUTH succeeded for user exporter",
        ),
        (
            ("ERR unknown command 'INFO', with args beginning with: ",),
            "INFO",
            OURS,
            State.NOPERM,
            "the server does not know INFO (rename-command, or a proxy)",
        ),
        (("BUSY Redis is busy running a script.",), "INFO", OURS, State.BUSY, "a script or a module blocks"),
        (("ERR something new",), "INFO", OURS, State.PROTOCOL, "ERR something new"),
        (
            ("ERR who is hunter2\x1b[31m",),
            "INFO",
            OURS,
            State.PROTOCOL,
            "ERR who is ***?[31m",
        ),
    ],
)
def test_a_refused_command_is_explained_with_the_user_and_the_cure(
    texts: tuple[str, ...], command: str, access: Access, state: State, sentence: str
) -> None:
    for text in texts:
        found, detail = read_error(text, command, access, "hunter2")
        assert found is state
        assert sentence in detail


@given(st.text(max_size=600), st.sampled_from(["AUTH", "INFO"]), st.text(max_size=300))
def test_a_sentence_about_an_error_is_printable_and_bounded(text: str, command: str, user: str) -> None:
    _, detail = read_error(text, command, replace(OURS, username=user), "hunter2")
    assert detail.isprintable()
    assert len(detail) <= 400


TLS_ALERT = bytes.fromhex("15030100020246")
MYSQL = b"J\0\0\0\x0a8.0.33\0"
IN_TLS = Access(parse_redis_url("rediss://orders.example:6380"), tls=Tls(ca_file=Path("/etc/ca.pem")))
VALKEY_IN_TLS = Access(
    parse_redis_url("valkeys://[::1]:1"), tls=Tls(cert_file=Path("/c"), key_file=Path("/k"))
)
BY_SOCKET = Access(parse_redis_url("unix:///run/redis.sock"))


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (TLS_ALERT, "this port speaks TLS: write rediss:// (valkeys://)"),
        (b"\x16\x03\x03\0z", "this port speaks TLS: write rediss:// (valkeys://)"),
        (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP server answers at this port, no Redis server"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "an SSH server answers at this port, no Redis server"),
        (b"ERROR\r\nERROR\r\n", "a memcached server answers at this port, no Redis server"),
        (MYSQL, "a MySQL server answers at this port, no Redis server"),
        (b"F\0\0\0\xffj\x04Host is blocked", "a MySQL server answers at this port, no Redis server"),
        (b"E\0\0\0\x8bSFATAL\0", "a PostgreSQL server answers at this port, no Redis server"),
        (b"AMQP\0\0\x09\x01", "an AMQP server answers at this port, no Redis server"),
        (b'INFO {"server_id":"N"}\r\n', "a NATS server answers at this port, no Redis server"),
        (b"220 mail.example ESMTP\r\n", "an SMTP or FTP server answers at this port, no Redis server"),
        (b"%1\r\n+a\r\n", "the server answers in RESP3, and was not asked to: perhaps a proxy does"),
        (b"$99999999999\r\n", "the server's reply is damaged, or larger than any reply to what was asked"),
        (b"*99999999\r\n", "the server's reply is damaged, or larger than any reply to what was asked"),
        (b"x" * 70000, "no Redis server sends what this one sends: check host and port"),
        (b"\x15", "no Redis server sends what this one sends: check host and port"),
        (b"", "no Redis server sends what this one sends: check host and port"),
    ],
)
def test_what_answers_instead_of_redis_is_told_by_its_first_bytes(first: bytes, sentence: str) -> None:
    assert describe_garbage(first) == sentence
    state, detail = explain_failure(GarbageError(first), NOBODY, closed=State.UNREACHABLE)
    assert (state, detail) == (State.PROTOCOL, f"10.0.0.1:6379: {sentence}")


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """What redis-py raises: its own error, with the telling one as its context."""
    error.__context__ = cause
    return error


def _of_ssl(kind: type[ssl.SSLError], reason: str, **more: object) -> ssl.SSLError:
    error = kind(1, reason)
    error.reason = reason
    for name, value in more.items():
        setattr(error, name, value)
    return error


def _unverified(code: int, message: str) -> ssl.SSLError:
    return _of_ssl(
        ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED", verify_code=code, verify_message=message
    )


@pytest.mark.parametrize(
    ("error", "access", "state", "sentence"),
    [
        (
            ConnectionRefusedError(111, "Connect call failed"),
            NOBODY,
            State.REFUSED,
            "connection refused: nothing listens on 10.0.0.1:6379",
        ),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 99] Cannot assign"),
            NOBODY,
            State.REFUSED,
            "connection refused: nothing listens on 10.0.0.1:6379",
        ),
        (
            redis.ConnectionError("Error 111 connecting"),
            NOBODY,
            State.UNKNOWN,
            "10.0.0.1:6379: unexpected ConnectionError",
        ),
        (FileNotFoundError(2, "x"), BY_SOCKET, State.REFUSED, "there is no socket /run/redis.sock"),
        (
            ConnectionRefusedError(111, "x"),
            BY_SOCKET,
            State.REFUSED,
            "connection refused: nothing listens on /run/redis.sock",
        ),
        (
            PermissionError(13, "Permission denied"),
            BY_SOCKET,
            State.UNREACHABLE,
            "the exporter's user may not open the socket /run/redis.sock: it needs read and write access",
        ),
        (
            socket.gaierror(-2, "Name or service not known"),
            IN_TLS,
            State.DNS,
            "the name orders.example does not resolve: Name or service not known",
        ),
        (
            TimeoutError(110, "x"),
            NOBODY,
            State.TIMEOUT,
            "10.0.0.1:6379 does not answer: the system gave up waiting",
        ),
        (
            OSError(113, "No route to host"),
            NOBODY,
            State.UNREACHABLE,
            "10.0.0.1:6379 cannot be reached: No route to host",
        ),
        (
            OSError(24, "x"),
            NOBODY,
            State.UNREACHABLE,
            "the exporter has too many files and connections open: raise its limit (ulimit -n, LimitNOFILE=)",
        ),
        (
            asyncio.IncompleteReadError(b"$20\r\nhalf", None),
            NOBODY,
            State.PROTOCOL,
            "10.0.0.1:6379 closed the connection in the middle of a reply",
        ),
        (
            asyncio.IncompleteReadError(TLS_ALERT, None),
            NOBODY,
            State.PROTOCOL,
            "10.0.0.1:6379: this port speaks TLS: write rediss:// (valkeys://)",
        ),
        (
            asyncio.IncompleteReadError(MYSQL, None),
            NOBODY,
            State.PROTOCOL,
            "10.0.0.1:6379: a MySQL server answers at this port, no Redis server",
        ),
        (
            UnaskedError(),
            NOBODY,
            State.PROTOCOL,
            "10.0.0.1:6379 sent what nobody had asked for: perhaps a proxy mixes up its connections",
        ),
        (KeyError("hunter2"), NOBODY, State.UNKNOWN, "10.0.0.1:6379: unexpected KeyError"),
    ],
)
def test_a_failed_connection_is_explained_with_the_place_and_the_reason(
    error: BaseException, access: Access, state: State, sentence: str
) -> None:
    for each in (error, _raised(redis.ConnectionError("hunter2"), error)):
        assert explain_failure(each, access, closed=State.UNREACHABLE) == (state, sentence)


@pytest.mark.parametrize(
    "error",
    [
        asyncio.IncompleteReadError(b"", None),
        EOFError("the other side closed the connection"),
        ConnectionResetError(104, "Connection reset by peer"),
        BrokenPipeError(32, "Broken pipe"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        ssl.SSLZeroReturnError(6, "TLS/SSL connection has been closed (EOF)"),
    ],
)
def test_what_a_closed_connection_means_depends_on_when_it_was_closed(error: Exception) -> None:
    def explain(access: Access, closed: State, *, answered: bool = True) -> tuple[State, str]:
        return explain_failure(error, access, closed=closed, answered=answered)

    assert explain(NOBODY, State.UNREACHABLE) == (
        State.UNREACHABLE,
        "10.0.0.1:6379 closed the connection: a restart, CLIENT KILL, its timeout, or an output buffer limit",
    )
    assert explain(NOBODY, State.UNREACHABLE, answered=False) == (
        State.UNREACHABLE,
        (
            "10.0.0.1:6379 accepted the connection and closed it without an answer: perhaps the port "
            "speaks TLS (then write rediss://10.0.0.1:6379), or a proxy there has no server behind it"
        ),
    )
    assert explain(VALKEY_IN_TLS, State.UNREACHABLE, answered=False) == (
        State.UNREACHABLE,
        (
            "[::1]:1 accepted the connection and closed it without an answer: perhaps it wants another "
            "client certificate, or a proxy there has no server behind it"
        ),
    )
    assert explain(BY_SOCKET, State.UNREACHABLE, answered=False) == (
        State.UNREACHABLE,
        "/run/redis.sock accepted the connection and closed it without an answer",
    )
    assert explain(IN_TLS, State.TLS) == (
        State.TLS,
        (
            "orders.example:6380 closed the connection during the TLS handshake: perhaps the port does not "
            "speak TLS (then write redis://orders.example:6380), or a proxy there has no server behind it; "
            "Redis also does this at maxclients"
        ),
    )
    assert explain(IN_TLS, State.AT_LIMIT) == (
        State.AT_LIMIT,
        (
            "orders.example:6380 closed the connection during the TLS handshake, as Redis does at "
            "maxclients; the last reading was near the limit"
        ),
    )


@pytest.mark.parametrize(
    ("error", "access", "sentence"),
    [
        (
            _of_ssl(ssl.SSLError, "WRONG_VERSION_NUMBER"),
            IN_TLS,
            "orders.example:6380 does not speak TLS: write redis://orders.example:6380",
        ),
        (
            _of_ssl(ssl.SSLError, "RECORD_LAYER_FAILURE"),
            VALKEY_IN_TLS,
            "[::1]:1 does not speak TLS: write valkey://[::1]:1",
        ),
        (
            _unverified(19, "self-signed certificate in certificate chain"),
            IN_TLS,
            (
                "the certificate of orders.example:6380 is not trusted (self-signed certificate in "
                "certificate chain): write the CA that signed it into ca_file /etc/ca.pem"
            ),
        ),
        (
            _unverified(20, "unable to get local issuer certificate"),
            VALKEY_IN_TLS,
            (
                "the certificate of [::1]:1 is not trusted (unable to get local issuer certificate): write "
                "tls.ca_file: with the CA that signed it"
            ),
        ),
        (
            _unverified(62, "Hostname mismatch, certificate is not valid for 'orders.example'."),
            IN_TLS,
            (
                "the certificate of orders.example:6380 is for another name (Hostname mismatch, "
                "certificate is not valid for 'orders.example'.): write tls.server_name: as it stands in "
                "the certificate"
            ),
        ),
        (
            _unverified(10, "certificate has expired"),
            IN_TLS,
            "the certificate of orders.example:6380 is not trusted: certificate has expired",
        ),
        (
            _of_ssl(ssl.SSLError, "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
            IN_TLS,
            "orders.example:6380 wants a client certificate: write tls.cert_file: and tls.key_file:",
        ),
        (
            _of_ssl(ssl.SSLError, "SSLV3_ALERT_HANDSHAKE_FAILURE"),
            IN_TLS,
            (
                "orders.example:6380 refused the TLS handshake: perhaps it wants a client certificate "
                "(write tls.cert_file: and tls.key_file:), or shares no TLS version or cipher with the "
                "exporter"
            ),
        ),
        (
            _of_ssl(ssl.SSLError, "SSLV3_ALERT_HANDSHAKE_FAILURE"),
            VALKEY_IN_TLS,
            "[::1]:1 refused the TLS handshake: perhaps it shares no TLS version or cipher with the exporter",
        ),
        (
            _of_ssl(ssl.SSLError, "TLSV1_ALERT_UNKNOWN_CA"),
            VALKEY_IN_TLS,
            "[::1]:1 refused the client certificate in cert_file /c (TLSV1_ALERT_UNKNOWN_CA)",
        ),
        (
            _of_ssl(ssl.SSLError, "TLSV1_ALERT_PROTOCOL_VERSION"),
            IN_TLS,
            "orders.example:6380 shares no TLS version with the exporter, which speaks 1.2 and later",
        ),
        (
            _of_ssl(ssl.SSLError, "TLSV1_UNRECOGNIZED_NAME"),
            IN_TLS,
            (
                "orders.example:6380 has no certificate for the name that it was asked for: write "
                "tls.server_name: as it stands in its certificate"
            ),
        ),
        (_of_ssl(ssl.SSLError, "DH_KEY_TOO_SMALL"), IN_TLS, "TLS with orders.example:6380: DH_KEY_TOO_SMALL"),
    ],
)
def test_a_failed_handshake_is_explained_with_the_cure(
    error: ssl.SSLError, access: Access, sentence: str
) -> None:
    for each in (error, _raised(redis.ConnectionError("Error 1 connecting"), error)):
        assert explain_failure(each, access, closed=State.AT_LIMIT) == (State.TLS, sentence)


def test_a_handshake_that_the_event_loop_gave_up_is_a_timeout() -> None:
    error = ConnectionAbortedError(
        "SSL handshake is taking longer than 60.0 seconds: aborting the connection"
    )
    assert explain_failure(error, IN_TLS, closed=State.AT_LIMIT) == (
        State.TIMEOUT,
        (
            "no TLS handshake with orders.example:6380: perhaps the port does not speak TLS (then write "
            "redis://orders.example:6380)"
        ),
    )


@pytest.mark.parametrize(
    ("step", "url", "sentence"),
    [
        (
            Step.FILES,
            "redis://h",
            "the files of the settings were not read within 2 s: does their disk answer?",
        ),
        (Step.RESOLVE, "redis://h", "the name h was not resolved within 2 s: does the DNS server answer?"),
        (
            Step.CONNECT,
            "redis://h",
            (
                "no connection to h:6379 within 2 s: the host is down or slow, or a firewall drops what is "
                "sent to it"
            ),
        ),
        (
            Step.CONNECT,
            "valkeys://h",
            (
                "no TLS handshake with h:6379 within 2 s: perhaps the port does not speak TLS (then write "
                "valkey://h:6379), the host is down or slow, or a firewall drops what is sent to it"
            ),
        ),
        (
            Step.CONNECT,
            "unix:///run/r.sock",
            "no connection to /run/r.sock within 2 s: the server does not accept it",
        ),
        (Step.ANSWER, "redis://h", "connected to h:6379, but no answer within 2 s"),
    ],
)
def test_a_timeout_says_what_did_not_come_in_time(step: Step, url: str, sentence: str) -> None:
    assert explain_timeout(step, parse_redis_url(url), 2.0) == sentence
    assert explain_timeout(step, parse_redis_url(url)) == sentence.replace("within 2 s", "yet")


@given(
    st.binary(max_size=200),
    st.sampled_from([GarbageError, OSError, ssl.SSLError, socket.gaierror, ConnectionError]),
    st.sampled_from([NOBODY, IN_TLS, VALKEY_IN_TLS, BY_SOCKET]),
    st.sampled_from([State.UNREACHABLE, State.TLS, State.AT_LIMIT]),
)
def test_a_sentence_about_a_failure_is_printable_and_bounded(
    raw: bytes, kind: type[Exception], access: Access, closed: State
) -> None:
    error = kind(raw if kind is GarbageError else raw.decode(errors="replace"))
    _, detail = explain_failure(error, access, closed=closed)
    assert detail.isprintable()
    assert len(detail) <= 400


@contextlib.contextmanager
def _answering(answer: bytes) -> Iterator[int]:
    """Listen on a port, and give every client the same answer to whatever it says."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.recv(4096)
                    client.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _check(daemon: Daemon, expected: Mapping[str, tuple[str, str]]) -> None:
    """Compare what the status page says of each target, and the newest change of its state in the log."""

    def missing() -> list[str]:
        page = html.unescape(daemon.ask("/").text)
        return [detail for _, detail in expected.values() if detail not in page]

    with contextlib.suppress(AssertionError):
        eventually(lambda: not missing(), 20)
    assert missing() == [], daemon.output()
    events = [each for each in log_events(daemon.output()) if each["msg"] == "target state changed"]
    newest = {each["target"]: (each["state"], each["detail"]) for each in events}
    for name, (state, detail) in expected.items():
        # A state is logged when it begins, and on a slow machine a timeout may begin with another step.
        assert newest[name] == (state, newest[name][1] if state == "timeout" else detail)
    page = html.unescape(daemon.ask("/").text)
    assert all(each["url"] in page for each in events)


def test_a_tls_port_asked_without_tls_and_a_plain_one_asked_with_it_are_told(
    start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    expected, targets = {}, []
    for kind in KINDS:
        name, tls_port = kind.name.replace(".", ""), free_port()
        options = certificates.server_options(tls_port, clients="yes") if kind.tls else ()
        plain = f"localhost:{start_server(*options, kind=kind).port}"
        targets.append(target(f"{name}-plain", f"rediss://{plain}"))
        # The hello holds no end of a line before its first NUL: every version waits for the rest.
        expected[f"{name}-plain"] = (
            "timeout",
            (
                f"no answer within 0.9 s; no TLS handshake with {plain} yet: perhaps the port does not speak "
                f"TLS (then write redis://{plain}), the host is down or slow, or a firewall drops what is "
                "sent to it"
            ),
        )
        if kind.tls:  # resets the connection without an alert
            tls = f"localhost:{tls_port}"
            targets.append(target(f"{name}-tls", f"redis://{tls}"))
            expected[f"{name}-tls"] = (
                "unreachable",
                (
                    f"{tls} accepted the connection and closed it without an answer: perhaps the port speaks "
                    f"TLS (then write rediss://{tls}), or a proxy there has no server behind it"
                ),
            )
            ca = {"ca_file": str(certificates.ca)}
            targets.append(target(f"{name}-nobody", f"rediss://127.0.0.1:{tls_port}", tls=ca))
            expected[f"{name}-nobody"] = (
                "tls",
                f"127.0.0.1:{tls_port} wants a client certificate: write tls.cert_file: and tls.key_file:",
            )
    config = quick(*targets, log={"format": "json"})
    with running_exporter(tmp_path, config) as daemon:
        _check(daemon, expected)


def test_whoever_is_refused_is_named_with_the_source_of_the_secret_by_every_server(
    kind: ServerKind, start_server: StartServer, talk: Callable[..., redis.Redis], tmp_path: Path
) -> None:
    old, own = kind is OLDEST, "hunter2"
    secret = tmp_path / "secret"
    secret.write_text(f"{own}\n")
    opened, locked = start_server(kind=kind), start_server("--requirepass", "right", kind=kind)
    renamed = start_server("--rename-command", "AUTH", "", kind=kind)
    without_info = start_server("--rename-command", "INFO", "", kind=kind)

    def url(port: int, host: str = "127.0.0.1") -> str:
        return f"redis://{host}:{port}"

    targets = [
        target("nobody", url(locked.port)),
        target("wrong", url(locked.port, "localhost"), password_file=str(secret)),
        target("unwanted", url(opened.port), password=own),
        target("renamed", url(renamed.port), password_file=str(secret)),
        target("no-info", url(without_info.port)),
        target("user", url(opened.port, "localhost"), username="exporter", password_file=str(secret)),
    ]
    no_users = "no users there (Redis before 6.0): leave username out (exporter)"
    wrong = f"wrong password for user default (password_file {secret}), for another user write username:"
    unwanted = "user default has no password there: leave password out, or write username:"
    user = (
        f"wrong password for user exporter (password_file {secret}), or there is no such user, or it is off"
    )
    expected = {
        "nobody": (
            "auth",
            "the server wants a password: write password_file:, and username: for a user of its own",
        ),
        "wrong": ("auth", f"wrong password (password_file {secret})" if old else wrong),
        "unwanted": ("auth", "the server has no password: leave password out" if old else unwanted),
        "renamed": (
            "auth",
            "the server does not know AUTH (rename-command, or a proxy): leave password_file out",
        ),
        "no-info": ("noperm", "the server does not know INFO (rename-command, or a proxy)"),
        "user": ("auth", no_users if old else user),
    }
    if not old:
        limited = start_server(kind=kind)
        talk(limited).execute_command("ACL", "SETUSER", "exporter", "on", f">{own}", "-@all")  # type: ignore[no-untyped-call]
        targets.append(target("noperm", url(limited.port), username="exporter", password_file=str(secret)))
        expected["noperm"] = ("noperm", "user exporter may not run INFO: ACL SETUSER exporter +info")
    with running_exporter(tmp_path, quick(*targets, log={"format": "json"})) as daemon:
        _check(daemon, expected)
        assert own not in daemon.output()


def test_what_listens_there_instead_and_what_is_wrong_with_a_file_is_told(
    start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    port = start_server().port
    empty = tmp_path / "empty"
    empty.write_text("\n")
    missing = tmp_path / "missing"
    keys = {"cert_file": str(certificates.client_cert), "key_file": str(certificates.key)}
    with (
        _answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as http,
        _answering(b"SSH-2.0-OpenSSH_9.2p1\r\n") as ssh,
        _answering(b"ERROR\r\nERROR\r\nERROR\r\n") as memcached,
        _answering(MYSQL) as mysql,
        _answering(TLS_ALERT) as alert,
        _answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as https,
    ):
        nothing = free_port()  # once all others have theirs
        targets = [
            *(
                target(name, f"redis://127.0.0.1:{each}")
                for name, each in (
                    ("http", http),
                    ("ssh", ssh),
                    ("memcached", memcached),
                    ("mysql", mysql),
                    ("alert", alert),
                    ("nothing", nothing),
                )
            ),
            target("https", f"rediss://127.0.0.1:{https}"),
            target("missing", f"redis://127.0.0.1:{port}", password_file=str(missing)),
            target("empty", f"redis://localhost:{port}", password_file=str(empty)),
            target("key", f"rediss://[::1]:{port}", tls=keys),
            target("socket", f"unix://{tmp_path}/no.sock"),
        ]
        other = "answers at this port, no Redis server"
        expected = {
            "http": ("protocol", f"127.0.0.1:{http}: an HTTP server {other}"),
            "ssh": ("protocol", f"127.0.0.1:{ssh}: an SSH server {other}"),
            "memcached": ("protocol", f"127.0.0.1:{memcached}: a memcached server {other}"),
            "mysql": ("protocol", f"127.0.0.1:{mysql}: a MySQL server {other}"),
            "alert": ("protocol", f"127.0.0.1:{alert}: this port speaks TLS: write rediss:// (valkeys://)"),
            "nothing": ("refused", f"connection refused: nothing listens on 127.0.0.1:{nothing}"),
            "https": ("tls", f"127.0.0.1:{https} does not speak TLS: write redis://127.0.0.1:{https}"),
            "missing": ("auth", f"password_file {missing} does not exist"),
            "empty": ("auth", f"password_file {empty} is empty: write the password into it"),
            "key": (
                "tls",
                (
                    f"key_file {certificates.key} does not belong to the certificate in cert_file "
                    f"{certificates.client_cert}"
                ),
            ),
            "socket": ("refused", f"there is no socket {tmp_path}/no.sock"),
        }
        with running_exporter(tmp_path, quick(*targets, log={"format": "json"})) as daemon:
            _check(daemon, expected)


def test_a_log_line_in_logfmt_ends_with_the_sentence(tmp_path: Path) -> None:
    port = free_port()
    with running_exporter(tmp_path, quick(target("one", f"redis://127.0.0.1:{port}"))) as daemon:
        daemon.wait_for({"one": "refused"})
        (line,) = (each for each in daemon.output().splitlines() if "state changed" in each)
        assert line.endswith(
            f'target=one state=refused was=unknown url=redis://127.0.0.1:{port} detail="connection refused: '
            f'nothing listens on 127.0.0.1:{port}"'
        )
