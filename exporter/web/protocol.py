"""One HTTP connection: uvicorn's protocol over h11, held to bounds. Its peer can hurt nothing else."""

import asyncio
import logging
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.limits import HTTP_BODY_BYTES, HTTP_REQUEST_SECONDS
from exporter.web.answer import Answer, headers_of
from exporter.web.connections import Connections
from exporter.web.routes import Receive, Scope, Send

# h11 looks at its bounds between pieces only: a head of 65,000 lines in one piece of 256 KiB, as the loop
# reads them, held the loop for half a second.
_PIECE_BYTES = 4096
_IDLE_LOOKS = 8
_BAD_REQUEST = Answer(b"This is no HTTP request.\n", 400, headers=(("connection", "close"),))

log = logging.getLogger(__name__)
_uvicorn_log = logging.getLogger(f"{__name__}.uvicorn")
_uvicorn_log.setLevel(logging.ERROR)  # its warnings are about what strangers send, one for each request


class BoundedProtocol(H11Protocol):
    """Closes on a body, a drip, an answer that is not read; says nothing aloud about what strangers send."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, connections: Connections, peer: str
    ) -> None:
        super().__init__(config, state, app_state={})
        self.logger = _uvicorn_log
        self._site, self.app = self.app, self._answered
        self._connections = connections
        self.peer = peer
        self._page = (0, 0)
        self._body_of: object = None
        self._body_bytes = 0
        self._seen: object = None
        self._looks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unwanted = False

    @property
    def busy(self) -> bool:
        """Whether an answer is being made; not where it waits for its client to read the one before."""
        return self.cycle is not None and not self.cycle.response_complete and not self._pending

    @property
    def unread(self) -> tuple[int, int] | None:
        """Which page the client has not read to the end, and its bytes; the transport keeps it alive."""
        return self._page if self._pending else None

    @property
    def _pending(self) -> bool:
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def cut(self) -> None:
        """Close at once; its client finds a reset connection, and tries again."""
        self._unwanted = True
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  uvicorn types it more narrowly
        """Begin to watch a connection."""
        super().connection_made(transport)
        self._watch()
        if self._unwanted:  # closed before it was really there
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave nothing behind: after a reset uvicorn would keep all of this for its 75 seconds."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Read on, in small pieces, and not for ever."""
        self._unset_keepalive_if_required()
        for start in range(0, len(data), _PIECE_BYTES):
            if self.transport.is_closing():
                return
            piece = data[start : start + _PIECE_BYTES]
            if self._too_large_a_body(len(piece)):
                self._end_after_the_answer()
                return
            super().data_received(piece)

    def _too_large_a_body(self, added: int) -> bool:
        if self.cycle is not self._body_of:
            self._body_of, self._body_bytes = self.cycle, 0
        if self.conn.their_state is h11.SEND_BODY:
            self._body_bytes += added
        return self._body_bytes > HTTP_BODY_BYTES

    def _end_after_the_answer(self) -> None:
        if self.cycle.response_complete:
            self.cut()
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def handle_events(self) -> None:
        """Obey what was read."""
        try:
            super().handle_events()
        except h11.LocalProtocolError as error:  # h11 is in no state to say or read more
            self._refuse(str(error))
            self.cut()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, unless the answer to one before it, or to its head, is under way."""
        self._refuse(msg)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_after_the_answer()
            return
        head = h11.Response(status_code=400, headers=headers_of(_BAD_REQUEST), reason=b"Bad Request")
        try:
            for event in (head, h11.Data(data=_BAD_REQUEST.body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            self.cut()
        else:
            self.transport.close()

    def _refuse(self, reason: str) -> None:
        log.debug("http request refused", extra={"fields": {"reason": reason, "peer": self.peer}})

    def on_response_complete(self) -> None:
        """Wait for the next request from now on, and for this answer to be read."""
        self._connections.answered(self)
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing was asked for long."""
        self._leave()

    def shutdown(self) -> None:
        """Let an answer under way be finished, at the end of the process; else close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self._leave()

    def _leave(self) -> None:
        """Close in peace, when nothing was asked; h11 need not hear of it."""
        if self.transport is not None:
            self.transport.close()

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the site answer, and note which page that is."""

        async def sent(message: Any) -> None:  # noqa: ANN401  an ASGI message
            page = message.get("body", b"")
            self._page = (id(page), len(page))
            await send(message)

        try:
            await self._site(scope, receive, sent)
        except (asyncio.CancelledError, h11.LocalProtocolError):  # the process, or the connection, ends
            self.cycle.disconnected = True
            self.cut()

    def _watch(self) -> None:
        self._timer = self.loop.call_later(HTTP_REQUEST_SECONDS, self._cut_or_go_on)

    def _cut_or_go_on(self) -> None:
        """Cut where a request, or the reading of its answer, has not got on since the last look.

        Or where nothing was asked for at many of them: uvicorn's own timer is lost when a body ends late.
        """
        cycle = self.cycle
        unfinished = (
            cycle is None
            or not cycle.response_complete
            or self.conn.their_state is h11.SEND_BODY
            or bool(self.conn.trailing_data[0])
            or self._pending
        )
        seen = cycle, unfinished
        self._looks = self._looks + 1 if seen == self._seen else 0
        self._seen = seen
        if self._looks >= (1 if unfinished else _IDLE_LOOKS):
            self.cut()
        else:
            self._watch()
