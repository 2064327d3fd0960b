"""The API as someone follows docs/api.md who writes a tool for it."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from exporter.demo.servers import free_port, running_server
from tests.apps import App
from tests.conftest import StartServer, need
from tests.daemon import ROOT, Daemon, quick, running_exporter, target
from tests.servers.kinds import SYSTEM
from tests.waiting import eventually

SECRET = "hunter2-correct-horse"
ODD = 'a b/<i>&"?%'
_REPORT = re.compile(r"\[(\w+)\]\(#\w+\)")

Keys = dict[str, str]  # of one report, each with its type


def documented() -> dict[str, Keys]:
    """What docs/api.md says: the keys of each report, with their types."""
    found: dict[str, Keys] = {}
    for part in (ROOT / "docs" / "api.md").read_text().split("\n## ")[1:]:
        rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", part, re.MULTILINE)
        found[part.partition("\n")[0]] = dict(rows)
    return found


def follow(value: Any, kind: str, told: dict[str, Keys], seen: set[str]) -> None:
    """Hold a value against what is documented of its type, and all that it holds; note the reports seen."""
    if value is None:
        assert kind.endswith(" or null"), kind
        return
    kind = kind.removesuffix(" or null")
    if kind.startswith("list of "):
        assert isinstance(value, list)
        for each in value:
            follow(each, kind.removeprefix("list of "), told, seen)
    elif kind.startswith("object of "):
        for each in value.values():
            follow(each, kind.removeprefix("object of "), told, seen)
    elif report := _REPORT.fullmatch(kind):
        seen.add(report[1])
        assert value.keys() == told[report[1]].keys()
        for key, inner in told[report[1]].items():
            follow(value[key], inner, told, seen)
    else:
        expected = {"integer": (int,), "number": (int, float), "string": (str,)}[kind]
        assert isinstance(value, expected), (value, kind)
        assert not isinstance(value, bool)


def get(daemon: Daemon, name: str) -> dict[str, Any]:
    answer = daemon.ask(f"/api/v1/targets/{quote(name, safe='')}")
    assert answer.status == 200, answer.text
    told: dict[str, Any] = json.loads(answer.body)["target"]
    return told


def app_of(daemon: Daemon, name: str, target_name: str = "orders") -> dict[str, Any]:
    """What is told of an app; empty while that is nothing."""
    apps = get(daemon, target_name)["apps"] or []
    return next((each for each in apps if each["name"] == name), {})


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One server on which an app leaks and another uses nothing that it opens, and servers in trouble."""
    need(SYSTEM.present, "redis-server is not installed")
    folder = tmp_path_factory.mktemp("api")
    with running_server(SYSTEM.command, folder) as server, running_server(SYSTEM.command, folder) as gone:
        with redis.Redis(port=server.port) as control:
            control.execute_command(
                "ACL", "SETUSER", "exporter", "on", f">{SECRET}", "-@all", "+info", "+client|list"
            )
        who = {"username": "exporter", "password": SECRET, "labels": {"team": "checkout"}}
        config = quick(
            target("orders", f"redis://127.0.0.1:{server.port}", **who),
            target("gone", f"redis://127.0.0.1:{gone.port}"),
            target(ODD, f"redis://127.0.0.1:{free_port()}", password=SECRET),
            clients={"interval": "1s", "stale_after": "1s"},
        )
        cart = App(server.port, "cart-7c9f8d6b5-x2x9k")
        hoard, login = App(server.port, "hoard"), App(server.port, "login")
        with cart, hoard, login, running_exporter(folder, config) as running:
            running.wait_for({"orders": "ok", "gone": "ok", ODD: "refused"})
            gone.process.terminate()
            login.open(2)
            eventually(lambda: app_of(running, "login"))
            hoard.open(30)
            for _ in range(14):  # each is used once, and the next one opened all the same
                cart.open(1)
                cart.say("INCR carts", since=len(cart.members) - 1)

            def leaks() -> bool:
                cart.open(1)
                cart.say("INCR carts", since=len(cart.members) - 1)
                return app_of(running, "cart").get("verdict") == "leaking"

            eventually(leaks, 60)
            running.wait_for({"gone": "refused"})
            yield running


