"""What each path answers. Reads the board and ready pages only: no request waits for a Redis server."""

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from exporter.board import Board
from exporter.limits import HTTP_BODY_BYTES, HTTP_QUERY_BYTES, HTTP_RELOAD_SECONDS, HTTP_REQUESTS
from exporter.metrics.exposition import Page, Pages
from exporter.metrics.negotiation import accepts_gzip, negotiate_format
from exporter.metrics.shared import Shared
from exporter.model import Config, ConfigError
from exporter.web.answer import Answer, Request, headers_of
from exporter.web.api import Api, reports
from exporter.web.origin import from_another_site, from_our_own_pages, is_called
from exporter.web.pages.poll import render_poll
from exporter.web.pages.status import render_status, row_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_RELOAD = "/-/reload"
_TARGETS = "/api/v1/targets"
_JSON = "application/json"
_NO_TARGET = b"No target of that name is configured here. The names are on /sd.\n"
_SLOW_RELOAD = b"""\
The settings are still being read; until they are, the old ones stay in force. The outcome will be a log line,
"configuration loaded" or "configuration refused" with each fault, and it will be in the metric
redis_connection_exporter_config_last_reload_successful on the metrics page.
"""
_HEALTH = ("/-/healthy", "/-/ready")
_STATUS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"

