"""The dashboards: built by the program, read by Grafana's types and linter, full of data in an incident."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from alerts.generate import RUNBOOKS
from grafana.__main__ import DASHBOARDS, FOLDER, main, written
from grafana.dashboard import APP, CELL, FLEET, SERVER, STATES
from grafana.panels import GREEN, ORANGE, RED, Query, Row, place, text
from grafana.promql import highest, scoped, series, threshold
from grafana.queries import CRITICAL, SHOWN, STATE, WARNING, above_since, held, longest_not_ok
from tests.daemon import ROOT
from tests.dashboard_incident import BURSTY, Incident, incident, seen
from tests.dashboard_linter import linter
from tests.waiting import eventually

Json = dict[str, Any]

BUILT = {name: build() for name, build in DASHBOARDS.items()}
BY_UID = {dashboard["uid"]: dashboard for dashboard in BUILT.values()}

# What the incident cannot bring about, by the metric that a query reads.
MAY_BE_EMPTY = {
    "redis_app_connections_growth_per_second": "absent in the first minutes",
    "redis_app_needed_connections_growth_per_second": "absent in the first minutes",
    "redis_app_pool_max_connections": "no name there tells the size of a pool",
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


def test_from_one_server_a_link_leads_to_an_app_on_all_servers() -> None:
    links = [each for each in _strings(BY_UID[SERVER]) if each.startswith(f"/d/{APP}?")]
    assert len(links) == 3
    assert all("&var-target=$__all" in each for each in links)


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


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_links_of_a_column_carry_the_cell(name: str) -> None:
    urls = [
        link["url"]
        for panel in _panels(BUILT[name])
        for column in panel["fieldConfig"]["overrides"]
        for each in column["properties"]
        if each["id"] == "links"
        for link in each["value"]
    ]
    assert urls
    for url in urls:
        assert re.search(rf"&var-(app|target)={re.escape(CELL)}&", url) or url == f"{RUNBOOKS}/{CELL}.md"


def test_the_share_in_use_goes_from_green_over_orange_to_red() -> None:
    shown = [panel for panel in _panels(BY_UID[SERVER]) if panel["title"] == "In use"]
    assert [panel["fieldConfig"]["defaults"]["thresholds"]["steps"] for panel in shown] == [
        [
            {"color": GREEN, "value": None},
            {"color": ORANGE, "value": WARNING},
            {"color": RED, "value": CRITICAL},
        ]
    ]


# What the person who is paged needs, whatever else is shown.
EVERY_SERVER = """redis_target_state redis_connection_slots_used redis_connection_slots_limit
    redis_connection_utilization_ratio redis_app_connections redis_app_suspected_leaked_connections
    redis_rejected_connections_total redis_connections_received_total ALERTS"""
NEEDED = {
    FLEET: EVERY_SERVER,
    SERVER: f"""{EVERY_SERVER} redis_connection_slots_used_peak redis_client_idle_seconds_bucket
        redis_client_age_seconds_bucket redis_app_connections_opened_total redis_app_connections_closed_total
        redis_blocked_connections redis_blocked_longest_seconds redis_host_connections redis_user_connections
        redis_library_connections redis_command_connections redis_client_recent_max_input_buffer_bytes
        redis_client_recent_max_output_buffer_bytes redis_app_memory_bytes redis_instance_info
        redis_cpu_user_main_thread_seconds_total redis_connection_exporter_client_list_server_seconds
        redis_connection_exporter_client_list_available redis_uptime_in_seconds""",
    APP: """redis_app_connections redis_app_needed_connections_peak redis_app_suspected_leaked_connections
        redis_app_connections_growth_per_second redis_app_connections_opened_total redis_host_connections
        redis_commands_processed_total""",
}


@pytest.mark.parametrize("uid", NEEDED)
def test_a_dashboard_asks_for_all_that_it_is_for(uid: str) -> None:
    asked = " ".join(target["expr"] for target in _asked(BY_UID[uid]).values())
    assert set(NEEDED[uid].split()) - set(re.findall(r"\w+", asked)) == set()


# Groups of one list, which add up to its clients.
PARTS = """redis_app_connections redis_host_connections redis_user_connections redis_library_connections
    redis_command_connections redis_db_connections redis_blocked_connections redis_nameless_connections
    redis_client_idle_seconds_bucket redis_client_age_seconds_bucket redis_app_memory_bytes"""


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_sum_is_made_of_two_lists_of_the_clients(name: str) -> None:
    of_two_lists = re.compile(rf"max by \([^)]*\) \((?:{'|'.join(PARTS.split())}){{[^}}]*}}\)")
    assert not [title for title, each in _asked(BUILT[name]).items() if of_two_lists.search(each["expr"])]


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
        highest("redis_up", app="$app")
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


# An incident of seconds on five servers, where the dashboards look at hours of hundreds.
HURRIED = {
    "offset 2m": "offset 5s",
    "offset 1800s": "offset 5s",
    ":1m]": ":1s]",
    "< bool 60": "< bool 5",
    f"topk({SHOWN},": "topk(1,",
}


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
    filled = re.sub(r"\$([a-z_]\w*)", lambda match: values[match[1]], expression)
    for shown, played in HURRIED.items():
        filled = filled.replace(shown, played)
    return filled


def _range(night: Incident, expression: str, start: float) -> list[Json]:
    """What an expression was, second by second."""
    answer = night.prometheus.get(
        "/api/v1/query_range", query=expression, start=str(start), end=str(time.time()), step="1"
    )
    found: list[Json] = answer["data"]["result"]
    return found


def _has_answer(night: Incident, target: Json) -> bool:
    now = time.time()
    expression = _filled(target["expr"], int(now - night.began) + 1)
    if target.get("range", True):
        return bool(_range(night, expression, night.began))
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


@pytest.mark.parametrize(
    "typed", [{"rate": ""}, {"hold_ms": ""}, {"hit_percent": ""}, {"hit_percent": "150"}]
)
def test_the_calculator_stands_what_is_cleared_or_too_much(night: Incident, typed: dict[str, str]) -> None:
    queries = [
        _filled(target["expr"], 60, **typed)
        for target in _asked(BY_UID[APP]).values()
        if any(f"${name}" in target["expr"] for name in typed)
    ]
    assert queries
    for query in queries:
        assert eventually(partial(night.prometheus.query, query), 30)


def test_connections_that_two_exporters_list_are_counted_once(night: Incident) -> None:
    def numbers(expression: str) -> set[float]:
        (found,) = _range(night, _filled(expression, 60), night.both_since)
        return {float(value) for _, value in found["values"]}

    two_lists = 'sum(max by (target, app, state) (redis_app_connections{app="bursty"}))'
    eventually(lambda: max(numbers(two_lists)) > BURSTY, 30)
    assert numbers(held("app", app="bursty")) == {BURSTY}
    assert numbers(f"max({highest('redis_up')})") == {1}


def test_what_one_exporter_sees_of_a_server_beats_what_another_misses(night: Incident) -> None:
    missed = 'redis_target_state{target=~"sessions|queue",state="refused"} == 1'
    assert len(night.prometheus.query(missed)) == 2

    def states() -> dict[str, str]:
        found = night.prometheus.query(_filled(STATE, 60))
        return {each["metric"]["target"]: STATES[int(each["value"][1])][0] for each in found}

    expected = {"sessions": "at limit", "queue": "ok", "orders-1": "refused"}
    eventually(lambda: expected.items() <= states().items(), 30)


@pytest.mark.parametrize("below", [WARNING, 0], ids=["after it was below", "never below"])
def test_a_full_server_is_so_since_it_was_below_or_first_seen(night: Incident, below: float) -> None:
    query = _filled(above_since(), 3600).replace(f"< {WARNING}", f"< {below}")
    (found,) = night.prometheus.query(query)
    assert found["metric"]["target"] == "sessions"
    assert night.began - 1 < float(found["value"][1]) / 1000 < time.time()


def test_a_server_at_the_limit_goes_before_all_that_were_down_longer(night: Incident) -> None:
    found = night.prometheus.query(f"sort_desc({_filled(longest_not_ok(), 60)})")
    ranks = {each["metric"]["target"]: float(each["value"][1]) for each in found}
    assert next(iter(ranks)) == "sessions"
    assert ranks["sessions"] > 1 >= ranks["orders-1"] > 0


def test_an_alert_is_one_line_of_its_highest_severity(night: Incident) -> None:
    (panel,) = [panel for panel in _panels(BY_UID[SERVER]) if panel["title"] == "Which alerts fire?"]
    severity, since = (_filled(target["expr"], 60) for target in panel["targets"])
    near = 'alertname="RedisConnectionsNearLimit",alertstate="firing",severity='
    for each in ("warning", "critical"):
        seen(night.prometheus, f'ALERTS{{{near}"{each}"}}')
    found = [each for each in night.prometheus.query(severity) if "NearLimit" in each["metric"]["alertname"]]
    assert [(each["metric"]["target"], each["value"][1]) for each in found] == [("sessions", "3")]
    assert len(night.prometheus.query(since)) == len(night.prometheus.query(severity))


def test_a_restart_is_marked_for_a_moment(night: Incident) -> None:
    (mark,) = [each["expr"] for each in BY_UID[SERVER]["annotations"]["list"] if each["name"] == "Restarts"]
    expression = _filled(mark, 60)

    def marked() -> set[str]:
        return {each["metric"]["target"] for each in _range(night, expression, night.both_since)}

    assert eventually(marked, 30) == {"search"}
    eventually(lambda: not night.prometheus.query(expression), 30)


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