def test_every_documented_key_is_there_and_every_key_there_is_documented(daemon: Daemon) -> None:
    told, seen = documented(), set[str]()
    for name in ("orders", "gone", ODD):
        whole = json.loads(daemon.ask(f"/api/v1/targets/{quote(name, safe='')}").body)
        follow(whole, "[TargetAnswer](#targetanswer)", told, seen)
    follow(json.loads(daemon.ask("/api/v1/targets").body), "[TargetsAnswer](#targetsanswer)", told, seen)
    assert seen == told.keys(), "none is documented that nobody has seen"


def test_a_leaking_app_is_told_with_its_evidence_its_worst_instance_and_samples(daemon: Daemon) -> None:
    cart = app_of(daemon, "cart")
    left = cart["evidence"]["left_behind"]
    assert 10 <= left <= cart["connections"]
    assert cart["suspected"] == left
    assert cart["worst"]["instance"] == "cart-7c9f8d6b5-x2x9k"
    sentence = f"leaking: {left} of {cart['connections']} left behind, worst cart-7c9f8d6b5-x2x9k"
    assert cart["explanation"] == sentence
    (instance,) = cart["instances"]
    assert (instance["name"], instance["host"]) == ("cart-7c9f8d6b5-x2x9k", "127.0.0.1")
    assert instance["open"] == cart["connections"]
    assert instance["commands"][0] == "incr"
    sample = instance["samples"][0]
    assert sample["command"] == "incr"
    assert sample["address"].startswith("127.0.0.1:")
    assert sample["age_seconds"] >= sample["idle_seconds"] >= 1


def test_an_app_that_opens_and_uses_nothing_is_unknown_and_says_why(daemon: Daemon) -> None:
    hoard = app_of(daemon, "hoard")
    assert hoard["verdict"] == "unknown"
    assert hoard["evidence"]["opened_and_unused"] == 30
    assert re.fullmatch(r"unknown: opened 30 in \d+ s, in use at most 0", hoard["explanation"])
    row = re.search(r"<li><b>hoard</b>.*?</li>", daemon.ask("/").text)
    assert row is not None
    assert re.search(r'class="verdict warn">unknown: opened 30 in \d+ s, in use at most 0<', row[0])


def test_the_page_says_who_leaks_and_which_instance_is_worst(daemon: Daemon) -> None:
    page = daemon.ask("/").text
    found = re.search(r"leaking: \d+ of \d+ left behind, worst cart-7c9f8d6b5-x2x9k<", page)
    assert found is not None


def test_the_server_itself_is_told_with_what_the_exporter_may_not_ask(daemon: Daemon) -> None:
    orders = get(daemon, "orders")
    assert orders["labels"] == {"team": "checkout"}
    assert (orders["state"], orders["remarks"]) == ("ok", [])
    assert 0 < time.time() - orders["state_since_timestamp_seconds"] < 300
    assert orders["slots"]["limit"] == 10000
    assert orders["slots"]["peak"] >= orders["slots"]["used"] > 40
    assert orders["client_list"]["connections"] == sum(app["connections"] for app in orders["apps"])
    assert orders["refused_total"] == orders["refused_per_second"] == 0
    missing = {each["command"]: each["missing"] for each in orders["denied"]}
    assert missing["client|id"] == "counts itself behind NAT"
    assert orders["last_seen"] is None


def test_what_is_not_known_is_null_and_never_0(daemon: Daemon) -> None:
    for name in ("gone", ODD):
        told = get(daemon, name)
        assert told["state"] == "refused"
        assert told["state_age_seconds"] >= 0
        assert told["remarks"]
        for key in ("slots", "apps", "client_list", "blocked_clients", "refused_total", "denied"):
            assert told[key] is None, key
        assert told["refused_per_second"] is None
    assert get(daemon, "gone")["last_seen"]["used"] == 1
    assert get(daemon, "gone")["server"] == "Redis"
    assert get(daemon, ODD)["last_seen"] is get(daemon, ODD)["server"] is None


def test_the_list_of_all_targets_has_all_but_instances(daemon: Daemon) -> None:
    answer = json.loads(daemon.ask("/api/v1/targets").body)
    assert answer["version"] == 1
    assert [each["name"] for each in answer["targets"]] == ["orders", "gone", ODD]
    apps = {app["name"]: app for app in answer["targets"][0]["apps"]}
    assert apps["cart"]["verdict"] == "leaking"
    assert all(app["instances"] is None for app in apps.values())


