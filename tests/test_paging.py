"""A night on call, played once with everything real: an app leaks until Redis is full, and the pages come.

The rules and Alertmanager's configuration are the shipped ones, with every duration divided by HURRY.
"""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from exporter.demo.servers import find_server, running_server
from tests.apps import App, busy
from tests.conftest import need_program
from tests.daemon import ROOT, quick, running_exporter, target
from tests.pager import Notice, Pager, running_pager
from tests.prometheus import running_alertmanager, running_prometheus
from tests.waiting import eventually

HURRY = 60
LIMIT = 50
KEPT_SECONDS = 300 / HURRY  # keep_firing_for of the pages
RULES = [ROOT / "alerts" / f"{name}.yml" for name in ("alerts", "recording", "thresholds")]


@dataclass
class Night:
    """What happened when (by the monotonic clock), and what was seen of it."""

    pager: Pager
    times: dict[str, float] = field(default_factory=dict)
    muted: set[str] = field(default_factory=set)
    leaked: int = 0
    refusals: int = 0
    fired_blind: set[str] = field(default_factory=set)
    closing_words: str = ""

    def happened(self, what: str) -> None:
        self.times[what] = time.monotonic()


class Scene:
    """The parts that play: servers, exporter, Prometheus, Alertmanager and who gets its messages."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        hurried = _hurried(folder / "hurried")
        self.sessions = stack.enter_context(
            running_server([find_server()], folder, "--maxclients", str(LIMIT))
        )
        self.queue_server, self.exporter = contextlib.ExitStack(), contextlib.ExitStack()
        self.queue = self.queue_server.enter_context(running_server([find_server()], folder))
        stack.push(self.queue_server)
        self.pager = stack.enter_context(running_pager())
        self.pager.configure(hurried / "alertmanager.yml", folder)
        self.alertmanager = stack.enter_context(running_alertmanager(folder, hurried / "alertmanager.yml"))
        watched = quick(
            target("sessions", f"redis://127.0.0.1:{self.sessions.port}", labels={"team": "checkout"}),
            target("queue", f"redis://127.0.0.1:{self.queue.port}"),
            clients={"interval": "1s", "stale_after": "2s"},
        )
        daemon = self.exporter.enter_context(running_exporter(folder, watched))
        stack.push(self.exporter)
        config = {
            "global": {"scrape_interval": "250ms", "evaluation_interval": "250ms"},
            "rule_files": [str(hurried / file.name) for file in RULES],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager.address]}]}]},
            "scrape_configs": [
                {
                    "job_name": "redis-connections",
                    "static_configs": [{"targets": [f"127.0.0.1:{daemon.port}"]}],
                }
            ],
        }
        self.prometheus = stack.enter_context(
            running_prometheus(folder, config, "--rules.alert.resend-delay=1s")
        )

    def muted(self) -> set[str]:
        """Name the alerts that Alertmanager holds back because of others."""
        return {
            " ".join(alert["labels"].get(label, "") for label in ("target", "alertname", "severity"))
            for alert in self.alertmanager.get("/api/v2/alerts", inhibited="true")
            if alert["status"]["inhibitedBy"]
        }

    def told(self, name: str, target: str = "") -> str:
        """Give the description of an alert that Alertmanager has now."""
        found = (
            alert["annotations"]["description"]
            for alert in self.alertmanager.get("/api/v2/alerts")
            if (alert["labels"]["alertname"], alert["labels"].get("target", "")) == (name, target)
        )
        return str(next(found, ""))

    def firing(self, target: str) -> set[str]:
        found = self.prometheus.query(f'ALERTS{{alertstate="firing", target="{target}"}}')
        return {f"{each['metric']['alertname']} {each['metric']['severity']}" for each in found}

    def notice(self, name: str, target: str = "", **wanted: str) -> Notice:
        """Wait until an alert comes to somebody."""
        try:
            notice = eventually(lambda: self.pager.find(name, target, **wanted), 60)
        except AssertionError as error:
            came = [(each.receiver, each.status, each.labels) for each in self.pager.notices]
            raise AssertionError(f"{name} {target} {wanted} did not come; what came: {came}") from error
        assert notice is not None
        return notice


def _hurried(folder: Path) -> Path:
    files = [*RULES, *(ROOT / "config").glob("alertmanager.*")]
    command = [sys.executable, "-m", "tests.hurry", str(HURRY), str(folder), *map(str, files)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    need_program("prometheus")
    need_program("prometheus-alertmanager")
    with contextlib.ExitStack() as stack:
        scene = Scene(tmp_path_factory.mktemp("night"), stack)
        control = redis.Redis(port=scene.sessions.port, single_connection_client=True)
        stack.callback(control.close)
        login, reports, cart = (
            stack.enter_context(contextlib.closing(App(scene.sessions.port, name)))
            for name in ("login", "reports", "cart-service")
        )
        workers = stack.enter_context(contextlib.closing(App(scene.queue.port, "mail-worker")))
        workers.open(12)
        workers.say("BLPOP jobs 0", answered=False)
        login.open(10)
        reports.open(5)
        night = Night(scene.pager)
        with busy(login, reports):
            _an_app_leaks_until_the_server_is_full(night, scene, cart)
            _the_exporter_is_cut_off_too(night, scene, control, cart)
            cart.close()
            night.happened("leak closed")
            scene.queue_server.close()
            _all_is_well_again_but_the_queue_is_down(night, scene)
        scene.exporter.close()
        night.happened("exporter gone")
        scene.notice("RedisConnectionExporterAbsent", severity="critical")
        night.muted |= eventually(lambda: {each for each in scene.muted() if "TargetDown" in each})
        yield night


def _an_app_leaks_until_the_server_is_full(night: Night, scene: Scene, cart: App) -> None:
    used = 'target:redis_connection_slots_used:max{target="sessions"}'
    eventually(
        lambda: scene.prometheus.value(used) == 1 + 1 + 10 + 5, 30
    )  # control, exporter, login, reports
    cart.open(int(LIMIT * 0.8) + 1 - 17)
    cart.say("MULTI")  # a transaction that nobody ends is a leak for sure
    night.happened("above 0.8")
    scene.notice("RedisConnectionsNearLimit", "sessions", severity="warning")
    cart.open(int(LIMIT * 0.1))
    cart.say("MULTI", since=len(cart.members) - int(LIMIT * 0.1))
    night.happened("above 0.9")
    scene.notice("RedisConnectionsNearLimit", "sessions", severity="critical")
    ticket = "sessions RedisConnectionsNearLimit warning"
    night.muted |= eventually(lambda: {each for each in scene.muted() if each == ticket})
    scene.notice("RedisConnectionsLeaking", "sessions")
    kept = len(cart.members)
    cart.open(LIMIT - 17 - kept)
    cart.say("MULTI", since=kept)
    night.happened("full")
    night.leaked = len(cart.members)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", scene.sessions.port), timeout=5) as newcomer:
            night.refusals += newcomer.recv(64).startswith(b"-ERR max number of clients reached")
    scene.notice("RedisConnectionsAtLimit", "sessions")
    scene.notice("RedisConnectionsRejected", "sessions")
    holder = f"cart-service {night.leaked} ({night.leaked} suspected leaked)"
    eventually(lambda: holder in scene.told("RedisConnectionsAtLimit", "sessions"))
    night.closing_words = scene.told("RedisConnectionsAtLimit", "sessions")


def _the_exporter_is_cut_off_too(night: Night, scene: Scene, control: redis.Redis, cart: App) -> None:
    """Kill its connection and take its slot: its series vanish, and what pages must stay for long."""

    def cut_off() -> bool:
        for row in control.client_list():
            if row["name"] == "redis-connection-exporter":
                control.client_kill_filter(_id=row["id"])
        with contextlib.suppress(AssertionError, OSError):  # it was quicker
            cart.open(1)
        refused = 'redis_target_state{target="sessions",state="at_limit"} unless on (target) redis_up == 1'
        return scene.prometheus.value(refused) == 1

    eventually(cut_off)
    night.happened("blind")

    def long_blind() -> bool:
        assert scene.prometheus.value('redis_connection_slots_used{target="sessions"}') is None
        return time.monotonic() - night.times["blind"] > 3 * KEPT_SECONDS

    eventually(long_blind, 60)
    night.fired_blind = scene.firing("sessions")


def _all_is_well_again_but_the_queue_is_down(night: Night, scene: Scene) -> None:
    scene.notice("RedisConnectionTargetDown", "queue")
    eventually(lambda: len({each for each in scene.muted() if "queue" in each}) >= 2)
    night.muted |= scene.muted()
    eventually(lambda: not scene.firing("sessions"), 180)  # the peak alone is a minute old
    for receiver in ("page-checkout", "tickets-checkout"):
        eventually(lambda receiver=receiver: not _open(scene.pager, receiver), 60)  # type: ignore[misc]


def _open(pager: Pager, receiver: str) -> set[str]:
    """Name what a receiver was last told to be firing.

    Not a ticket that its page has muted: Alertmanager forgets it with the next message of its group, and does
    not tell its end.
    """
    last = {
        f"{each.target} {each.name} {each.severity}": each.status
        for each in list(pager.notices)
        if each.receiver == receiver
    }
    last.pop("sessions RedisConnectionsNearLimit warning", None)
    return {alert for alert, status in last.items() if status == "firing"}


def test_the_ticket_comes_first_then_the_page_then_the_limit(night: Night) -> None:
    ticket, page, limit = (
        night.pager.find(name, "sessions", severity=severity)
        for name, severity in (
            ("RedisConnectionsNearLimit", "warning"),
            ("RedisConnectionsNearLimit", "critical"),
            ("RedisConnectionsAtLimit", "critical"),
        )
    )
    assert ticket is not None
    assert page is not None
    assert limit is not None
    assert ticket.at < page.at < limit.at
    assert (ticket.receiver, page.receiver, limit.receiver) == (
        "tickets-checkout",
        "page-checkout",
        "page-checkout",
    ), "the target's own label finds the team"


def test_the_page_mutes_the_ticket_of_the_same_alert(night: Night) -> None:
    assert "sessions RedisConnectionsNearLimit warning" in night.muted
    page = night.pager.find("RedisConnectionsNearLimit", "sessions", severity="critical")
    assert page is not None
    tickets = night.pager.all("RedisConnectionsNearLimit", "sessions", severity="warning", status="firing")
    assert [each for each in tickets if each.at > page.at] == []


def test_the_page_names_the_leaking_app_with_its_count(night: Night) -> None:
    page = night.pager.find("RedisConnectionsNearLimit", "sessions", severity="critical")
    leak = night.pager.find("RedisConnectionsLeaking", "sessions")
    assert page is not None
    assert leak is not None
    assert "Held by cart-service " in page.annotations["description"]
    assert leak.annotations["description"].startswith("cart-service leaks connections to sessions: ")
    assert "Evidence: held transaction " in leak.annotations["description"]
    assert "Its worst instance is cart-service with " in leak.annotations["description"]
    assert (
        f"Held by cart-service {night.leaked} ({night.leaked} suspected leaked), login 10, reports 5"
        in night.closing_words
    )


def test_pagerduty_and_slack_are_told_who_holds_the_connections_and_what_to_do(night: Night) -> None:
    triggered = [page for page in night.pager.pages if page["event_action"] == "trigger"]
    page = next(page for page in triggered if "RedisConnectionsAtLimit" in page["payload"]["summary"])
    assert page["payload"]["summary"].startswith("[FIRING] sessions: RedisConnectionsAtLimit")
    text = page["payload"]["custom_details"]["text"]
    assert "Held by cart-service " in text
    assert "What to do: https://example.com/redis-connection-exporter/docs/runbooks/" in text
    assert page["links"][0]["href"].endswith("/d/redis-connections-server?var-target=sessions")
    channels = {chat["channel"] for chat in night.pager.chats}
    assert channels == {"#redis", "#checkout"}
    (leak, *_) = [chat for chat in night.pager.chats if "Leaking" in chat["attachments"][0]["title"]]
    assert "cart-service leaks connections to sessions" in leak["attachments"][0]["text"]


def test_it_fires_on_while_nobody_can_connect_and_the_exporter_sees_nothing(night: Night) -> None:
    assert night.refusals == 3
    assert night.fired_blind >= {
        "RedisConnectionsNearLimit critical",
        "RedisConnectionsAtLimit critical",
        "RedisConnectionsLeaking warning",
    }
    resolved = [
        each.name
        for each in night.pager.notices
        if each.status == "resolved"
        and each.target == "sessions"
        and night.times["blind"] < each.at < night.times["leak closed"]
    ]
    assert {"RedisConnectionsNearLimit", "RedisConnectionsAtLimit", "RedisConnectionsLeaking"}.isdisjoint(
        resolved
    )


def test_all_resolve_after_the_leak_is_closed(night: Night) -> None:
    for name in ("RedisConnectionsNearLimit", "RedisConnectionsAtLimit"):
        resolved = night.pager.find(name, "sessions", severity="critical", status="resolved")
        assert resolved is not None
        assert resolved.at > night.times["leak closed"]
    assert _open(night.pager, "page-checkout") == set()
    assert _open(night.pager, "tickets-checkout") == set()
    assert night.pager.pages[-1]["event_action"] == "trigger", "the last page is that the exporter is gone"
    assert "resolve" in {page["event_action"] for page in night.pager.pages}


def test_a_server_that_is_down_mutes_what_else_was_said_of_it(night: Night) -> None:
    assert {
        "queue RedisConnectionsBlocked warning",
        "queue RedisConnectionsBlockedForever info",
    } <= night.muted
    down = night.pager.find("RedisConnectionTargetDown", "queue")
    assert down is not None
    assert down.receiver == "page"
    assert down.annotations["description"].startswith("queue cannot be reached: refused.")
    assert "Held by mail-worker 12, when last listed." in down.annotations["description"]
    assert night.pager.find("RedisConnectionsBlockedForever", "queue", receiver="nobody")


def test_an_exporter_that_is_gone_mutes_what_it_said_and_lets_nothing_seem_resolved(night: Night) -> None:
    assert "queue RedisConnectionTargetDown critical" in night.muted
    assert night.pager.find("RedisConnectionTargetDown", "queue", status="resolved") is None
    absent = night.pager.find("RedisConnectionExporterAbsent", severity="critical")
    assert absent is not None
    assert absent.annotations["description"].startswith("Every exporter of job redis-connections is gone")


def test_the_time_from_crossing_to_the_webhook_is_measured(
    night: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for crossed, name, severity, waits in (
        ("above 0.8", "RedisConnectionsNearLimit", "warning", 300 + 30),
        ("above 0.9", "RedisConnectionsNearLimit", "critical", 120 + 5),
        ("full", "RedisConnectionsAtLimit", "critical", 0),
    ):
        notice = night.pager.find(name, "sessions", severity=severity)
        assert notice is not None
        took = notice.at - night.times[crossed]
        assert took > waits / HURRY, "no sooner than `for` and group_wait allow"
        lines.append(
            f"{crossed} to {severity} {took:.1f} s (of which waited on purpose {waits / HURRY:.1f} s)"
        )
    with capsys.disabled():
        print(f"\nmeasured: with all durations divided by {HURRY}: {'; '.join(lines)}")
