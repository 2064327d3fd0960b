"""Which app a connection belongs to: its name, user, library or host, without what tells instances apart."""

import re

from exporter.limits import LABEL_CHARACTERS
from exporter.model import AppRules
from exporter.patterns import compile_rules, renamed

NAMELESS = "unknown"

# What every connection has that nobody named: it says nothing about the app.
_NO_USER = frozenset(["", "default", "(superuser)"])

_SEPARATED = re.compile(r"([-_:./#]+)")
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
# Kubernetes makes pod names of these characters only (apimachinery, util/rand): `-<template hash>-<pod>`.
_POD = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$")
_POD_OF_A_SET = re.compile(r"-(?=[a-z]*[0-9])[bcdfghjklmnpqrstvwxz2456789]{5}$")
_HASH = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{7,64}", re.IGNORECASE)


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
                case "name" if name:
                    return self._rewrite(clean_label(name))
                case "user" if (known := clean_label(user)) not in _NO_USER:
                    return self._rewrite(known)
                case "library" if library:
                    return self._rewrite(clean_label(library))
                case "host":
                    return None
        return None

    def app_of_host(self, host: str) -> str:
        """Name the app of a connection that nothing else names; an address is rewritten by rules alone."""
        return (renamed(self._rewrites, host) or host) if "host" in self._sources else NAMELESS

    def _rewrite(self, text: str) -> str:
        return renamed(self._rewrites, text) or strip_instance(text)


def strip_instance(name: str) -> str:
    """Take away what tells instances of one app apart, and leave the rest as it is.

    That is: what follows an `@` (a host), UUIDs, the hashes of pods and containers, and parts between
    separators that are a number (a process, a port, a counter). Digits that end a word stay: nobody can tell
    `worker2` from `oauth2`. A name that is nothing else stays whole.
    """
    text = name.partition("@")[0] or name
    text = _UUID.sub("0", text)  # a number, dropped below
    text = _POD_OF_A_SET.sub("", _POD.sub("", text))
    words = _SEPARATED.split(text)
    kept: list[str] = []
    for index in range(0, len(words), 2):
        word, after = words[index], words[index + 2 : index + 3]
        if (
            not word
            or word.isdigit()
            or _HASH.fullmatch(word)
            or (word.lower() == "pid" and after and after[0].isdigit())
        ):
            continue
        if kept:
            kept.append(words[index - 1])
        kept.append(word)
    return "".join(kept) or name
