"""The exporter's own series that tests wait for, its log lines about a target, and a server's own account."""

import re
from html import unescape
from typing import Any

import redis

from tests.daemon import Daemon, Scrape, log_events
from tests.waiting import eventually

_OWN = "redis_connection_exporter_"
POLLS = f"{_OWN}polls_total"
FAILURES = f"{_OWN}poll_failures_total"
CONNECTS = f"{_OWN}connects_total"
REFUSED = f"{_OWN}connects_refused_total"
ADDRESS_CHANGES = f"{_OWN}address_changes_total"
DENIED = f"{_OWN}command_denied"
LIST_FAILURES = f"{_OWN}client_list_failures_total"
LIST_AVAILABLE = f"{_OWN}client_list_available"
LIST_COMMANDS = f"{_OWN}client_list_commands"
LISTED_AT = f"{_OWN}client_list_timestamp_seconds"


def polls(daemon: Daemon, name: str) -> float:
    """How often a target was polled; the exporter must be alive."""
    assert daemon.process.poll() is None, daemon.output()[-2000:]
    return daemon.scrape().get(POLLS, name) or 0


def polled(daemon: Daemon, name: str, times: int) -> Scrape:
    """Wait until a target was polled so many times more."""
    before = polls(daemon, name)
    eventually(lambda: polls(daemon, name) >= before + times, 30)
    return daemon.scrape()


def always_up(daemon: Daemon, *names: str) -> Scrape:
    """Look at the page, of which no target may be down."""
    page = daemon.scrape()
    down = [name for name in names if page.get("redis_up", name) != 1]
    assert not down, f"down: {down}\n{daemon.output()[-2000:]}"
    return page


def reload(daemon: Daemon) -> None:
    """Reload by SIGHUP, and wait until that is done."""
    loaded = daemon.output().count("configuration loaded")
    daemon.hang_up()
    eventually(lambda: daemon.output().count("configuration loaded") > loaded)


def told(daemon: Daemon, name: str) -> list[dict[str, Any]]:
    """The log lines (in JSON) about a target that are no change of its state."""
    return [
        event
        for event in log_events(daemon.output())
        if event.get("target") == name and event["msg"] != "target state changed"
    ]


def row_of_page(daemon: Daemon, name: str) -> str:
    """What the status page says of one target, without its marks."""
    rows = [row for row in daemon.ask("/").text.split("<tr>") if f"<b>{name}</b>" in row]
    assert len(rows) == 1, f"{name} is not one row of the page"
    return unescape(re.sub(r"<[^>]+>", " ", rows[0]))


def lists_run(control: redis.Redis) -> int:
    """How many CLIENT LIST a server of 7.0 or later has run."""
    stats = control.info("commandstats")
    return int(stats.get("cmdstat_client|list", {"calls": 0})["calls"])
