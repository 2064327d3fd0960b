"""What mutes what, by a real Alertmanager with the shipped configuration."""

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.daemon import ROOT
from tests.pager import running_pager
from tests.prometheus import Service, running_alertmanager
from tests.waiting import eventually

DOWN = {"alertname": "RedisConnectionTargetDown", "severity": "critical", "job": "a", "target": "orders"}
NEAR = {"alertname": "RedisConnectionsNearLimit", "severity": "critical", "job": "a", "target": "orders"}
LEAK = {"alertname": "RedisConnectionsLeaking", "severity": "warning", "job": "a", "target": "orders"}
EARLY = {"alertname": "RedisConnectionsOpenedUnused", "severity": "warning", "job": "a", "target": "orders"}
GROWS = EARLY | {"alertname": "RedisConnectionsGrowWithoutNeed"}
CART, LOGIN = {"app": "cart"}, {"app": "login"}
ABSENT = {"alertname": "RedisConnectionExporterAbsent", "severity": "critical", "job": "a"}
NOBODY = {"alertname": "RedisConnectionExporterAbsent", "severity": "critical"}
LOST = {"alertname": "RedisConnectionExporterTargetsLost", "severity": "critical", "job": "a"}
TICKET = {"severity": "warning"}
OTHER = {"alertname": "HostDown", "severity": "critical", "job": "a"}


def _rules_of_kube_prometheus_stack() -> list[dict[str, Any]]:
    """The rules that docs/alerts.md puts before ours."""
    (block,) = re.findall(
        r"```yaml\n(alertmanager:.*?)```", (ROOT / "docs" / "alerts.md").read_text(), re.DOTALL
    )
    rules: list[dict[str, Any]] = yaml.safe_load(block)["alertmanager"]["config"]["inhibit_rules"]
    return rules


@pytest.fixture(scope="module", params=["shipped", "kube-prometheus-stack"])
def alertmanager(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("inhibition")
    for file in (ROOT / "config").glob("alertmanager.*"):
        (folder / file.name).write_text(file.read_text())
    with contextlib.ExitStack() as stack:
        pager = stack.enter_context(running_pager())
        pager.configure(folder / "alertmanager.yml", folder)
        if request.param == "kube-prometheus-stack":
            tree = yaml.safe_load((folder / "alertmanager.yml").read_text())
            tree["inhibit_rules"] = _rules_of_kube_prometheus_stack() + tree["inhibit_rules"]
            (folder / "alertmanager.yml").write_text(yaml.safe_dump(tree))
        yield stack.enter_context(running_alertmanager(folder, folder / "alertmanager.yml"))


@pytest.mark.parametrize(
    ("source", "other", "mutes"),
    [
        (NEAR, NEAR | TICKET, True),
        (NEAR, NEAR | TICKET | {"target": "baskets"}, False),
        (NEAR, LEAK, False),
        (LEAK | CART, EARLY | CART, True),
        (LEAK | CART, GROWS | CART, True),
        (LEAK | CART, EARLY | LOGIN, False),
        (LEAK | CART, EARLY | CART | {"target": "baskets"}, False),
        (LEAK | CART, NEAR | TICKET, False),
        (EARLY | CART, LEAK | CART, False),
        (DOWN, NEAR, True),
        (DOWN, LEAK, True),
        (DOWN, NEAR | {"target": "baskets"}, False),
        (DOWN, NEAR | {"namespace": "staging"}, False),
        (DOWN, NEAR | {"cluster": "b"}, False),
        (DOWN, ABSENT, False),
        (DOWN, OTHER, False),
        (ABSENT, DOWN, True),
        (ABSENT, NEAR, True),
        (ABSENT, LOST, True),
        (ABSENT, ABSENT | TICKET | {"instance": "exporter:10051"}, True),
        (ABSENT, NEAR | {"job": "b"}, False),
        (ABSENT, NEAR | {"cluster": "b"}, False),
        (ABSENT, OTHER, False),
        (ABSENT | TICKET, NEAR, False),
        (NOBODY, NEAR, True),
        (NOBODY, NEAR | {"cluster": "b"}, False),
        (LOST, NEAR, False),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else str(value),
)
def test_an_alert_mutes_what_it_should_and_nothing_else(
    source: dict[str, str],
    other: dict[str, str],
    mutes: bool,  # noqa: FBT001  a column of the table
    alertmanager: Service,
) -> None:
    place = f"{sorted(source.items())} {sorted(other.items())} "  # each case in clusters of its own
    sent = [labels | {"cluster": place + labels.get("cluster", "a")} for labels in (source, other)]
    _send(alertmanager, sent)
    statuses = eventually(lambda: _statuses(alertmanager, sent))
    assert bool(statuses[1]) == mutes


def _send(alertmanager: Service, alerts: list[dict[str, str]]) -> None:
    connection = http.client.HTTPConnection(alertmanager.address, timeout=10)
    body = json.dumps([{"labels": labels} for labels in alerts])
    connection.request("POST", "/api/v2/alerts", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def _statuses(alertmanager: Service, sent: list[dict[str, str]]) -> list[list[str]]:
    """Which alerts mute each of those that were sent, once Alertmanager has dealt with all."""
    found = [
        alert["status"]["inhibitedBy"]
        for labels in sent
        for alert in alertmanager.get("/api/v2/alerts")
        if alert["labels"] == labels and alert["status"]["state"] != "unprocessed"
    ]
    return found if len(found) == len(sent) else []
