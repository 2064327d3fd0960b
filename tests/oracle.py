"""The slow, obvious reader of CLIENT LIST, which the fast one must equal."""

import re
from collections import Counter

from exporter.analyse.apps import Naming, clean_label, host_of
from exporter.analyse.states import is_use
from exporter.limits import ROW_BYTES, ROW_WORDS, TEXT_BYTES
from exporter.model import AppRules, ClientState

COLUMNS = (
    "id",
    "addr",
    "name",
    "age",
    "idle",
    "flags",
    "db",
    "watch",
    "omem",
    "tot-mem",
    "tot-net-in",
    "tot-cmds",
)
_SUBSCRIPTIONS = ("sub", "psub", "ssub")
_WHOLE = ("id", "watch", "omem", "tot-mem", "tot-net-in", "tot-cmds")
_COUNTERS = ("tot-net-in", "tot-cmds")
_SIGNED = ("age", "idle", "db")
_IDENTITY = ("cmd", "user", "lib-name", "lib-ver")


def read_client_list(reply: bytes) -> tuple[list[dict[str, bytes]], int]:
    """Every row's columns, identity and sum of subscriptions by key, and how many rows cannot be read."""
    rows, unreadable = [], 0
    for line in reply.split(b"\n"):
        if not line.strip():
            continue
        fields: dict[str, bytes] = {}
        last = None
        words = line.removesuffix(b"\r").split(b" ")
        for word in words:
            key, equals, value = word.partition(b"=")
            if equals and re.fullmatch(b"[^ /=]{1,32}", key):
                last = key.decode(errors="surrogateescape")
                fields[last] = value
            elif last == "addr":  # the path of a unix socket
                fields["addr"] += b" " + word
        fields = {key: value[:TEXT_BYTES] for key, value in fields.items()}
        wanted = {"addr", "age", "idle", "flags"}
        short = len(words) <= ROW_WORDS and len(line) <= ROW_BYTES
        whole = all(re.fullmatch(b"[0-9]{1,19}", fields[key]) for key in _WHOLE if key in fields)
        signed = all(re.fullmatch(b"-?[0-9]{1,19}", fields[key]) for key in _SIGNED if key in fields)
        if short and wanted <= set(fields) and whole and signed:
            seconds = ("age", "idle", "watch")
            fields |= {key: b"%d" % max(0, int(fields.get(key, b"0"))) for key in seconds}
            row = {key: fields.get(key, b"") for key in (*COLUMNS, *_IDENTITY)}
            if not set(_COUNTERS) <= set(fields):  # one of them alone tells nothing
                row |= dict.fromkeys(_COUNTERS, b"")
            told = [fields[key] for key in _SUBSCRIPTIONS if key in fields]
            sum_of_all = sum(int(number) for number in told if re.fullmatch(b"[0-9]{1,19}", number))
            rows.append(row | {"subscriptions": b"%d" % sum_of_all if told else b""})
        else:
            unreadable += 1
    return rows, unreadable


def count_clients(reply: bytes, rules: AppRules, stale_after: float) -> dict[str, Counter[object]]:
    """The cuts of a list, one row after the other; keyed as the attributes of ClientGroups."""
    names = ("apps", "hosts", "users", "libraries", "commands", "databases", "blocked")
    per_app = ("subscriptions", "output")
    cuts: dict[str, Counter[object]] = {name: Counter() for name in (*names, *per_app, "numbers")}
    naming = Naming(rules)
    rows = read_client_list(reply)[0]
    named = {(_place(row), clean_label(row["lib-name"])) for row in rows if row["name"]}
    for row in rows:
        host, newborn = host_of(row["addr"]), _is_newborn(row)
        app = naming.app_of(row["name"], row["user"], row["lib-name"])
        if newborn:
            app = "other"
        elif app is None:
            app = naming.app_of_host(host)
            if not row["name"] and (_place(row), clean_label(row["lib-name"])) in named:
                app += " (unnamed)"
        state = _state(row, stale_after)
        cuts["apps"][app, state] += 1
        cuts["hosts"][host] += 1
        cuts["users"][clean_label(row["user"])] += 1
        cuts["libraries"][clean_label(row["lib-name"]), clean_label(row["lib-ver"])] += 1
        cuts["commands"][clean_label(row["cmd"])] += 1
        cuts["databases"][row["db"].decode()] += 1
        if state is ClientState.BLOCKED:
            cuts["blocked"][clean_label(row["cmd"])] += 1
        cuts["numbers"]["idle"] += int(row["idle"])
        cuts["numbers"]["age"] += int(row["age"])
        cuts["numbers"]["memory"] += int(row["tot-mem"] or 0)
        cuts["numbers"]["nameless"] += row["name"] == b"" and not newborn
        cuts["subscriptions"][app] += int(row["subscriptions"] or 0)
        cuts["output"][app] += int(row["omem"] or 0)
    return cuts


def _place(row: dict[str, bytes]) -> bytes:
    return row["addr"].rpartition(b":")[0]


def _is_newborn(row: dict[str, bytes]) -> bool:
    """Whether a client has not had the time to say its name: its first two seconds, and no command yet."""
    return row["name"] == b"" and int(row["age"]) < 2 and not is_use(row["cmd"])


def _state(row: dict[str, bytes], stale_after: float) -> ClientState:
    flags = row["flags"].decode(errors="replace")
    if set(flags) & set("SCgE"):
        return ClientState.REPLICA
    if set(flags) & set("Moi"):
        return ClientState.PRIMARY
    for mark, state in (("O", "monitor"), ("b", "blocked"), ("P", "pubsub")):
        if mark in flags:
            return ClientState(state)
    if int(row["idle"]) == 0:
        return ClientState.ACTIVE
    held = set(flags) & set("xd") or int(row["watch"] or 0) > 0
    return ClientState.STALE if int(row["idle"]) > stale_after and not held else ClientState.IDLE
