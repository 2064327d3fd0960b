"""Error replies: the state that follows from their text, and a sentence for people.

The texts stand in the servers' networking.c, acl.c and server.c; redis-py maps only some of them, and the
refusal of a cluster node not at all.
"""

import re

from exporter.model import State

_CODES = {
    "NOAUTH": State.AUTH,
    "WRONGPASS": State.AUTH,
    "NOPERM": State.NOPERM,
    "LOADING": State.LOADING,
    "BUSY": State.BUSY,
    "DENIED": State.REFUSED,  # protected mode
}
_DENIAL = re.compile(r"NOPERM|ERR unknown (?:sub)?command", re.IGNORECASE)
_MAX_DETAIL = 200

# After these the connection is good, and the slot that it holds may be the last one: it is kept.
PASSING = (State.BUSY, State.LOADING, State.NOPERM)


def read_error(text: str, command: str, secret: str | None = None) -> tuple[State, str]:
    """Tell the state from an error reply to a command, and what to say of it without the secret.

    Of the reply to AUTH nothing is repeated at all.
    """
    if "max number of clients" in text:
        return State.AT_LIMIT, "max number of clients reached"
    code = text.partition(" ")[0]
    if command == "AUTH":  # its error can repeat the password, as in "unknown command, with args ..."
        state = _CODES.get(code, State.AUTH)
        return state, _about_auth(text) if state is State.AUTH else f"AUTH was answered with {code}"
    if is_denial(text) and code != "NOPERM":
        return State.NOPERM, f"the server does not know {command}: renamed or disabled"
    masked = text.replace(secret, "***") if secret else text
    shown = "".join(each if each.isprintable() else "?" for each in masked[:_MAX_DETAIL])
    return _CODES.get(code, State.PROTOCOL), shown


def is_denial(text: str) -> bool:
    """Whether the server does not know the command, or this user may not run it."""
    return _DENIAL.match(text) is not None


def _about_auth(text: str) -> str:
    if "wrong number of arguments" in text:
        return "this server knows no users (they came with Redis 6): leave username out"
    if "without any password" in text or "no password is set" in text:
        return "this server has no password: leave the credentials out"
    return "wrong username or password"
