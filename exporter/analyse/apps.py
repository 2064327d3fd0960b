"""Which app a connection belongs to: its name, user, library or host, without what tells instances apart."""

import re

from exporter.analyse.instances import app_in
from exporter.limits import LABEL_CHARACTERS
from exporter.model import AppRules
from exporter.patterns import compile_rules, renamed

NAMELESS = "unknown"

# What every connection has that nobody named: it says nothing about the app.
_NO_USER = frozenset(["", "default", "(superuser)"])

_POOL = re.compile(rb"pool=([0-9]{1,6})")
_AFTER_THE_APP = re.compile(rb"[@,]")


def clean_label(raw: bytes) -> str:
    """Make a label value of what a client sent: printable, and of bounded length."""
    text = raw[: 4 * LABEL_CHARACTERS].decode(errors="replace")[:LABEL_CHARACTERS]
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def host_of(address: bytes) -> str:
    """The host of `host:port` or `[v6]:port`; `unix` for a socket: `path:0`, in Valkey 9 `[path:0]:0`."""
    host = address.rpartition(b":")[0].removeprefix(b"[").removesuffix(b"]")
    return "unix" if host.startswith(b"/") or not host else clean_label(host)


class Naming:
    """What rules make of connections."""

    def __init__(self, rules: AppRules) -> None:
        self._sources = rules.sources
        self._rewrites = compile_rules(rules.rename)

    def app_of(self, name: bytes, user: bytes, library: bytes) -> str | None:
        """Name the app of a connection by the first source that says something; None leaves it to the host.

        Sources after `host` are not asked: every connection has a host.
        """
        for source in self._sources:
            match source:
                case "name":
                    told = clean_label(name)
                case "user":
                    told = clean_label(user)
                    told = "" if told in _NO_USER else told
                case "library":
                    told = clean_label(library)
                case _:
                    return None
            app = (renamed(self._rewrites, told) or app_in(told)) if told else ""
            if app:
                return app
        return None

    def app_of_host(self, host: str) -> str:
        """Name the app of a connection that nothing else names; an address is rewritten by rules alone."""
        return (renamed(self._rewrites, host) or host) if "host" in self._sources else NAMELESS


def pool_size_of(name: bytes) -> int | None:
    """Read how many connections the pool may hold that a client's name tells of: `orders@pool=20`.

    It stands after the first `@`, alone or among others that `@` or `,` separates. A pool of none is no pool.
    """
    for part in _AFTER_THE_APP.split(name.partition(b"@")[2]):
        told = _POOL.fullmatch(part)
        if told:
            return int(told[1]) or None
    return None


def strip_instance(name: str) -> str:
    """Take away what tells instances of one app apart; a name that is nothing else stays whole."""
    return app_in(name) or name
