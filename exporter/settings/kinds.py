"""The kinds of values that settings hold, each read from text with an error that says what to write."""

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from exporter.model import ListenAddress, RedisUrl

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_HOST_NAME = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?"
_HOST = re.compile(_HOST_NAME + r"|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]")
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 65535
DEFAULT_PORT = 6379

PLAIN_SCHEMES = ("redis", "valkey")
TLS_SCHEMES = ("rediss", "valkeys")


def parse_duration(value: object) -> float:
    """Read `500ms`, `5s` or `1h30m` as seconds (Prometheus's own notation, fractions allowed)."""
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(value))
    raise ValueError("not a duration: write a number with its unit, such as 5s, 500ms or 1m30s")


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit that keeps them whole, as parse_duration reads them."""
    for unit in ("d", "h", "m", "s"):
        amount = seconds / _UNIT_SECONDS[unit]
        if amount >= 1 and amount.is_integer():
            return f"{amount:.0f}{unit}"
    return f"{seconds * 1000:.3f}".rstrip("0").rstrip(".") + "ms"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "format": "duration"}),
]


def _server_port(port: int | None) -> int:
    if port == 0:
        raise ValueError("not a port of a server: write redis://host:6379")
    return DEFAULT_PORT if port is None else port


def parse_redis_url(value: object) -> RedisUrl:
    """Read a `redis:`, `rediss:`, `valkey:`, `valkeys:` or `unix:` URL. No message repeats what was read."""
    if isinstance(value, RedisUrl):
        return value
    if not isinstance(value, str):
        raise ValueError("not a URL: write redis://host:6379")  # noqa: TRY004  pydantic wants ValueError
    if "@" in value:
        raise ValueError(
            "a URL carries no credentials here: write redis://host:6379 and beside it username: and "
            "password_file: (in a unix socket's path write %40 for @)"
        )
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in (*PLAIN_SCHEMES, *TLS_SCHEMES, "unix"):
        raise ValueError(
            "not a URL of a Redis server: write redis://host:6379, rediss://host:6379 for TLS "
            "(valkey:// and valkeys:// mean the same) or unix:///path/to/redis.sock"
        )
    if "?" in rest or "#" in rest:
        raise ValueError("a URL carries no options here: write them as keys beside url:")
    if scheme == "unix":
        path = unquote(rest)
        if not path.startswith("/"):
            raise ValueError("the path of a unix socket starts at the root: write unix:///path/to/redis.sock")
        return RedisUrl(path=path, scheme=scheme)
    authority, _, database = rest.partition("/")
    if database and not database.isdigit():
        raise ValueError("a URL ends behind its port here: write redis://host:6379")
    host, port = _split_authority(authority)
    if not host:
        raise ValueError("the URL names no host: write redis://host:6379")
    return RedisUrl(host=host, port=_server_port(port), tls=scheme in TLS_SCHEMES, scheme=scheme)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > _MAX_PORT:
        raise ValueError(f"not a port: write a number from 0 to {_MAX_PORT} behind the colon")
    return int(text)


def _split_authority(authority: str) -> tuple[str, int | None]:
    """Split `host:port`, `[v6]:port` or `host` into its parts; the host may be empty."""
    host, bracket, tail = authority.rpartition("]")
    if bracket:
        host, port = host + bracket, tail.removeprefix(":")
    else:
        host, _, port = authority.partition(":")
    if host and not _HOST.fullmatch(host):
        raise ValueError("not a host: write a name, an IPv4 address or an IPv6 address in [brackets]")
    return host.strip("[]"), _port(port) if port else None


def parse_host_name(value: object) -> str:
    """Read the name that a certificate must carry."""
    if isinstance(value, str) and (re.fullmatch(_HOST_NAME, value) or ":" in value):
        return value
    raise ValueError("not a host name: write it as it stands in the server's certificate")


def parse_listen_address(value: object) -> ListenAddress:
    """Read `:10051`, `127.0.0.1:10051` or `[::1]:10051`."""
    if isinstance(value, ListenAddress):
        return value
    host, port = _split_authority(value) if isinstance(value, str) else ("", None)
    if port is None:
        raise ValueError("not an address to listen on: write :10051, 127.0.0.1:10051 or [::1]:10051")
    return ListenAddress(host, port)


def parse_shard_index(value: object, count: int) -> object:
    """Read `2`, or the name of a StatefulSet's pod: `exporter-2` and `exporter-5` are shard 2 of 3."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(.+-)?([0-9]{1,9})", value)
    if found is None:
        raise ValueError(
            "not the number of a shard: write 0, or the name of a pod that ends in a number, as in x-0"
        )
    number = int(found[2])
    return number % count if found[1] else number


def parse_path(value: object) -> str:
    """Read the path of a page, as in `/metrics`."""
    if isinstance(value, str) and re.fullmatch(r"/[A-Za-z0-9._~/-]+", value):
        return value
    raise ValueError("not a path of a page: write /metrics")


Url = Annotated[
    RedisUrl,
    BeforeValidator(parse_redis_url),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
Listen = Annotated[
    ListenAddress,
    BeforeValidator(parse_listen_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]
HostName = Annotated[str, BeforeValidator(parse_host_name)]
PagePath = Annotated[str, BeforeValidator(parse_path)]
