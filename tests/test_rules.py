"""The rule files and configurations as a whole: generated, complete, and naming only what exists."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.generate import FILE, FLEET_BOARD, HOLDERS, alerts_file
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.own import OwnMetrics
from tests.conftest import need_program
from tests.daemon import ROOT
from tests.hurry import hurry
from tests.servers.kinds import PROMTOOLS
from tests.test_alerts import FILES, run_promtool

CONFIG = ROOT / "config"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES: list[dict[str, Any]] = [
    rule for file in FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]

# What Prometheus or Kubernetes put on a series, what our recording rules add, and `team` of the examples.
_COMMON_LABELS = {"target", "job", "instance", "exported_instance", "namespace", "pod", "team"}
_METRICS = {family.name: set(family.labels) for family in CATALOGUE} | {
    sample.name: set(sample.labels) for family in OwnMetrics().registry.collect() for sample in family.samples
}
_RECORDED = {rule["record"]: set(rule.get("labels", ())) for rule in RULES if "record" in rule}
_LABELS = set.union(*_METRICS.values(), *_RECORDED.values(), _COMMON_LABELS)


_NAME = r"(?:(?:target|app|peers|exporter|redis_connection):[a-z]\w*(?::\w+)?|redis_\w+)"


def _names(text: str) -> set[str]:
    """Find the metrics and recorded series that a text names."""
    return set(re.findall(rf"(?<![\w:./-]){_NAME}(?![\w:/.-]*[.]\w)", text))


def _selectors(text: str) -> list[tuple[str, set[str]]]:
    """Find the labels by which each metric is selected."""
    found = re.findall(rf"\b({_NAME})\{{([^{{}}]*)\}}", text)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", labels))) for name, labels in found]


def _grouped(text: str) -> set[str]:
    lists = re.findall(r"\b(?:by|without|on|ignoring|group_left)\s*\(([^()]*)\)", text)
    return {label.strip() for each in lists for label in each.split(",") if label.strip()}


def _texts() -> dict[str, str]:
    places = [*FILES, *CONFIG.glob("*"), *RUNBOOKS.glob("*.md"), ROOT / "docs" / "alerts.md"]
    return {str(path.relative_to(ROOT)): path.read_text() for path in places if path.is_file()}


@pytest.mark.parametrize(("place", "text"), _texts().items(), ids=_texts())
def test_every_metric_and_label_exists(place: str, text: str) -> None:
    known = _METRICS.keys() | _RECORDED.keys()
    unknown = _names(text) - known - {"redis_exporter", "redis_version", "redis_connections"}
    assert unknown == set(), place
    for name, labels in _selectors(text):
        allowed = _METRICS.get(name, _LABELS) | _COMMON_LABELS
        assert labels <= allowed, f"{place}: {name} has no label {labels - allowed}"
    assert _grouped(text) <= _LABELS, place
    in_templates = set(re.findall(r"\$labels\.(\w+)|\.Labels\.(\w+)", text))
    assert {label for pair in in_templates for label in pair if label} <= _LABELS | {
        "alertname",
        "severity",
    }, place


def test_the_alerts_are_those_of_the_table() -> None:
    assert FILE.read_text() == alerts_file(), "run `make docs`"


@pytest.mark.parametrize("version", PROMTOOLS)
def test_promtool_accepts_the_rules(version: str) -> None:
    run_promtool(version, "check", "rules", "--lint=all", "--lint-fatal", *map(str, FILES))


@pytest.mark.parametrize("version", PROMTOOLS)
def test_promtool_accepts_both_ways_to_scrape(version: str, tmp_path: Path) -> None:
    written = (CONFIG / "prometheus.yml").read_text().replace("../alerts", str(ROOT / "alerts"))
    for name, text in (("written.yml", written), ("other.yml", other_way(written))):
        (tmp_path / name).write_text(text)
        run_promtool(version, "check", "config", str(tmp_path / name))


def other_way(config: str) -> str:
    """Put the commented job of config/prometheus.yml in place of the other."""
    before, comment, job = config.partition("  # - job_name: redis-connections\n")
    assert comment
    head, _, _ = before.partition("  # One scrape of the exporter")
    return head + re.sub(r"(?m)^  # ", "  ", comment + job)


def test_every_alert_says_all_that_it_should() -> None:
    for alert in ALERTS:
        name, annotations = alert["alert"], alert["annotations"]
        assert re.fullmatch(r"RedisConnections?[A-Z]\w+", name)
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert "for" in alert, name
        assert annotations.keys() == {"summary", "description", "runbook_url", "dashboard_url"}, name
        assert annotations["summary"].endswith("."), name
        assert "{{" not in annotations["summary"], f"{name}: a summary is static"
        assert "$value" not in str(alert["labels"]), f"{name}: its identity would change"
        assert "{{" in annotations["description"], name
        if annotations["dashboard_url"] != FLEET_BOARD:
            assert "$labels.target" in annotations["description"], name
            assert annotations["description"].endswith(HOLDERS), name
        assert re.search(r"/d/redis-connections-(fleet|server|app)(\?|$)", annotations["dashboard_url"]), name


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    named = {alert["annotations"]["runbook_url"].rpartition("/")[2] for alert in ALERTS}
    assert named == {f"{alert['alert']}.md" for alert in ALERTS}
    assert named == {page.name for page in RUNBOOKS.glob("Redis*.md")}


def test_every_threshold_is_read_and_every_one_that_is_read_is_there() -> None:
    thresholds = {
        rule["labels"]["name"] for rule in RULES if rule.get("record") == "redis_connection:threshold"
    }
    read = re.findall(r"""redis_connection:threshold\{name=["'](\w+)["']\}""", FILES[2].read_text())
    assert set(read) == thresholds


def test_alertmanager_accepts_its_configuration() -> None:
    ran = subprocess.run(
        [need_program("amtool"), "check-config", CONFIG / "alertmanager.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("severity=critical",), "page"),
        (("severity=critical", "team=checkout"), "page-checkout"),
        (("severity=critical", "team=search"), "page"),
        (("severity=warning",), "tickets"),
        (("severity=warning", "team=checkout"), "tickets-checkout"),
        (("severity=info", "team=checkout"), "nobody"),
    ],
)
def test_alerts_go_by_severity_and_by_the_targets_own_labels(labels: tuple[str, ...], receiver: str) -> None:
    config = f"--config.file={CONFIG / 'alertmanager.yml'}"
    command = [
        need_program("amtool"),
        "config",
        "routes",
        "test",
        config,
        *labels,
        "alertname=Any",
        "target=orders",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == receiver


def test_the_hurry_changes_durations_and_nothing_else() -> None:
    for file in [*FILES, CONFIG / "alertmanager.yml"]:
        slow = file.read_text()
        fast = hurry(slow, 60)
        without = [re.sub(r"\b\d+(?:ms|s|m|h)\b", "", text) for text in (slow, fast)]
        assert without[0] == without[1], file.name
        if file.name != "thresholds.yml":
            assert "1h" not in re.sub(r'#.*|growth1h|window="1h"', "", fast), file.name
    assert hurry("for: 2m\nexpr: rate(x[5m] offset 15s)\nkeep_firing_for: 1h", 60) == (
        "for: 2000ms\nexpr: rate(x[5000ms] offset 250ms)\nkeep_firing_for: 60000ms"
    )
