"""Error replies: the state that follows from their text, and a sentence for people.

The texts stand in the servers' networking.c, acl.c and server.c; redis-py maps only some of them, and the
refusal of a cluster node not at all.
"""

import re

from exporter.model import Access, State
from exporter.text import as_sentence

_CODES = {
    "NOAUTH": State.AUTH,
    "WRONGPASS": State.AUTH,
    "NOPERM": State.NOPERM,
    "LOADING": State.LOADING,
    "BUSY": State.BUSY,
    "DENIED": State.REFUSED,
}
# What these mean does not depend on the command.
_SENTENCES = {
    "LOADING": "the server is loading its data into memory",
    "BUSY": "a script or a module blocks the server (SCRIPT KILL or FUNCTION KILL may end it)",
    "DENIED": "the server is in protected mode, which lets in only clients on its own machine: give it a "
    "password, or set protected-mode no",
}
_DENIAL = re.compile(r"NOPERM|ERR unknown (?:sub)?command", re.IGNORECASE)
_UNKNOWN = "(rename-command, or a proxy)"

# After these the connection is good, and the slot that it holds may be the last one: it is kept.
PASSING = (State.BUSY, State.LOADING, State.NOPERM)


def read_error(text: str, command: str, access: Access, secret: str | None = None) -> tuple[State, str]:
    """Tell the state from an error reply to a command (`CLIENT LIST`), and what to say of it.

    The sentence names the user, and where the secret came from; never the secret, and of the reply to AUTH
    nothing at all: it can repeat the password, as in "unknown command, with args beginning with: ...".
    """
    code = text.partition(" ")[0]
    if "max number of clients" in text:
        state, sentence = State.AT_LIMIT, "the server is full: max number of clients reached"
    elif code in _SENTENCES:
        state, sentence = _CODES[code], _SENTENCES[code]
    elif command == "AUTH":
        state, sentence = State.AUTH, _about_auth(text, code, access)
    elif code == "NOAUTH":
        state, sentence = State.AUTH, _about_no_login(access)
    elif code == "NOPERM" and " to run " in text:
        state, sentence = State.NOPERM, _about_no_right(command, access)
    elif code != "NOPERM" and is_denial(text):
        state, sentence = State.NOPERM, f"the server does not know {command} {_UNKNOWN}"
    else:
        state, sentence = _CODES.get(code, State.PROTOCOL), text.replace(secret, "***") if secret else text
    return state, as_sentence(sentence)


def is_denial(text: str) -> bool:
    """Whether the server does not know the command, or this user may not run it."""
    return _DENIAL.match(text) is not None


def _user(access: Access) -> str:
    return access.username or "default"


def _about_auth(text: str, code: str, access: Access) -> str:
    user, file = _user(access), access.password_file
    key, source = (
        ("password", "password: of the settings")
        if file is None
        else ("password_file", f"password_file {file}")
    )
    if code == "NOAUTH" or is_denial(text):  # NOAUTH: Valkey 9.1, where AUTH was renamed
        return f"the server does not know AUTH {_UNKNOWN}: leave {key} out"
    if code == "WRONGPASS":
        others = "for another user write username:"
        if access.username is not None:
            others = "or there is no such user, or it is off"
        return f"wrong password for user {user} ({source}), {others}"
    meanings = {
        "invalid password": f"wrong password ({source})",
        "wrong number of arguments": f"no users there (Redis before 6.0): leave username out ({user})",
        "no password is set": f"the server has no password: leave {key} out",
        "without any password": f"user {user} has no password there: leave {key} out, or write username:",
    }
    found = (sentence for part, sentence in meanings.items() if part in text)
    return next(found, f"AUTH failed for user {user} ({source})")


def _about_no_login(access: Access) -> str:
    if access.password is None and access.password_file is None:
        return "the server wants a password: write password_file:, and username: for a user of its own"
    return f"the server wants a login again, after AUTH succeeded for user {_user(access)}"


def _about_no_right(command: str, access: Access) -> str:
    user, right = _user(access), "+" + "|".join(command.lower().split())
    other = "write username: and password_file: of a user that may, or " if access.username is None else ""
    return f"user {user} may not run {command}: {other}ACL SETUSER {user} {right}"
