"""The slow, obvious reader of CLIENT LIST, which the fast one must equal."""

import re

COLUMNS = ("id", "addr", "name", "age", "idle", "flags", "db", "watch", "tot-mem", "tot-cmds")
_WHOLE = ("id", "age", "idle", "watch", "tot-mem", "tot-cmds")
_IDENTITY = ("cmd", "user", "lib-name", "lib-ver")


def read_client_list(reply: bytes) -> tuple[list[dict[str, bytes]], int]:
    """Every row's columns and identity by key, and how many rows cannot be read."""
    rows, unreadable = [], 0
    for line in reply.split(b"\n"):
        if not line.strip():
            continue
        fields: dict[str, bytes] = {}
        last = None
        for word in line.removesuffix(b"\r").split(b" "):
            key, equals, value = word.partition(b"=")
            if equals and re.fullmatch(b"[a-z][a-z-]*", key):
                last = key.decode()
                fields[last] = value
            elif last == "addr":  # the path of a unix socket
                fields["addr"] += b" " + word
        wanted = {"id", "addr", "age", "idle", "flags", "cmd"}
        whole = all(re.fullmatch(b"[0-9]{1,19}", fields[key]) for key in _WHOLE if key in fields)
        signed = re.fullmatch(b"-?[0-9]{1,19}", fields.get("db", b"0"))
        if wanted <= set(fields) and whole and signed:
            rows.append({key: fields.get(key, b"") for key in (*COLUMNS, *_IDENTITY)})
        else:
            unreadable += 1
    return rows, unreadable
