"""One connection in use: asks over it, remembers its rights, and closes it when it can serve no more."""

from collections.abc import Callable
from dataclasses import replace

from exporter import NAME, __version__
from exporter.connection.errors import CONNECTION_ERRORS, LinkError, link_error
from exporter.connection.opening import GREETING, INFO, Credentials, Opened, auth_command
from exporter.connection.resp import ErrorReply, Mark, Reply
from exporter.connection.wire import Command, UnaskedError
from exporter.model import Access, ServerConfig, State
from exporter.parse.errors import PASSING, is_denial, read_error

# What newer versions know of saying who we are, and of sparing us when memory is short.
_LATER_GREETING: tuple[tuple[tuple[int, ...], str, Command], ...] = (
    ((7, 0), "client|no-evict", (b"CLIENT", b"NO-EVICT", b"ON")),
    ((7, 2), "client|setinfo", (b"CLIENT", b"SETINFO", b"LIB-NAME", NAME.encode())),
    ((7, 2), "client|setinfo", (b"CLIENT", b"SETINFO", b"LIB-VER", __version__.encode())),
)


class Session:
    """Talks over one opened connection, for one caller at a time. Once `closed` it stays so.

    A cancelled call leaves its reply owed and the connection open; the next one reads it first, and drops it.
    `denied` holds the commands that this user may not run, as ACL rules write them. `peer` is the server's
    address and port, None over a unix socket; `own_address` our end as the server prints it, unless there is
    a proxy or NAT between us. `config` is what CONFIG GET told, for use until a moment (monotonic), and
    `known_nodes` what CLUSTER INFO told. `introduced` says whether the server knows who we are.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = replace(opened, info=None, greeting={})  # which are of no more use
        self.closed = False
        self.peer = opened.connection.socket_name("peername")
        self.own_address = _as_the_server_prints_it(opened.connection.socket_name("sockname"))
        self.denied: frozenset[str] = frozenset()
        self.own_id = b""
        self.config, self.config_until = ServerConfig(), 0.0
        self.known_nodes: int | None = None
        self._greeted: frozenset[str] = frozenset()
        self.introduced = False
        for name, reply in opened.greeting.items():
            self._note_greeting(name, reply)

    def silent_for(self, now: float) -> float:
        """Seconds for which a reply is owed and no byte came."""
        return self.opened.connection.silent_for(now)

    def check(self) -> None:
        """Close a connection that has ended since it was last used.

        Raises:
            LinkError: bytes have come that nobody had asked for.

        """
        lost = self.opened.connection.lost
        if lost is not None and not self.opened.connection.owed:
            self.close()
        if lost is not None and not isinstance(lost, CONNECTION_ERRORS):
            raise lost  # a bug in what received its bytes
        if isinstance(lost, UnaskedError):
            raise link_error(lost, self.opened.access, closed=State.PROTOCOL)

    def ask_rights_again(self) -> None:
        """Forget what was denied: a right may have been given since."""
        self.denied, self.introduced, self.config_until = frozenset(), False, 0.0

    def close(self) -> None:
        """Drop the connection now, without waiting for the other side."""
        if not self.closed:
            self.closed = True
            self.opened.connection.close()

    async def info(self) -> bytes:
        """Return the raw reply of INFO; for errors see `checked`."""
        (reply,) = await self._ask(INFO)
        return self.checked(reply)

    async def info_as(self, access: Access, credentials: Credentials) -> tuple[bytes, str]:
        """Tell other credentials and ask INFO, in one round trip.

        Returns the raw reply, and why the credentials were refused: a refusal leaves the user as it was.
        """
        secret = credentials.secret or ""
        answer, reply = await self._ask(auth_command(access, secret), INFO)
        refusal = ""
        if isinstance(answer, ErrorReply):
            _, refusal = read_error(answer.text, "AUTH", access, secret)
        else:
            self.opened = replace(self.opened, access=access, credentials=credentials)
            self.ask_rights_again()
        return self.checked(reply), refusal

    def checked(self, reply: Reply) -> bytes:
        """Return a reply to INFO if it is one.

        Raises:
            LinkError: it is not; the connection is kept where the refusal will pass.

        """
        if isinstance(reply, bytes):
            return reply
        if isinstance(reply, ErrorReply):
            access, secret = self.opened.access, self.opened.credentials.secret
            refusal = LinkError(*read_error(reply.text, "INFO", access, secret))
        else:
            refusal = LinkError(State.PROTOCOL, "unexpected reply type to INFO")
        if refusal.state not in PASSING:
            self.close()
        raise refusal

    async def ask_if_allowed(self, name: str, *command: str) -> Reply:
        """Ask what a server may not know or this user may not ask; None then.

        `name` is the command as ACL rules write it. Once denied it is not asked again before
        `ask_rights_again`, because each denied call writes into the server's ACL LOG.
        """
        if name in self.denied or self.closed:
            return None
        (reply,) = await self._ask([word.encode() for word in command])
        return self._unless_refused(name, reply)

    async def stream_if_allowed(
        self, sink: Callable[[bytes], None], name: str, *command: bytes
    ) -> float | None:
        """Ask as ask_if_allowed does, and hand the text of the reply on in pieces as they come in.

        Returns the server's seconds for it, or None where there is no such reply.
        """
        if name in self.denied or self.closed:
            return None
        try:
            reply, seconds = await self.opened.connection.stream(command, sink)
        except CONNECTION_ERRORS as error:
            raise self._ended(error) from error
        if reply is Mark.STREAMED:
            return seconds
        if not isinstance(reply, ErrorReply):
            self.close()
            raise LinkError(State.PROTOCOL, f"unexpected reply type to {name}")
        self._unless_refused(name, reply)
        return None

    async def introduce(self, version: tuple[int, ...]) -> None:
        """Say who we are as far as this version knows how and this user may, once per connection."""
        if self.introduced:
            return
        later = ((name, command) for since, name, command in _LATER_GREETING if version >= since)
        wanted = [
            (name, command)
            for name, command in (*GREETING.items(), *later)
            if name not in self.denied and name not in self._greeted
        ]
        if wanted and not self.closed:
            replies = await self._ask(*(command for _, command in wanted))
            for (name, _), reply in zip(wanted, replies, strict=True):
                self._note_greeting(name, reply)
        self.introduced = True

    async def _ask(self, *commands: Command) -> list[Reply]:
        try:
            return await self.opened.connection.ask(*commands)
        except CONNECTION_ERRORS as error:
            raise self._ended(error) from error

    def _ended(self, error: Exception) -> LinkError:
        self.close()
        return link_error(error, self.opened.access, closed=State.UNREACHABLE)

    def _unless_refused(self, name: str, reply: Reply) -> Reply:
        if not isinstance(reply, ErrorReply):
            return reply
        if is_denial(reply.text):
            self.denied |= {name}
        return None

    def _note_greeting(self, name: str, reply: Reply) -> None:
        answer = self._unless_refused(name, reply)
        if name not in self.denied:
            self._greeted |= {name}
        if name == "client|id":
            self.own_id = b"%d" % answer if isinstance(answer, int) else b""


def _as_the_server_prints_it(place: tuple[str, int] | None) -> bytes:
    if place is None:
        return b""
    host, port = place
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
