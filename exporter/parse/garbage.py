"""What answers instead of Redis, told by the first bytes of what it sends."""

import re

# What they send to INFO in RESP, or before it. A TLS server may answer with an alert (RFC 8446, 6.2), but
# Redis 7.0 and 8.0 and Valkey 8.1 reset the connection, and Go's and OpenSSL's servers close it.
_SERVERS = (
    (re.compile(rb"HTTP/"), "an HTTP server"),
    (re.compile(rb"SSH-"), "an SSH server"),
    (re.compile(rb"(?:CLIENT_)?ERROR(?: |\r|$)"), "a memcached server"),
    (re.compile(rb"..\0\0[\x0a\xff]", re.DOTALL), "a MySQL server"),  # length, number 0, greeting or error
    (re.compile(rb"E\0\0.{2}S", re.DOTALL), "a PostgreSQL server"),
    (re.compile(rb"AMQP"), "an AMQP server"),
    (re.compile(rb"INFO \{"), "a NATS server"),
    (re.compile(rb"220[ -]"), "an SMTP or FTP server"),
)
_TLS_RECORD = re.compile(rb"[\x15\x16]\x03")  # an alert, a handshake
_RESP3 = re.compile(rb"[%~>|,#=(_!]")
_RESP2 = re.compile(rb"[*$:+-]")


def recognise(first: bytes) -> str | None:
    """Say what it is that sends these bytes, or None where that cannot be told."""
    if _TLS_RECORD.match(first):
        return "this port speaks TLS: write rediss:// (valkeys://)"
    found = next((name for pattern, name in _SERVERS if pattern.match(first)), None)
    return f"{found} answers at this port, no Redis server" if found else None


def describe_garbage(first: bytes) -> str:
    """Say what is wrong with bytes that begin so. None of them is repeated: they may hold what we sent."""
    known = recognise(first)
    if known is not None:
        return known
    if _RESP3.match(first):
        return "the server answers in RESP3, and was not asked to: perhaps a proxy does"
    if _RESP2.match(first):
        return "the server's reply is damaged, or larger than any reply to what was asked"
    return "no Redis server sends what this one sends: check host and port"
