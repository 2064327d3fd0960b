"""The HTTP side as scrapers, browsers and strangers see it."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exporter.demo.servers import running_server
from exporter.limits import HTTP_REQUEST_SECONDS
from tests.conftest import StartServer, need
from tests.daemon import Daemon, Scrape, quick, running_exporter, target
from tests.servers.kinds import SYSTEM
from tests.waiting import eventually


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("http")
    need(SYSTEM.present, "redis-server is not installed")
    with running_server(SYSTEM.command, folder) as server:
        url = f"redis://127.0.0.1:{server.port}"
        config = quick(
            target("one", url, labels={"team": "checkout"}),
            target("a b<i>&", url.replace("127.0.0.1", "localhost"), password="unneeded-but-secret"),
        )
        with running_exporter(folder, config) as running:
            running.wait_for({"one": "ok", "a b<i>&": "auth"})
            yield running


def test_a_plain_get_is_the_text_format(daemon: Daemon) -> None:
    answer = daemon.ask("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert "content-encoding" not in answer.headers
    assert Scrape(answer.text).get("redis_up", "one", team="checkout") == 1


def test_openmetrics_is_given_to_those_who_ask_and_ends_as_it_must(daemon: Daemon) -> None:
    answer = daemon.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"\n# EOF\n")


def test_gzip_holds_the_same_page(daemon: Daemon) -> None:
    packed = daemon.ask("/probe?target=one", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert b'redis_up{target="one"' in gzip.decompress(packed.body)
    assert len(packed.body) < len(daemon.ask("/probe?target=one").body) / 3


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/probe?target=one", "/sd", "/config", "/-/healthy", "/-/ready"]
)
def test_head_has_the_headers_of_get_and_no_body(daemon: Daemon, path: str) -> None:
    head, get = daemon.ask(path, "HEAD"), daemon.ask(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "path", ["/metrics/", "/nothing", "/-/", "//", "/%2e%2e/etc/passwd", "/scrape?target=one"]
)
def test_any_other_path_is_not_found(daemon: Daemon, path: str) -> None:
    assert daemon.ask(path).status == 404
    assert daemon.ask(path, "POST").status == 404


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/metrics", "POST", "GET, HEAD"),
        ("/", "DELETE", "GET, HEAD"),
        ("/-/reload", "GET", "POST"),
        ("/-/reload", "HEAD", "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(daemon: Daemon, path: str, method: str, allow: str) -> None:
    answer = daemon.ask(path, method)
    assert (answer.status, answer.headers["allow"]) == (405, allow)


def test_probe_gives_the_series_of_one_configured_target_only(daemon: Daemon) -> None:
    scrape = Scrape(daemon.ask("/probe?target=one").text)
    assert {labels["target"] for _, labels, _ in scrape.samples} == {"one"}
    odd = Scrape(daemon.ask("/probe?target=a%20b%3Ci%3E%26").text)
    assert {labels["target"] for _, labels, _ in odd.samples} == {"a b<i>&"}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?target=", 400),
        ("?target=one&target=one", 400),
        ("?target=127.0.0.1:6379", 404),
        ("?target=%ff", 404),
    ],
)
def test_probe_asks_no_server_that_is_not_configured(daemon: Daemon, query: str, status: int) -> None:
    assert daemon.ask(f"/probe{query}").status == status


def test_service_discovery_lists_the_targets_as_prometheus_reads_it(daemon: Daemon) -> None:
    answer = daemon.ask("/sd")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == [
        {"targets": ["one"], "labels": {"__meta_redis_label_team": "checkout"}},
        {"targets": ["a b<i>&"], "labels": {}},
    ]


def test_the_config_page_shows_the_settings_without_secrets(daemon: Daemon) -> None:
    text = daemon.ask("/config").text
    tree = yaml.safe_load(text)
    pace = {"interval": "1s", "timeout": "900ms", "connect_timeout": "10s", "keep_waiting": "1m"}
    assert tree["poll"] == pace
    assert tree["targets"][1]["password"] == "**********"
    assert "unneeded-but-secret" not in text


def test_the_status_page_shows_each_target_with_its_state_and_escapes_names(daemon: Daemon) -> None:
    answer = daemon.ask("/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for shown in ("one", "team=checkout", ">ok<", "of 10000", "a b&lt;i&gt;&amp;", "no password"):
        assert shown in answer.text
    assert "<i>&" not in answer.text


@pytest.mark.parametrize(
    "header",
    [
        "application/openmetrics-text; version=1.0.0junk",
        'text/plain; version="1.0.0"',
        "a" * 8000,
        ";;;,,,q=,=",
        "\xff\xfe",
    ],
)
def test_no_header_makes_an_error(daemon: Daemon, header: str) -> None:
    assert daemon.ask("/metrics", accept=header, accept_encoding=header).status == 200


def _raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_harms_nobody(daemon: Daemon, request_bytes: bytes) -> None:
    assert b" 400 " in _raw(daemon.port, request_bytes).partition(b"\r\n")[0]
    assert daemon.ask("/-/healthy").status == 200


@pytest.mark.parametrize(
    "first", [b"", b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "second"]
)
def test_a_request_that_drips_in_is_cut_and_others_are_served_meanwhile(daemon: Daemon, first: bytes) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port)) as slow:
        slow.settimeout(0.2)
        _drip(daemon, slow, first)


def _drip(daemon: Daemon, slow: socket.socket, first: bytes) -> None:
    started = time.monotonic()

    def cut() -> bool:
        try:
            slow.sendall(b"G" if time.monotonic() - started < 1 else b"X-Header: 1\r\n")
            return slow.recv(100) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    if first:
        slow.sendall(first)
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
    slow.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert daemon.ask("/metrics").status == 200
    eventually(cut, 2 * HTTP_REQUEST_SECONDS + 5)
    assert time.monotonic() - started > HTTP_REQUEST_SECONDS / 2


def test_another_path_for_the_metrics_page(start_server: StartServer, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{start_server().port}"
    config = quick(target("one", url), web={"telemetry_path": "/redis/metrics"})
    with running_exporter(tmp_path, config) as running:
        assert running.ask("/redis/metrics").status == 200
        assert running.ask("/metrics").status == 404
        assert 'href="/redis/metrics"' in running.ask("/").text
