"""Every alert by promtool's own evaluation: when it fires, when it stays quiet, and what it says."""

import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import yaml

from alerts.generate import GROUPS
from tests.alert_cases import CASES as OTHER_CASES
from tests.alert_cases import HELD, HOLDERS, NOBODY, OK, STEPS, Case, Fires, near, slots
from tests.conftest import need
from tests.daemon import ROOT
from tests.leak_cases import LEAK_CASES
from tests.servers.kinds import PROMTOOLS

FILES = [ROOT / "alerts" / f"{name}.yml" for name in ("thresholds", "recording", "alerts")]
ORDER = [group["name"] for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
CASES = [*OTHER_CASES, *LEAK_CASES]
ALERTS = {(alert.name, alert.severity): alert for alerts in GROUPS.values() for alert in alerts}


def _labelled(name: str) -> str:
    """Write the name of a series with the labels that Prometheus and the exporter put on each."""
    bare, _, labels = name.partition("{")
    given = labels.rstrip("}")
    common = {"job": "redis-connections", "instance": "exporter:10051", "target": "orders"}
    kept = [f'{label}="{value}"' for label, value in common.items() if f",{label}=" not in f",{given}"]
    return f"{bare}{{{','.join([*filter(None, [given]), *kept])}}}".replace("'", '"')


def _expected(alert: str, fires: Fires) -> dict[str, Any]:
    known = ALERTS[alert, fires.severity]
    labels: dict[str, str] = {"severity": fires.severity, "job": "redis-connections"}
    labels |= {"target": fires.target} if fires.target else {}
    labels = {name: value for name, value in (labels | dict(fires.labels)).items() if value}
    annotations = known.rule()["annotations"]
    board = annotations["dashboard_url"]
    for label in ("target", "app"):
        board = board.replace(f"{{{{ $labels.{label} | urlquery }}}}", quote_plus(labels.get(label, "")))
    written = {"description": fires.says, "dashboard_url": board}
    return {"exp_labels": labels, "exp_annotations": annotations | written}


def run_promtool(version: str, *arguments: str) -> str:
    """Run a promtool and return what it says; it must agree."""
    command = PROMTOOLS[version]
    need(Path(command[-1]).exists(), f"promtool of Prometheus {version} is not there: `make test` fetches it")
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def evaluate(version: str, folder: Path, cases: list[Case], rules: list[Path] = FILES) -> None:
    """Let promtool evaluate the rules over each case's series."""
    tests = [
        {
            "interval": "15s",
            "name": case.sentence,
            "input_series": [
                {
                    "series": _labelled(name),
                    "values": value if isinstance(value, str) else f"{value}x{STEPS}",
                }
                for name, value in case.series.items()
            ],
            "alert_rule_test": [
                {
                    "eval_time": at,
                    "alertname": case.alert,
                    "exp_alerts": [_expected(case.alert, each) for each in fires],
                }
                for at, fires in case.fires.items()
            ],
        }
        for case in cases
    ]
    file = folder / "test.yml"
    tree = {
        "rule_files": [str(rule) for rule in rules],
        "evaluation_interval": "15s",
        "group_eval_order": ORDER,
        "tests": tests,
    }
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    run_promtool(version, "test", "rules", str(file))


@pytest.mark.parametrize("version", PROMTOOLS)
@pytest.mark.parametrize("alert", sorted({name for name, _ in ALERTS}))
def test_an_alert_fires_and_stays_quiet_when_it_should(alert: str, version: str, tmp_path: Path) -> None:
    evaluate(version, tmp_path, [case for case in CASES if case.alert == alert])


def test_every_alert_and_severity_has_a_case_that_fires_and_one_that_is_quiet() -> None:
    fired = {(case.alert, each.severity) for case in CASES for fires in case.fires.values() for each in fires}
    assert fired | {("RedisConnectionRulesIncomplete", "warning")} == set(ALERTS)
    assert {case.alert for case in CASES if list(case.fires.values()) == [()]} == {name for name, _ in ALERTS}


@pytest.mark.parametrize("copies", [0, 2])
def test_a_threshold_that_is_missing_or_there_twice_is_told(copies: int, tmp_path: Path) -> None:
    tree = yaml.safe_load(FILES[0].read_text())
    first, *others = tree["groups"][0]["rules"]
    twice = [first, first | {"labels": first["labels"] | {"team": "checkout"}}]
    tree["groups"][0]["rules"] = twice[:copies] + others
    (tmp_path / "thresholds.yml").write_text(yaml.safe_dump(tree))
    says = "Only 21 of 22 thresholds are there exactly once: load thresholds.yml of this version, and once."
    case = Case(
        "a threshold is missing or there twice",
        "RedisConnectionRulesIncomplete",
        OK,
        {"4m": (), "5m": (Fires(says, labels={"job": ""}, target=None),)},
    )
    evaluate("2.42", tmp_path, [case], [tmp_path / "thresholds.yml", *FILES[1:]])


def test_a_threshold_is_changed_in_one_place(tmp_path: Path) -> None:
    changed = (
        FILES[0]
        .read_text()
        .replace(
            "{name: utilization_warning}, expr: vector(0.8)", "{name: utilization_warning}, expr: vector(0.7)"
        )
    )
    assert changed != FILES[0].read_text()
    (tmp_path / "thresholds.yml").write_text(changed)
    case = Case(
        "above 0.7",
        "RedisConnectionsNearLimit",
        slots(75) | HELD | OK,
        {"5m": (Fires(near(75)),)},
    )
    evaluate("2.42", tmp_path, [case], [tmp_path / "thresholds.yml", *FILES[1:]])


def test_a_strange_name_of_a_target_is_escaped_in_links(tmp_path: Path) -> None:
    strange = "10.0.0.1:6379/a b&c"
    case = Case(
        "a strange name",
        "RedisConnectionsNearLimit",
        {f'{name}{{target="{strange}"}}': value for name, value in slots(85).items()},
        {
            "5m": (
                Fires(
                    near(85).replace("orders", strange).replace(" ok", "").replace(HOLDERS, NOBODY),
                    target=strange,
                ),
            )
        },
    )
    evaluate("2.42", tmp_path, [case])