@pytest.mark.parametrize("path", ["/api/v1/targets", "/api/v1/targets/orders"])
def test_it_is_json_that_nobody_keeps_and_head_has_its_headers(daemon: Daemon, path: str) -> None:
    head, answer = daemon.ask(path, "HEAD"), daemon.ask(path)
    assert (answer.status, head.status, head.body) == (200, 200, b"")
    assert answer.headers["content-type"] == head.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    told = json.loads(answer.body)
    assert json.loads(json.dumps(told)) == told
    assert daemon.ask(path, "POST").status == 405
    assert daemon.ask(path, sec_fetch_site="cross-site").status == 403


@pytest.mark.parametrize(
    "name", ["", "nobody", "orders/", "%ff", "127.0.0.1:6379", "../../config", "orders%00"]
)
def test_a_name_that_is_not_configured_is_not_found(daemon: Daemon, name: str) -> None:
    assert daemon.ask(f"/api/v1/targets/{name}").status == 404


def test_nothing_secret_is_told(daemon: Daemon) -> None:
    paths = ["/", "/api/v1/targets", "/api/v1/targets/orders", "/probe?target=orders&debug=true"]
    paths += [f"/api/v1/targets/{quote(ODD, safe='')}", f"/probe?target={quote(ODD, safe='')}&debug=true"]
    for path in paths:
        answer = daemon.ask(path)
        assert answer.status == 200
        assert SECRET not in answer.text


def test_the_last_poll_is_told_step_by_step(daemon: Daemon) -> None:
    answer = daemon.ask("/probe?target=orders&debug=true")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert re.fullmatch(r"Target:     orders, redis://127\.0\.0\.1:\d+", lines[0])
    assert re.fullmatch(r"State:      ok since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \([0-9.]+ s\)", lines[1])
    assert re.fullmatch(r"Last poll:  began .* UTC, [0-9.]+ s ago, took [0-9.]+ ms", lines[2])
    assert lines[3] == "Outcome:    succeeded"
    assert re.fullmatch(r"Next poll:  due (in [0-9.]+ s|[0-9.]+ s ago)", lines[4])
    steps = [line.split("  ")[-1] for line in lines[lines.index("") + 2 :]]
    assert steps[:2] == ["INFO", "read INFO"]

    def listed() -> list[str]:
        text = daemon.ask("/probe?target=orders&debug=true").text
        return re.findall(r"ms  (CLIENT LIST: \d+ clients|compare and judge)$", text, re.MULTILINE)

    assert len(eventually(listed)) == 2


def test_a_failed_poll_says_at_which_step_and_why(daemon: Daemon) -> None:
    text = daemon.ask(f"/probe?target={quote(ODD, safe='')}&debug=true").text
    assert re.search(r"^Outcome:    failed, refused: .*\bconnection\b", text, re.MULTILINE | re.IGNORECASE)
    assert "  resolve the name\n" in text
    assert re.search(r"ms  connect: connection refused: ", text)


def test_without_debug_it_is_the_metrics_page(daemon: Daemon) -> None:
    for query in ("", "&debug=false", "&debug=1"):
        assert "redis_up{" in daemon.ask(f"/probe?target=orders{query}").text
    assert daemon.ask("/probe?target=nobody&debug=true").status == 404


def test_before_the_first_poll_ends_nothing_is_known(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    server.process.send_signal(19)
    try:
        config = quick(target("orders", f"redis://127.0.0.1:{server.port}"))
        config["poll"] = {"interval": "20s", "timeout": "19s"}
        with running_exporter(tmp_path, config) as running:
            told = get(running, "orders")
            assert (told["state"], told["remarks"]) == ("unknown", ["not polled yet"])
            assert told["poll"] is told["state_since_timestamp_seconds"] is told["state_age_seconds"] is None
            assert "Last poll:  none yet" in running.ask("/probe?target=orders&debug=true").text
    finally:
        server.process.send_signal(18)


def test_connections_without_a_name_are_told_and_how_to_set_one(
    start_server: StartServer, talk: Callable[..., redis.Redis], tmp_path: Path
) -> None:
    server = start_server()
    clients = [talk(server) for _ in range(5)]
    assert all(client.ping() for client in clients)
    config = quick(target("orders", f"redis://127.0.0.1:{server.port}"), clients={"interval": "1s"})
    with running_exporter(tmp_path, config) as running:
        hints = eventually(lambda: (get(running, "orders")["client_list"] or {}).get("hints"))
        (said,) = re.findall(r"^(\d) of \1 connections have no name", hints[0])
        assert int(said) >= len(clients)
        assert "docs/app-names.md" in hints[0]
        eventually(lambda: " connections have no name" in running.ask("/").text)
