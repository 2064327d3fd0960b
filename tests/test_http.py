"""The HTTP side as scrapers, browsers and strangers see it."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from exporter.demo.servers import running_server
from exporter.limits import HTTP_REQUEST_SECONDS
from tests.conftest import StartServer, need
from tests.daemon import Daemon, Scrape, quick, running_exporter, target
from tests.series import reload
from tests.servers.kinds import SYSTEM
from tests.strangers import HEALTH
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
            web={},
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
    "path",
    [
        "/",
        "/metrics",
        "/probe?target=one",
        "/probe?target=one&debug=true",
        "/sd",
        "/api/v1/targets",
        "/api/v1/targets/one",
        "/config",
        "/-/healthy",
        "/-/ready",
    ],
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
        ("/api/v1/targets/one", "PUT", "GET, HEAD"),
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


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 200),
        ("/metrics", "GET", 200),
        ("/probe?target=one", "GET", 200),
        ("/probe?target=one&debug=true", "GET", 200),
        ("/sd", "GET", 200),
        ("/api/v1/targets", "GET", 200),
        ("/api/v1/targets/one", "GET", 200),
        ("/config", "GET", 200),
        ("/-/healthy", "GET", 200),
        ("/-/ready", "GET", 200),
        ("/nothing", "GET", 404),
        ("/metrics", "POST", 405),
        ("/-/reload", "POST", 403),
    ],
)
def test_no_page_is_kept_framed_or_handed_on_by_a_browser(
    daemon: Daemon, path: str, method: str, status: int
) -> None:
    answer = daemon.ask(path, method, sec_fetch_site="same-site")
    assert answer.status == status
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("headers", [{"sec_fetch_site": "cross-site"}, {"origin": "https://evil.example"}])
def test_a_page_of_another_site_gets_nothing_but_the_status_page(
    daemon: Daemon, headers: dict[str, str]
) -> None:
    for path in (
        "/metrics",
        "/probe?target=one",
        "/sd",
        "/api/v1/targets",
        "/config",
        "/-/ready",
        "/nothing",
    ):
        assert daemon.ask(path, **headers).status == 403, path
    assert daemon.ask("/-/reload", "POST", **headers).status == 403
    assert daemon.ask("/", **headers).status == 200
    assert daemon.ask("/metrics", sec_fetch_site="none").status == 200


def test_by_default_it_answers_under_any_name(daemon: Daemon) -> None:
    for host in ("anything.example", "anything.example:80", ""):
        assert daemon.ask("/metrics", host=host).status == 200


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


_DRIPS = {
    "a first request": (b"", b"GET /metrics HTTP/1.1\r\n", b"X-Header: 1\r\n"),
    "a second request": (HEALTH, b"GET /metrics HTTP/1.1\r\n", b"X-Header: 1\r\n"),
    "a body": (HEALTH.replace(b"\r\n\r\n", b"\r\nContent-Length: 4000\r\n\r\n"), b"", b"x"),
}


def test_what_drips_in_is_cut_and_others_are_served_meanwhile(daemon: Daemon) -> None:
    with ThreadPoolExecutor(len(_DRIPS)) as pool:
        cut = {name: pool.submit(_drip, daemon, *drip) for name, drip in _DRIPS.items()}
        assert daemon.ask("/metrics").status == 200
        for name, seconds in cut.items():
            assert seconds.result() > HTTP_REQUEST_SECONDS / 2, name


def _drip(daemon: Daemon, first: bytes, begin: bytes, drop: bytes) -> float:
    """Send a drop now and then, until that is cut; seconds."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", daemon.port)) as slow:
        slow.settimeout(0.2)

        def cut() -> bool:
            try:
                slow.sendall(drop)
                return slow.recv(100) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        slow.sendall(first)
        if first:
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        slow.sendall(begin)
        eventually(cut, 2 * HTTP_REQUEST_SECONDS + 5)
    return time.monotonic() - started


def test_another_path_for_the_metrics_page(start_server: StartServer, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{start_server().port}"
    config = quick(target("one", url), web={"telemetry_path": "/redis/metrics"})
    with running_exporter(tmp_path, config) as running:
        assert running.ask("/redis/metrics").status == 200
        assert running.ask("/metrics").status == 404
        assert 'href="/redis/metrics"' in running.ask("/").text


def test_it_answers_under_the_allowed_names_only_where_there_are_some(
    start_server: StartServer, tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{start_server().port}"
    names = ["Exporter.example", "exporter"]
    config = quick(target("one", url), web={"allowed_hosts": names, "enable_lifecycle": True})
    with running_exporter(tmp_path, config) as running:
        for host in ("exporter.example:10051", "EXPORTER", f"127.0.0.1:{running.port}", "[::1]", "localhost"):
            assert running.ask("/metrics", host=host).status == 200, host
        for path, method in (("/", "GET"), ("/metrics", "GET"), ("/nothing", "GET"), ("/-/reload", "POST")):
            answer = running.ask(path, method, host="rebound.example")
            assert (answer.status, b"web.allowed_hosts" in answer.body) == (403, True)
        assert b" 403 " in _raw(running.port, b"GET /metrics HTTP/1.0\r\n\r\n").partition(b"\r\n")[0]
        for path in ("/-/healthy", "/-/ready"):
            assert eventually(lambda path=path: running.ask(path, host="rebound.example").status == 200)  # type: ignore[misc]


def test_it_reloads_over_http_only_where_that_is_set_and_for_no_other_site(
    start_server: StartServer, tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{start_server().port}"
    off, on = quick(target("one", url), web={}), quick(target("one", url))
    with running_exporter(tmp_path, off) as running:
        answer = running.ask("/-/reload", "POST")
        assert answer.status == 403
        assert answer.text == "Send SIGHUP to reload, or set web.enable_lifecycle: true to do it here.\n"
        assert "configuration loaded" not in running.output()
        running.configure(on)
        reload(running)
        for headers in (
            {"sec_fetch_site": "same-site"},
            {"origin": "http://127.0.0.1:1"},
            {"origin": "null"},
        ):
            assert running.ask("/-/reload", "POST", **headers).status == 403
        answer = running.ask("/-/reload", "POST", origin=f"http://127.0.0.1:{running.port}")
        assert answer.body == b"Reloaded.\n"
        running.configure(off)
        reload(running)
        eventually(lambda: running.ask("/-/reload", "POST").status == 403)
