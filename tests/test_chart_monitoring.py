"""What the chart gives to Prometheus and Grafana: scrapes, rules, dashboards."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm.generate import CHART, ROOT
from tests.charts.render import (
    EXAMPLES,
    Tree,
    of_kind,
    rendered,
    rendered_example,
    the,
)
from tests.conftest import need
from tests.servers.kinds import PROMTOOLS

ORDERS = {"name": "orders", "url": "redis://orders:6379"}
EVERYTHING = CHART / "ci" / "everything-values.yaml"
WITH_RULES = [path for path in EXAMPLES if "prometheusRule" in yaml.safe_load(path.read_text())]


def _rules(groups: list[Tree]) -> list[Tree]:
    return [rule for group in groups for rule in group["rules"]]


def _shipped() -> list[Tree]:
    files = [ROOT / "alerts" / f"{name}.yml" for name in ("alerts", "recording", "thresholds")]
    return _rules([group for file in files for group in yaml.safe_load(file.read_text())["groups"]])


def _chart_rules(**values: Any) -> list[Tree]:
    objects = rendered({"targets": [ORDERS], "prometheusRule": {"enabled": True} | values})
    return _rules(the(objects, "PrometheusRule")["spec"]["groups"])


def _without_links(rules: list[Tree]) -> list[Tree]:
    return [
        rule
        | {
            "annotations": {
                key: text for key, text in rule.get("annotations", {}).items() if not key.endswith("_url")
            }
        }
        for rule in rules
    ]


@pytest.mark.parametrize("example", WITH_RULES, ids=lambda path: path.stem)
@pytest.mark.parametrize("version", PROMTOOLS)
def test_promtool_takes_the_rules(example: Path, version: str, tmp_path: Path) -> None:
    command = PROMTOOLS[version]
    need(Path(command[0]).exists(), f"promtool {version} is not there")
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(the(rendered_example(example), "PrometheusRule")["spec"]))
    done = subprocess.run(
        [*command, "check", "rules", file], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"SUCCESS: \d{2,} rules found", done.stdout)


def test_by_default_the_rules_are_those_of_the_project_without_links_to_nowhere() -> None:
    rules = _chart_rules()
    assert _without_links(rules) == _without_links(_shipped())
    assert not {"runbook_url", "dashboard_url"} & {
        key for rule in rules for key in rule.get("annotations", {})
    }


def test_a_threshold_of_the_values_is_what_the_alerts_compare_with() -> None:
    thresholds = {"utilization_warning": 0.7, "exhaustion_seconds": 10_000_000, "blocked_clients": 0}
    found = {
        rule["labels"]["name"]: rule["expr"]
        for rule in _chart_rules(thresholds=thresholds)
        if rule.get("record") == "redis_connection:threshold"
    }
    shipped = {
        rule["labels"]["name"]: rule["expr"] for rule in _shipped() if "threshold" in rule.get("record", "")
    }
    assert found == shipped | {name: f"vector({number})" for name, number in thresholds.items()}
    assert (
        found.keys()
        == yaml.safe_load((CHART / "values.yaml").read_text())["prometheusRule"]["thresholds"].keys()
    )


def test_an_alert_is_left_out_in_every_severity_and_nothing_else_is() -> None:
    left_out = ["RedisConnectionsNearLimit", "RedisConnectionsBlocked"]
    assert _without_links(_chart_rules(disabled=left_out)) == _without_links(
        [rule for rule in _shipped() if rule.get("alert") not in left_out]
    )
    alerts = sorted({rule["alert"] for rule in _shipped() if "alert" in rule})
    assert not [rule for rule in _chart_rules(disabled=alerts) if "alert" in rule]


def test_the_links_of_an_alert_lead_to_the_users_pages() -> None:
    alerts = [
        rule
        for rule in _chart_rules(
            runbooksUrl="https://wiki.example/a$1/runbooks/", grafanaUrl="https://grafana.example/sub"
        )
        if "alert" in rule
    ]
    shipped = [rule for rule in _shipped() if "alert" in rule]
    assert len(alerts) == len(shipped) > 10
    for alert, original in zip(alerts, shipped, strict=True):
        links = alert["annotations"]
        assert links["runbook_url"] == f"https://wiki.example/a$1/runbooks/{alert['alert']}.md"
        tail = original["annotations"]["dashboard_url"].partition("/d/")[2]
        assert links["dashboard_url"] == f"https://grafana.example/sub/d/{tail}"


def test_labels_of_the_users_are_on_every_alert_and_hide_none_of_its_own() -> None:
    for rule in _chart_rules(alertLabels={"team": "a", "severity": "none"}):
        if "alert" in rule:
            assert rule["labels"]["team"] == "a"
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
        else:
            assert "team" not in rule.get("labels", {})


@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor", "scrapeConfig"])
def test_the_rules_know_the_job_whatever_the_release_is_called(kind: str) -> None:
    (known,) = (
        re.search(r'job=~"(.+?)"', rule["expr"])
        for rule in _shipped()
        if rule.get("record") == "redis_connection:exporter:up"
    )
    values = {
        "targets": [ORDERS],
        "fullnameOverride": "watcher",
        "nameOverride": "w",
        kind: {"enabled": True},
    }
    spec = the(rendered(values, release="x"), kind[0].upper() + kind[1:])["spec"]
    endpoints = spec.get("endpoints", spec.get("podMetricsEndpoints"))
    job = (
        endpoints[0]["relabelings"][0]
        if endpoints
        else {"targetLabel": "job", "replacement": spec["jobName"]}
    )
    assert job["targetLabel"] == "job"
    assert known is not None
    assert re.fullmatch(known[1], job["replacement"])


@pytest.fixture
def a_chart_with_dashboards(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The chart with dashboards that hold what templates could stumble over."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    folder = chart / "files" / "dashboards"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    texts = {
        name: json.dumps(
            {
                "uid": f"redis-connections-{name}",
                "panels": [{"legendFormat": "{{target}} {{ .Values }} |-", "expr": 'a{b=~"$c"}\n\t'}],
            },
            indent=indent,
        )
        for name, indent in (("fleet", 2), ("server", None))
    }
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text + "\n")
    return chart, {f"redis-connections-{name}.json": text for name, text in texts.items()}


def test_a_dashboard_arrives_as_it_is(a_chart_with_dashboards: tuple[Path, dict[str, str]]) -> None:
    chart, texts = a_chart_with_dashboards
    values = {"targets": [ORDERS], "dashboards": {"enabled": True, "folder": "Redis"}}
    maps = [
        each
        for each in of_kind(rendered(values, chart=chart), "ConfigMap")
        if "exporter.yaml" not in each["data"]
    ]
    assert {name: text for each in maps for name, text in each["data"].items()} == texts
    for each in maps:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Redis"}
    assert len({each["metadata"]["name"] for each in maps}) == len(texts)


def test_every_dashboard_of_the_project_is_in_the_chart() -> None:
    objects = rendered({"targets": [ORDERS], "dashboards": {"enabled": True}})
    held = {name: text for each in of_kind(objects, "ConfigMap") for name, text in each["data"].items()}
    del held["exporter.yaml"]
    dashboards = [path.read_text() for path in ROOT.glob("grafana/dashboards/*.json")]
    assert held == {f"{json.loads(text)['uid']}.json": text.rstrip("\n") for text in dashboards}


def test_the_dashboards_link_to_the_users_runbooks() -> None:
    values = {
        "targets": [ORDERS],
        "dashboards": {"enabled": True},
        "prometheusRule": {"runbooksUrl": "https://wiki.example/runbooks/"},
    }
    texts = [text for each in of_kind(rendered(values), "ConfigMap") for text in each["data"].values()]
    assert "(https://wiki.example/runbooks/get-in-at-limit.md)" in "".join(texts)
    assert not [text for text in texts if "https://example.com" in text]
