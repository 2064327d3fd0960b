"""The kinds of values that settings hold, each read from text with an error that says what to write."""

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from exporter.model import ListenAddress, RedisUrl
from exporter.settings.places import HOST_NAME, is_ipv6, split_place

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
DEFAULT_PORT = 6379
DEFAULT_LISTEN_PORT = 10051

PLAIN_SCHEMES = ("redis", "valkey")
TLS_SCHEMES = ("rediss", "valkeys")

_UNIX = "write unix:///path/to/redis.sock"
_URLS = (
    "write redis://host:6379, rediss://host:6379 for TLS (valkey:// and valkeys:// mean the same) or "
    "unix:///path/to/redis.sock"
)
_SEVERAL = re.compile(r"[\s,;]")
_EACH_ONE = "write each as a target of its own: redis://host:6379"
_NOT_ONE = f"several addresses, or a space, in one URL: {_EACH_ONE}"
# Words in the schemes of other programs, and what to write here.
_DIALECTS = (
    ({"sentinel"}, f"servers are not looked up at a Sentinel: {_EACH_ONE}"),
    ({"cluster"}, f"the nodes of a cluster are not looked up: {_EACH_ONE}"),
    ({"socket", "sock", "unix"}, _UNIX),
    ({"tls", "ssl"}, "write rediss://host:6379 for TLS"),
    ({"tcp"}, "write redis://host:6379"),
)


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
    scheme, separator, rest = value.strip().partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in (*PLAIN_SCHEMES, *TLS_SCHEMES, "unix"):
        raise ValueError(_instead_of(scheme) if separator else _instead_of_no_scheme(scheme))
    if "?" in rest or "#" in rest:
        raise ValueError("a URL carries no options here: write them as keys beside url:")
    return _unix_url(rest) if scheme == "unix" else _server_url(scheme, rest)


def _unix_url(rest: str) -> RedisUrl:
    path = unquote(rest)
    if not path.startswith("/"):
        raise ValueError(f"the path of a unix socket starts at the root: {_UNIX}")
    if not is_path(path):
        raise ValueError(f"not the path of a unix socket: it holds a NUL byte, or is not UTF-8: {_UNIX}")
    return RedisUrl(path=path, scheme="unix")


def _server_url(scheme: str, rest: str) -> RedisUrl:
    if _SEVERAL.search(rest):
        raise ValueError(_NOT_ONE)
    authority, _, database = rest.partition("/")
    if database and authority and not database.isdigit():
        raise ValueError("a URL ends behind its port here: write redis://host:6379")
    host, port = split_place(authority, scheme=f"{scheme}://", default_port=DEFAULT_PORT)
    if not host:
        raise ValueError(f"the URL names no host: write redis://host:6379, or for a socket {_UNIX}")
    return RedisUrl(host=host, port=_server_port(port), tls=scheme in TLS_SCHEMES, scheme=scheme)


def _instead_of(scheme: str) -> str:
    words = set(re.split("[+.-]", scheme))
    found = (instead for dialect, instead in _DIALECTS if words & dialect)
    return next(found, f"not a URL of a Redis server: {_URLS}")


def _instead_of_no_scheme(text: str) -> str:
    if text.startswith(("/", ".", "unix:")):
        return _UNIX
    return _NOT_ONE if _SEVERAL.search(text) else f"the scheme, or the // behind it, is missing: {_URLS}"


def is_path(text: str) -> bool:
    """Whether a text can be a path, and be shown: no NUL byte, and no byte that is not UTF-8."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def parse_host_name(value: object) -> str:
    """Read the name that a certificate must carry."""
    if isinstance(value, str) and (re.fullmatch(HOST_NAME, value) or is_ipv6(value)):
        return value
    raise ValueError("not a host name: write it as it stands in the server's certificate")


def parse_listen_address(value: object) -> ListenAddress:
    """Read `:10051`, `127.0.0.1:10051` or `[::1]:10051`."""
    if isinstance(value, ListenAddress):
        return value
    host, port = (
        split_place(value, default_port=DEFAULT_LISTEN_PORT) if isinstance(value, str) else ("", None)
    )
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
