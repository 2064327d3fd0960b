"""What each path answers. Reads the board and ready pages only: no request waits for a Redis server."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

from exporter.board import Board
from exporter.limits import HTTP_QUERY_BYTES, HTTP_RELOAD_SECONDS
from exporter.metrics.exposition import Page, Pages
from exporter.metrics.negotiation import accepts_gzip, negotiate_format
from exporter.model import Config, ConfigError
from exporter.web.pages.status import render_status

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_TEXT = "text/plain; charset=utf-8"
_RELOAD = "/-/reload"
_SLOW_RELOAD = b"""\
The settings are still being read; until they are, the old ones stay in force. The outcome will be a log line,
"configuration loaded" or "configuration refused" with each fault, and it will be in the metric
redis_connection_exporter_config_last_reload_successful on the metrics page.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    body: bytes
    status: int = 200
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request matters here; header names are in lower case."""

    method: str
    path: str
    query: bytes
    headers: dict[str, str]


Handler = Callable[[Request], Awaitable[Answer]]


class Site:
    """The exporter's pages as an ASGI application."""

    def __init__(
        self,
        board: Board,
        pages: Pages,
        config: Callable[[], Config],
        reload: Callable[[], Awaitable[None]],
        expire: Callable[[], None],
    ) -> None:
        self._board = board
        self._pages = pages
        self._config = config
        self._reload = reload
        self._expire = expire
        self._slow_reloads: set[asyncio.Future[ConfigError | None]] = set()
        self._routes: dict[str, Handler] = {
            "/": self._status,
            "/probe": self._probe,
            "/sd": self._service_discovery,
            "/config": self._settings,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
            _RELOAD: self._reloaded,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Serve one request."""
        if scope["type"] != "http":
            return
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:  # a header that comes twice is a list (RFC 9110, 5.3)
            key, text = name.decode("latin-1"), value.decode("latin-1")
            headers[key] = f"{headers[key]},{text}" if key in headers else text
        request = Request(scope["method"], scope["path"], scope["query_string"][:HTTP_QUERY_BYTES], headers)
        answer = await self._answer(request)
        answered = (
            ("content-type", answer.content_type),
            ("content-length", str(len(answer.body))),
            ("date", formatdate(usegmt=True)),
            ("x-content-type-options", "nosniff"),
            *answer.headers,
        )
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.encode(), value.encode("latin-1")) for name, value in answered],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: Request) -> Answer:
        routes = {**self._routes, self._config().telemetry_path: self._metrics}
        handler = routes.get(request.path)
        if handler is None:
            return Answer(b"There is no such page. Start at /.\n", 404)
        allow = "POST" if request.path == _RELOAD else "GET, HEAD"
        if request.method not in allow.split(", "):
            return Answer(f"Use {allow} here.\n".encode(), 405, headers=(("allow", allow),))
        self._expire()
        return await handler(request)

    async def _metrics(self, request: Request) -> Answer:
        form, escaping = negotiate_format(request.headers.get("accept", ""))
        page = await self._pages.page(form)
        return await _exposition(page, form.content_type(escaping), request)

    async def _probe(self, request: Request) -> Answer:
        names = parse_qs(request.query.decode("latin-1"), encoding="utf-8").get("target", [])
        if len(names) != 1:
            return Answer(b"Name one target: /probe?target=NAME. The names are on /sd.\n", 400)
        if self._board.get(names[0]) is None:
            return Answer(b"No target of that name is configured here. The names are on /sd.\n", 404)
        form, escaping = negotiate_format(request.headers.get("accept", ""))
        return await _exposition(
            await self._pages.page_of(names[0], form), form.content_type(escaping), request
        )

    async def _status(self, _: Request) -> Answer:
        config = self._config()
        html = render_status(self._board, time.time(), config.telemetry_path, config.shard)
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
        headers = (("content-security-policy", policy), ("cache-control", "no-store"))
        return Answer(html, content_type="text/html; charset=utf-8", headers=headers)

    async def _service_discovery(self, _: Request) -> Answer:
        groups = [
            {
                "targets": [watch.target.name],
                "labels": {f"__meta_redis_label_{name}": value for name, value in watch.target.labels},
            }
            for watch in self._board
        ]
        return Answer(json.dumps(groups).encode(), content_type="application/json")

    async def _settings(self, _: Request) -> Answer:
        return Answer(self._config().shown.encode())

    async def _healthy(self, _: Request) -> Answer:
        return Answer(b"The exporter is healthy.\n")

    async def _ready(self, _: Request) -> Answer:
        if self._board.complete:
            return Answer(b"The exporter is ready.\n")
        return Answer(b"Some targets were not tried yet.\n", 503)

    async def _reloaded(self, _: Request) -> Answer:
        reload = asyncio.ensure_future(self._refusal())
        self._slow_reloads.add(reload)  # nobody else may hold it
        reload.add_done_callback(self._slow_reloads.discard)
        await asyncio.wait({reload}, timeout=HTTP_RELOAD_SECONDS)
        if not reload.done():
            return Answer(_SLOW_RELOAD, 202)
        refusal = reload.result()
        if refusal is not None:
            return Answer(f"The old configuration stays:\n{refusal}\n".encode(), 500)
        return Answer(b"Reloaded.\n")

    async def _refusal(self) -> ConfigError | None:
        try:
            await self._reload()
        except ConfigError as error:
            return error
        return None


async def _exposition(page: Page, content_type: str, request: Request) -> Answer:
    packed = accepts_gzip(request.headers.get("accept-encoding", ""))
    encoding = (("content-encoding", "gzip"),) if packed else ()
    return Answer(
        await page.packed() if packed else page.plain,
        content_type=content_type,
        headers=(*encoding, ("vary", "Accept, Accept-Encoding")),
    )