log = logging.getLogger(__name__)


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
        self._api = Api(board)
        self._status_page = Shared(self._render_status, lambda: board.edition)
        self._reload_tried_at = -math.inf
        self._under_way = 0
        self._routes: dict[str, Handler] = {
            "/": self._status,
            "/probe": self._probe,
            "/sd": self._service_discovery,
            _TARGETS: self._all_targets,
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
        self._under_way += 1
        try:
            answer = await self._answer(request)
        except Exception:  # a bug in a page costs that page
            log.exception("page failed")
            answer = Answer(b"This page failed, and the log says why.\n", 500)
        finally:
            self._under_way -= 1
        start = {"type": "http.response.start", "status": answer.status, "headers": headers_of(answer)}
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: Request) -> Answer:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        routes = {**self._routes, self._config().telemetry_path: self._metrics}
        handler = routes.get(request.path) or (self._one_target if _names_a_target(request.path) else None)
        if handler is None:
            return Answer(b"There is no such page. Start at /.\n", 404)
        allow = "POST" if request.path == _RELOAD else "GET, HEAD"
        if request.method not in allow.split(", "):
            return Answer(f"Use {allow} here.\n".encode(), 405, headers=(("allow", allow),))
        self._expire()
        return await handler(request)

    def _refusal(self, request: Request) -> Answer | None:
        """What is refused whatever page it asks for."""
        health = request.path in _HEALTH
        if self._under_way > HTTP_REQUESTS and not health:
            return Answer(b"Too many requests are under way.\n", 503, headers=(("retry-after", "1"),))
        if _length(request.headers.get("content-length", "")) > HTTP_BODY_BYTES:
            return Answer(b"No page here takes a body.\n", 413, headers=(("connection", "close"),))
        names = self._config().allowed_hosts
        if names and not health and not is_called(request.headers.get("host", ""), names):
            return Answer(b"This name is not in web.allowed_hosts of the exporter.\n", 403)
        if request.path != "/" and from_another_site(request.headers):
            return Answer(b"A page of another site has sent your browser here. Open / instead.\n", 403)
        return None

    async def _metrics(self, request: Request) -> Answer:
        form, escaping = negotiate_format(request.headers.get("accept", ""))
        page = await self._pages.page(form)
        return await _exposition(page, form.content_type(escaping), request)

    async def _probe(self, request: Request) -> Answer:
        asked = parse_qs(request.query.decode("latin-1"), encoding="utf-8")
        names = asked.get("target", [])
        if len(names) != 1:
            return Answer(b"Name one target: /probe?target=NAME. The names are on /sd.\n", 400)
        watch = self._board.get(names[0])
        if watch is None:
            return Answer(_NO_TARGET, 404)
        if asked.get("debug") == ["true"]:
            return Answer(render_poll(watch, time.time(), time.monotonic()).encode())
        form, escaping = negotiate_format(request.headers.get("accept", ""))
        return await _exposition(
            await self._pages.page_of(names[0], form), form.content_type(escaping), request
        )

    async def _status(self, _: Request) -> Answer:
        headers = (("content-security-policy", _STATUS_POLICY),)
        html = await self._status_page.get()
        return Answer(html, content_type="text/html; charset=utf-8", headers=headers)

    async def _render_status(self) -> bytes:
        config = self._config()
        rows = [row_of(report) async for report in reports(self._board)]
        return render_status(rows, config.telemetry_path, config.shard)

    async def _all_targets(self, _: Request) -> Answer:
        return Answer(await self._api.targets(), content_type=_JSON)

    async def _one_target(self, request: Request) -> Answer:
        body = await self._api.target(request.path.removeprefix(f"{_TARGETS}/"))
        return Answer(_NO_TARGET, 404) if body is None else Answer(body, content_type=_JSON)

    async def _service_discovery(self, _: Request) -> Answer:
        groups = [
            {
                "targets": [watch.target.name],
                "labels": {f"__meta_redis_label_{name}": value for name, value in watch.target.labels},
            }
            for watch in self._board
        ]
        return Answer(json.dumps(groups).encode(), content_type=_JSON)

    async def _settings(self, _: Request) -> Answer:
        return Answer(self._config().shown.encode())

    async def _healthy(self, _: Request) -> Answer:
        return Answer(b"The exporter is healthy.\n")

    async def _ready(self, _: Request) -> Answer:
        if self._board.complete:
            return Answer(b"The exporter is ready.\n")
        return Answer(b"Some targets were not tried yet.\n", 503)

    async def _reloaded(self, request: Request) -> Answer:
        forbidden = self._reload_forbidden(request)
        if forbidden is not None:
            return forbidden
        reload = asyncio.ensure_future(self._refusal_of_reload())
        self._slow_reloads.add(reload)  # nobody else may hold it
        reload.add_done_callback(self._slow_reloads.discard)
        await asyncio.wait({reload}, timeout=HTTP_RELOAD_SECONDS)
        if not reload.done():
            return Answer(_SLOW_RELOAD, 202)
        refusal = reload.result()
        if refusal is not None:
            return Answer(f"The old configuration stays:\n{refusal}\n".encode(), 500)
        return Answer(b"Reloaded.\n")

    async def _refusal_of_reload(self) -> ConfigError | None:
        try:
            await self._reload()
        except ConfigError as error:
            return error
        return None

    def _reload_forbidden(self, request: Request) -> Answer | None:
        config = self._config()
        if not config.lifecycle:
            return Answer(b"Send SIGHUP to reload, or set web.enable_lifecycle: true to do it here.\n", 403)
        if not from_our_own_pages(request.headers):
            return Answer(b"A page of another site may not reload the exporter.\n", 403)
        now = time.monotonic()
        wait = self._reload_tried_at + config.pace.interval - now
        if wait > 0:
            after = (("retry-after", str(math.ceil(wait))),)
            return Answer(b"Reload at most once in poll.interval, or send SIGHUP.\n", 429, headers=after)
        self._reload_tried_at = now
        return None


def _names_a_target(path: str) -> bool:
    """Whether a path is that of one target; its name may hold slashes."""
    return path.startswith(f"{_TARGETS}/")


def _length(text: str) -> int:
    """A Content-Length; h11 lets nothing pass that is none."""
    return int(text) if text.isdecimal() else 0


async def _exposition(page: Page, content_type: str, request: Request) -> Answer:
    packed = accepts_gzip(request.headers.get("accept-encoding", ""))
    encoding = (("content-encoding", "gzip"),) if packed else ()
    return Answer(
        await page.packed() if packed else page.plain,
        content_type=content_type,
        headers=(*encoding, ("vary", "Accept, Accept-Encoding")),
    )
