"""Where alerts end: PagerDuty, Slack and a webhook, as far as Alertmanager sees them."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Notice:
    """One alert of one message of Alertmanager's webhook, and when it came (by the monotonic clock)."""

    at: float
    receiver: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def name(self) -> str:
        return self.labels["alertname"]

    @property
    def target(self) -> str:
        return self.labels.get("target", "")

    @property
    def severity(self) -> str:
        return self.labels["severity"]


@dataclass
class Pager:
    """All that was sent: notices by the webhook, and the messages as PagerDuty and Slack got them."""

    port: int
    notices: list[Notice] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    chats: list[dict[str, Any]] = field(default_factory=list)

    def take(self, path: str, message: dict[str, Any]) -> None:
        if path == "/pagerduty":
            self.pages.append(message)
        elif path == "/slack":
            self.chats.append(message)
        else:
            receiver, now = path.rpartition("/")[2], time.monotonic()
            self.notices += [
                Notice(now, receiver, alert["status"], alert["labels"], alert["annotations"])
                for alert in message["alerts"]
            ]

    def find(self, name: str, target: str = "", **wanted: str) -> Notice | None:
        """Find the first notice of an alert, by its severity, receiver, status or other attributes."""
        return next((each for each in self.all(name, target, **wanted)), None)

    def all(self, name: str, target: str = "", **wanted: str) -> list[Notice]:
        return [
            each
            for each in list(self.notices)
            if (each.name, each.target) == (name, target)
            and all(getattr(each, key) == value for key, value in wanted.items())
        ]

    def configure(self, config: Path, folder: Path) -> None:
        """Let a configuration of Alertmanager send to us, and by a webhook for each receiver besides."""
        tree = yaml.safe_load(config.read_text())
        place = f"http://127.0.0.1:{self.port}"
        (folder / "slack-url").write_text(f"{place}/slack")
        (folder / "pagerduty-key").write_text("k" * 32)
        tree["global"] = {"pagerduty_url": f"{place}/pagerduty"}
        for receiver in tree["receivers"]:
            for pagerduty in receiver.get("pagerduty_configs", ()):
                pagerduty["routing_key_file"] = str(folder / "pagerduty-key")
            for slack in receiver.get("slack_configs", ()):
                slack["api_url_file"] = str(folder / "slack-url")
            receiver["webhook_configs"] = [
                {"url": f"{place}/receivers/{receiver['name']}", "send_resolved": True}
            ]
        config.write_text(yaml.safe_dump(tree))


@contextlib.contextmanager
def running_pager() -> Iterator[Pager]:
    """Take messages on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pager.take(self.path, json.loads(body))
            self.send_response(HTTPStatus.ACCEPTED if self.path == "/pagerduty" else HTTPStatus.OK)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pager = Pager(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield pager
        finally:
            server.shutdown()
            thread.join()
