"""Which app a connection belongs to: its name, user, library or host, without what tells instances apart."""

import re
from collections.abc import Sequence

from exporter.limits import LABEL_CHARACTERS
from exporter.model import AppRules, Rename

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


def name_app(rules: AppRules, name: bytes, user: bytes, library: bytes) -> str | None:
    """Name the app of a connection by the first source that says something; None leaves it to the host.

    Sources after `host` are not asked: every connection has a host.
    """
    for source in rules.sources:
        match source:
            case "name" if name:
                return _rewrite(rules.rename, clean_label(name))
            case "user" if (known := clean_label(user)) not in _NO_USER:
                return _rewrite(rules.rename, known)
            case "library" if library:
                return _rewrite(rules.rename, clean_label(library))
            case "host":
                return None
    return None


def name_app_by_host(rules: AppRules, host: str) -> str:
    """Name the app of a connection that nothing else names; an address is rewritten by rules alone."""
    return (_renamed(rules.rename, host) or host) if "host" in rules.sources else NAMELESS


def _rewrite(rename: Sequence[Rename], text: str) -> str:
    return _renamed(rename, text) or strip_instance(text)


def _renamed(rename: Sequence[Rename], text: str) -> str | None:
    for rule in rename:
        found = rule.match.search(text)
        if found:
            return found.expand(rule.to)[:LABEL_CHARACTERS]
    return None


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
    kept = ""
    for index in range(0, len(words), 2):
        word, after = words[index], words[index + 2 : index + 3]
        if (
            word.isdigit()
            or _HASH.fullmatch(word)
            or (word.lower() == "pid" and after and after[0].isdigit())
        ):
            continue
        separator = words[index - 1] if index and kept else ""
        kept += separator + word if word else ""
    return kept or name
