"""The dashboards: built by the program, read by Grafana's types and linter, full of data in an incident."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.__main__ import DASHBOARDS, FOLDER, main, written
from grafana.dashboard import APP, FLEET, SERVER
from grafana.panels import Query, Row, place, text
from grafana.promql import newest, scoped, series, threshold
from tests.daemon import ROOT
from tests.dashboard_incident import Incident, incident
from tests.dashboard_linter import linter
from tests.waiting import eventually

Json = dict[str, Any]

BUILT = {name: build() for name, build in DASHBOARDS.items()}
BY_UID = {dashboard["uid"]: dashboard for dashboard in BUILT.values()}

# What the incident cannot bring about, by the metric that a query reads.
MAY_BE_EMPTY = {
    "redis_app_connections_growth_per_second": "absent in the first ten minutes",
    "redis_app_needed_connections_growth_per_second": "absent in the first ten minutes",
    "redis_connection_exporter_client_list_unreadable_rows": "no real server writes such a row",
}


def _panels(dashboard: Json) -> list[Json]:
    shown = [panel for each in dashboard["panels"] for panel in (each, *each.get("panels", []))]
    return [panel for panel in shown if panel["type"] != "row"]


EVERY_PANEL = [
    pytest.param(panel, id=f"{name.removesuffix('.json')}-{panel['title']}")
    for name, dashboard in BUILT.items()
    for panel in _panels(dashboard)
]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_committed_file_is_what_the_program_builds(name: str) -> None:
    assert (FOLDER / name).read_text() == written(BUILT[name]), "run `make docs`"


def test_the_check_names_what_was_changed_by_hand_and_the_build_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FOLDER, tmp_path / "dashboards")
    monkeypatch.setattr("grafana.__main__.FOLDER", tmp_path / "dashboards")
    changed = tmp_path / "dashboards" / "server.json"
    changed.write_text(changed.read_text().replace("Redis", "Rides"))
    with pytest.raises(SystemExit, match=r"^server\.json in dashboards/ differs .* run `make docs`$"):
        main(["--check"])
    main([])
    main(["--check"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafanas_own_types_know_every_option(name: str) -> None:
    """What they do not know, such as a misspelt option, they drop."""
    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(json.loads(written(BUILT[name]))), cls=JSONEncoder))
    assert _lost(BUILT[name], read) == []


def _lost(ours: object, theirs: object, path: str = "") -> list[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            fault
            for key, value in ours.items()
            if value is not None and (key not in ("filters", "baseFilters") or value)
            for fault in (
                _lost(value, theirs[key], f"{path}.{key}") if key in theirs else [f"{path}.{key} is unknown"]
            )
        ]
    if isinstance(ours, list) and isinstance(theirs, list):
        return [
            fault
            for place, (mine, other) in enumerate(zip(ours, theirs, strict=True))
            for fault in _lost(mine, other, f"{path}[{place}]")
        ]
    return [] if ours == theirs else [f"{path}: {ours!r} became {theirs!r}"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafanas_linter_finds_nothing(name: str) -> None:
    program = linter()
    checked = subprocess.run(
        [program, "lint", "--strict", FOLDER / name], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    broken = written(BUILT["fleet.json"]).replace("$__rate_interval", "5m")
    (tmp_path / "broken.json").write_text(broken)
    checked = subprocess.run(
        [linter(), "lint", "--strict", "--config", FOLDER / ".lint", tmp_path / "broken.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode != 0
    assert "should use $__rate_interval" in checked.stdout


def test_uids_and_variables_are_those_that_alerts_and_bookmarks_rely_on() -> None:
    assert set(BY_UID) == {FLEET, SERVER, APP}
    assert {FLEET, SERVER, APP} == {f"redis-connections-{each}" for each in ("fleet", "server", "app")}
    for dashboard in BY_UID.values():
        assert dashboard["id"] is None
        assert 39 <= dashboard["schemaVersion"] <= 42
        assert {"datasource", "job", "target", "filters"} <= _variables(dashboard)
    assert "app" in _variables(BY_UID[APP])


def _variables(dashboard: Json) -> set[str]:
    return {variable["name"] for variable in dashboard["templating"]["list"]}


def _strings(tree: object) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _strings(value)


def _check_link(url: str) -> None:
    """A link leads to one of the three, and sets only variables that it has."""
    parts = urlsplit(url)
    dashboard = BY_UID[parts.path.removeprefix("/d/")]
    named = {name.removeprefix("var-") for name, _ in parse_qsl(parts.query) if name.startswith("var-")}
    named |= set(re.findall(r"\$\{(\w+):queryparam\}", url))
    assert named <= _variables(dashboard), url


@pytest.mark.parametrize("name", DASHBOARDS)
def test_links_lead_to_dashboards_and_set_variables_that_they_have(name: str) -> None:
    links = [each for each in _strings(BUILT[name]) if each.startswith("/d/")]
    assert {urlsplit(link).path for link in links} >= {
        f"/d/{uid}" for uid in BY_UID if uid != BUILT[name]["uid"]
    }
    for link in links:
        _check_link(link)
        assert "${job:queryparam}&${filters:queryparam}" in link
    assert all(link["keepTime"] for link in BUILT[name]["links"])


def test_the_links_of_the_alerts_lead_to_dashboards() -> None:
    rules = yaml.safe_load((ROOT / "alerts" / "alerts.yml").read_text())
    links = [
        re.sub(r"{{[^}]*}}", "x", rule["annotations"]["dashboard_url"])
        for group in rules["groups"]
        for rule in group["rules"]
    ]
    assert links
    for link in links:
        _check_link(link)


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: Json) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    if panel["type"] in ("stat", "timeseries", "bargauge"):
        assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "table":
        numbers = [
            each
            for each in panel["fieldConfig"]["overrides"]
            if not _is_label(panel, each["matcher"]["options"])
        ]
        assert all(any(each["id"] == "unit" for each in one["properties"]) for one in numbers)


def _is_label(panel: Json, column: str) -> bool:
    renamed = panel["transformations"][-1]["options"]["renameByName"]
    return not next(field for field, name in renamed.items() if name == column).startswith("Value")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_lies_on_another_and_each_has_its_number(name: str) -> None:
    panels = _panels(BUILT[name])
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert max(x for x, _ in taken) == 23
    assert len(taken) == len(set(taken))


def test_a_name_that_is_not_in_the_catalogue_stops_the_build() -> None:
    with pytest.raises(ValueError, match="redis_conected_clients: no such metric"):
        series("redis_conected_clients")
    with pytest.raises(ValueError, match="redis_up has no label app"):
        newest("redis_up", app="$app")
    with pytest.raises(ValueError, match="no metric has the label ap: sum by"):
        Query(f"sum by (ap) ({series('redis_app_connections')})")
    with pytest.raises(ValueError, match="no metric has the label tarket"):
        Query(series("redis_up"), "{{tarket}}")
    with pytest.raises(KeyError):
        threshold("utilisation")
    assert scoped({}, "redis_up") == "redis_up"


def test_a_line_of_panels_that_is_not_full_stops_the_build() -> None:
    narrow = text("Words", "Some words.", "words", width=20, height=4)
    with pytest.raises(ValueError, match="the line with 'Words' is not full"):
        place([Row("Row", [narrow])])


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incident]:
    with incident(tmp_path_factory.mktemp("incident")) as played:
        yield played


def _filled(expression: str, seen: int, **typed: str) -> str:
    values = {
        "__rate_interval": "5s",
        "__range_s": str(seen),
        "__range": f"{seen}s",
        "job": "redis-connections",
        "target": ".+",
        "app": "leaky|worker|checkout|login",
        "hold_ms": "2",
        "hit_percent": "80",
        "rate": "0",
    } | typed
    filled = re.sub(r"\$(\w+)", lambda match: values[match[1]], expression)
    return filled.replace("offset 2m", "offset 5s")  # so long ago there was no Prometheus


def _has_answer(night: Incident, target: Json) -> bool:
    now = time.time()
    expression = _filled(target["expr"], int(now - night.began) + 1)
    if target.get("range", True):
        answer = night.prometheus.get(
            "/api/v1/query_range", query=expression, start=str(night.began), end=str(now), step="1"
        )
        return bool(answer["data"]["result"])
    return bool(night.prometheus.query(expression))


def _asked(dashboard: Json) -> dict[str, Json]:
    asked = {
        f"{panel['title']}, {target['refId']}": target
        for panel in _panels(dashboard)
        for target in panel["targets"]
    }
    return asked | {f"annotation {each['name']}": each for each in dashboard["annotations"]["list"]}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_has_an_answer_in_an_incident(night: Incident, name: str) -> None:
    waiting = _asked(BUILT[name])

    def all_answered() -> bool:
        for title in [title for title, target in waiting.items() if _has_answer(night, target)]:
            del waiting[title]
        return not [
            title
            for title, target in waiting.items()
            if not any(re.search(rf"\b{metric}\b", target["expr"]) for metric in MAY_BE_EMPTY)
        ]

    try:
        eventually(all_answered, 30)
    except AssertionError:
        pytest.fail("\n".join(f"{title}: {target['expr']}" for title, target in waiting.items()))


@pytest.mark.parametrize("metric", MAY_BE_EMPTY)
def test_what_may_be_empty_is_asked_for(metric: str) -> None:
    assert any(metric in target["expr"] for each in BUILT.values() for target in _asked(each).values())


def test_the_calculator_reckons_with_what_is_typed(night: Incident) -> None:
    (panel,) = [panel for panel in _panels(BY_UID[APP]) if "$hold_ms ms" in panel["title"]]
    needed = {
        target["legendFormat"]: night.prometheus.value(_filled(target["expr"], 60, rate="500"))
        for target in panel["targets"]
    }
    # 500/s * 2 ms = 1, and 1 + 2 * sqrt(1) = 3; a fifth of it is 0.2, and 0.2 + 2 * sqrt(0.2) = 1.09.
    assert (needed["needed now"], needed["needed with the cache"]) == (3, 2)
    assert needed["open now"] == night.prometheus.value(
        'sum(redis_app_connections{app=~"leaky|worker|checkout|login"})'
    )


def test_provisioning_names_the_data_source_and_the_folder_that_deployments_rely_on() -> None:
    provisioning = ROOT / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["uid"], source["url"]) == (
        "prometheus",
        "prometheus",
        "http://prometheus:9090",
    )
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "redis-connections.yaml").read_text())[
        "providers"
    ]
    assert provider["options"] == {"path": "/var/lib/grafana/dashboards"}


def _options(night: Incident, uid: str, name: str) -> list[str]:
    """What a variable offers, in its order, as Grafana asks for it."""
    (variable,) = [each for each in BY_UID[uid]["templating"]["list"] if each["name"] == name]
    query = _filled(variable["query"]["query"], int(time.time() - night.began) + 1)
    if match := re.fullmatch(r"label_values\((.+), (\w+)\)", query):
        return sorted({each["metric"][match[2]] for each in night.prometheus.query(match[1])})
    found = night.prometheus.query(re.fullmatch(r"query_result\((.+)\)", query)[1])  # type: ignore[index]
    shown = [
        "{" + ",".join(f'{label}="{value}"' for label, value in each["metric"].items()) + "} 1 1"
        for each in found
    ]
    pattern = re.compile(variable["regex"].strip("/"))
    return [match[1] for match in map(pattern.search, shown) if match]


def test_variables_offer_every_server_and_app_and_begin_with_the_fullest(night: Incident) -> None:
    servers = ["orders-1", "orders-2", "queue", "search", "sessions"]
    assert _options(night, FLEET, "job") == ["redis-connections"]
    assert _options(night, FLEET, "target") == servers
    assert sorted(_options(night, SERVER, "target")) == servers
    assert _options(night, SERVER, "target")[0] == "sessions"
    apps = _options(night, APP, "app")
    assert apps[0] == "leaky"
    assert {"checkout", "login", "worker"} <= set(apps)
    assert "other" not in apps
