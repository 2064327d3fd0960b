"""Which connection to a server is held: one, for as long as it can serve, and never given up without need.

The slot is sacred: at maxclients it cannot be had back. So a late reply is waited for, new credentials are
told over the held connection, and where another address or certificate needs another connection, that one
has answered before the old one is closed.
"""

import asyncio
import time
from dataclasses import dataclass, replace

from exporter.connection.errors import LinkError, as_link_errors
from exporter.connection.failures import Step
from exporter.connection.opening import Opened, Patience, Progress, open_connection
from exporter.connection.outside import Outside, Replace
from exporter.connection.pending import GivenUpError, answered, give_up, result_of
from exporter.connection.session import Session
from exporter.model import Access, Pace, State

_PACE = Pace(interval=5.0, timeout=2.0)


@dataclass(frozen=True, slots=True)
class _Replacement:
    """A second connection on its way; `elsewhere` when the settings name another server than the first's."""

    because: str
    elsewhere: bool
    opening: "asyncio.Task[Opened]"


class Link:
    """Holds the connection to one server. Its methods are for one caller at a time.

    `near_limit` is what the last reading said: it decides how long a silent server is waited for, and what
    it means that one hangs up in the TLS handshake. `note` is a sentence for people, mostly empty. The
    counters are attempts to connect, those of them refused at the limit, connections that were used, and
    moves to another address.
    """

    def __init__(self, access: Access, pace: Pace = _PACE) -> None:
        self.pace = pace
        self.near_limit = False
        self.note = ""
        self.connects = self.refused = self.accepted = self.address_changes = 0
        self._outside = Outside(access, time.monotonic())
        self._session: Session | None = None
        self._opening: asyncio.Task[Opened] | None = None
        self._replacement: _Replacement | None = None
        self._progress = Progress()
        self._last_failure = ""

    @property
    def session(self) -> Session | None:
        """The connection in use, if there is one."""
        return self._session if self._session is not None and not self._session.closed else None

    @property
    def address(self) -> str:
        """Where the held connection leads to; empty for a unix socket, and without a connection."""
        peer = self.session.peer if self.session is not None else None
        return peer[0] if peer is not None else ""

    @property
    def addresses(self) -> int:
        """How many addresses the name had when it was last resolved."""
        return self._outside.addresses

    @property
    def progress(self) -> str:
        """What a call that ran out of time was waiting for, in words; empty where there is nothing to say."""
        replacement = self._replacement
        awaited = replacement is not None and (replacement.elsewhere or self.session is None)
        if self._opening is not None or awaited:
            if self._last_failure:
                return f"still connecting; last attempt: {self._last_failure}"
            return self._progress.explain(self._outside.access, self._outside.resolver)
        silent = self.session.silent_for(time.monotonic()) if self.session is not None else 0.0
        return f"silent for {silent:.0f} s, the connection is kept" if silent else ""

    def opening_since(self, began: float) -> tuple[tuple[Step, float, float], ...]:
        """What was done to connect since a moment: each step, its beginning and its end (monotonic)."""
        return tuple(self._progress.spans(began, time.monotonic())) if self.connects else ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret that is known here, to be hidden in what is logged."""
        session = self._session.opened.credentials.secret if self._session is not None else None
        return tuple(filter(None, (self._outside.access.password, self._outside.secret, session)))

    def change(self, access: Access) -> None:
        """Follow other settings from now on, over the held connection where that is possible.

        Also where they are the same, rights are asked for again, and names and files are looked at.
        """
        if access != self._outside.access:
            self._give_up_opening()
        self._give_up_replacement()
        self.note = ""
        self._outside.change(access, time.monotonic())
        self.ask_rights_again()

    def ask_rights_again(self) -> None:
        """Forget what was denied: a right may have been given since."""
        if self.session is not None:
            self.session.ask_rights_again()

    def reopen(self) -> None:
        """Connect at once where there is no connection, because a slot that is free now will not stay so."""
        if self.session is None and self._opening is None and self._replacement is None:
            self._opening = self._begin_opening()

    def close(self) -> None:
        """Drop everything now, without waiting for the other side."""
        self.drop()
        self._give_up_opening()
        self._give_up_replacement()
        self._outside.end()

    async def info(self) -> bytes:
        """Return the raw reply of INFO, connecting first if needed.

        A held connection that turns out closed (the server's `timeout`, CLIENT KILL, a restart) is replaced
        once. There is one attempt to connect at a time; it may span several calls.

        Raises:
            LinkError: the server could not be asked, or answered with an error.

        """
        try:
            return await self._info(time.monotonic())
        except GivenUpError:  # the settings have changed meanwhile
            return await self.info()

    async def _info(self, began: float) -> bytes:
        self._check_held(began)
        await self._follow_url(began)
        await self._take_replacement()
        session = self.session
        if session is None:
            return await self._open(began)
        try:
            return await self._ask_info(session, began)
        except LinkError as error:
            if error.state is not State.UNREACHABLE:
                raise
            return await self._open(began)

    def _check_held(self, now: float) -> None:
        session = self.session
        if session is None:
            return
        session.check()
        if not session.closed and session.silent_for(now) > self.pace.keep_waiting and not self.near_limit:
            self.drop()
            raise LinkError(
                State.TIMEOUT, f"silent for {self.pace.keep_waiting:g} s: the connection is given up"
            )

    async def _ask_info(self, session: Session, now: float) -> bytes:
        """Ask INFO, after seeing to what has changed outside."""
        outside = self._outside
        need = None
        if self._replacement is None and session.opened.access.url == outside.access.url:
            need = outside.look(session.opened, self.address, now)
        if need is None:
            if self._replacement is None and outside.may_try(now):
                self.note = ""  # what it spoke of is over
            return await session.info()
        if isinstance(need, Replace):
            self._replacement = _Replacement(
                need.because, elsewhere=False, opening=self._begin_opening(second=True)
            )
            return await session.info()
        reply, refusal = await session.info_as(outside.access, need.credentials)
        if refusal:
            outside.failed(now)
            refusal = f"new credentials not in use: {refusal}; the connection stays as it was"
        self.note = refusal
        return reply

    async def _open(self, began: float) -> bytes:
        """Connect, and return the reply of INFO: that of the first round trip where it is of this call."""
        if self._opening is not None and self._opening.done() and not self._opening.cancelled():
            failure = self._opening.exception()
            if isinstance(failure, LinkError):  # found too late for the last call: this one tries again
                self._note_failure(failure)
        if self._opening is None:
            self._opening = self._begin_opening()
        try:
            opened = await result_of(self._opening)
        except LinkError as error:
            self._note_failure(error)
            raise
        except Exception:  # a bug: the next call tries anew
            self._opening = None
            raise
        self._opening = None
        session = self._use(opened)
        return session.checked(opened.info) if opened.at >= began else await session.info()

    def _note_failure(self, error: LinkError) -> None:
        self._opening, self._last_failure = None, error.detail
        self.refused += error.state is State.AT_LIMIT

    def _begin_opening(self, *, second: bool = False) -> "asyncio.Task[Opened]":
        self.connects += 1
        pace = self.pace
        patience = Patience(
            pace.connect_timeout,
            # A slot that was given is worth waiting for, and a second connection is in nobody's way.
            None if self.near_limit or second else pace.timeout,
            State.AT_LIMIT if self.near_limit else State.TLS,
        )
        self._progress = progress = Progress()
        outside = self._outside
        return asyncio.ensure_future(open_connection(outside.access, outside.resolver, patience, progress))

    def _use(self, opened: Opened) -> Session:
        try:
            session = Session(opened)
        except BaseException:
            opened.connection.close()
            raise
        self.drop()
        self._session = session
        self._outside.opened(opened.addresses)
        self._last_failure = self.note = ""
        self.accepted += 1
        return session

    async def _follow_url(self, now: float) -> None:
        """Where the settings have another URL, keep the connection if it leads there already."""
        outside, session = self._outside, self.session
        if session is None or session.opened.access.url == outside.access.url:
            return
        if self._replacement is not None or not outside.may_try(now):
            return
        with as_link_errors(outside.access, closed=State.UNREACHABLE):
            addresses = await outside.resolver.addresses()
        used, url, peer = session.opened.access, outside.access.url, session.peer
        if peer is not None and url.tls == used.url.tls and peer[0] in addresses and peer[1] == url.port:
            session.opened = replace(session.opened, access=replace(used, url=url))
            outside.opened(addresses)
        else:
            self._replacement = _Replacement(
                "address", elsewhere=True, opening=self._begin_opening(second=True)
            )

    async def _take_replacement(self) -> None:
        """Use the second connection once it has answered.

        It is waited for where it leads elsewhere, and where the first is lost by now.
        """
        replacement = self._replacement
        if replacement is None:
            return
        if not (replacement.elsewhere or replacement.opening.done() or self.session is None):
            return
        try:
            opened = answered(await result_of(replacement.opening))
        except LinkError as error:
            self._replacement = None
            self.refused += error.state is State.AT_LIMIT
            self._keep_old(replacement, error)
        except Exception:  # a bug: the old connection stays, and there is no other attempt for a while
            self._replacement = None
            self._outside.failed(time.monotonic())
            raise
        else:
            self._replacement = None
            self.address_changes += replacement.because == "address"
            self._use(opened)

    def _keep_old(self, replacement: _Replacement, error: LinkError) -> None:
        """Go on over the old connection, unless it leads to what the settings no longer name.

        A server that is full may well be the same one by another address, and then the slot is worth keeping.
        """
        if self.session is None or (replacement.elsewhere and error.state is not State.AT_LIMIT):
            self.drop()
            raise error
        self._outside.failed(time.monotonic())
        self.note = f"new {replacement.because} not in use: {error.detail}; the old connection stays"

    def drop(self) -> None:
        """Close the held connection, whose bytes cannot be trusted."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _give_up_opening(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            give_up(opening)

    def _give_up_replacement(self) -> None:
        replacement, self._replacement = self._replacement, None
        if replacement is not None:
            give_up(replacement.opening)
