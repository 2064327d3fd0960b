"""Environment variables: those that are settings, those that nearly are, and those that Kubernetes makes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from exporter.demo.servers import free_port
from exporter.limits import SETTINGS_LEVELS
from exporter.model import ConfigError
from exporter.settings.variables import ignored_variables, read_variables
from tests.daemon import log_events, quick, run_cli, running_exporter, target

# What Kubernetes gives to every pod of a namespace (core/v1, enableServiceLinks) for two of its Services.
SERVICE_LINKS: dict[str, Any] = {
    "EXPORTER_SERVICE_HOST": "10.96.0.7",
    "EXPORTER_SERVICE_PORT": "10051",
    "EXPORTER_SERVICE_PORT_HTTP": "10051",
    "EXPORTER_PORT": "tcp://10.96.0.7:10051",
    "EXPORTER_PORT_10051_TCP": "tcp://10.96.0.7:10051",
    "EXPORTER_PORT_10051_TCP_PROTO": "tcp",
    "EXPORTER_PORT_10051_TCP_PORT": "10051",
    "EXPORTER_PORT_10051_TCP_ADDR": "10.96.0.7",
    "EXPORTER_NODE_SERVICE_HOST": "fd00::7",
    "EXPORTER_NODE_SERVICE_PORT": "9100",
    "EXPORTER_NODE_SERVICE_PORT_METRICS_V2": "9100",
    "EXPORTER_NODE_PORT": "tcp://[fd00::7]:9100",
    "EXPORTER_NODE_PORT_9100_UDP": "udp://[fd00::7]:9100",
    "EXPORTER_NODE_PORT_9100_SCTP_ADDR": "fd00::7",
}


def test_a_service_in_the_namespace_is_no_news_and_a_misspelt_variable_is_a_warning(tmp_path: Path) -> None:
    tree = quick(target("one", f"redis://127.0.0.1:{free_port()}"), log={"format": "json"})
    misspelt: dict[str, Any] = {
        "EXPORTER_POLL_INTERVAL": "7s",
        "EXPORTER_POLL__INTERVL": "7s",
        "EXPORTER_XYZZY": "hunter2",
    }
    with running_exporter(tmp_path, tree, **SERVICE_LINKS, **misspelt) as daemon:
        daemon.wait_for({"one": "refused"})
        warnings = [event for event in log_events(daemon.output()) if event["msg"] == "variable ignored"]
    assert [(each["level"], each["variable"], each["reason"]) for each in warnings] == [
        ("warn", name, f"is ignored because it is no setting: {advice}")
        for name, advice in (
            ("EXPORTER_POLL_INTERVAL", "did you mean EXPORTER_POLL__INTERVAL?"),
            ("EXPORTER_POLL__INTERVL", "did you mean EXPORTER_POLL__INTERVAL?"),
            ("EXPORTER_XYZZY", "docs/configuration.md lists the variables"),
        )
    ]
    assert "hunter2" not in daemon.output()


def test_what_is_missing_because_a_variable_is_misspelt_is_said_beside_it(tmp_path: Path) -> None:
    ended = run_cli(EXPORTER_TARGTES="[]", **SERVICE_LINKS)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "targets: no server to watch: write targets: in the file, or a URL on the command line",
        "EXPORTER_TARGTES: is ignored because it is no setting: did you mean EXPORTER_TARGETS?",
    ]
    file = tmp_path / "exporter.yaml"
    file.write_text("targets: [{url: redis://a}]")
    checked = run_cli("check-config", str(file), str(file), EXPORTER_CONFIG_FILE="x", **SERVICE_LINKS)
    assert (checked.returncode, checked.stderr) == (
        0,
        "EXPORTER_CONFIG_FILE: is ignored because it is no setting: did you mean EXPORTER_CONFIG__FILE?\n",
    )


@pytest.mark.parametrize(
    "variable",
    [
        "EXPORTER_PORT=9121",  # somebody means web.listen_address
        "EXPORTER_WEB_PORT=9121",
        "EXPORTER_NODE_PORTS=tcp://10.0.0.1:1",
        "EXPORTERS=1",
        "EXPORTER_PORT_80=80",
        "exporter_config__file=/x",
        "EXPORTER_CLIENTS__APP__SOURCES=name",
    ],
)
def test_what_only_resembles_a_service_or_a_setting_is_a_warning(variable: str) -> None:
    name, _, value = variable.partition("=")
    expected = [name] if name.upper().startswith("EXPORTER_") else []
    assert [fault.where for fault in ignored_variables({name: value})] == expected


def test_no_setting_is_taken_for_a_variable_of_kubernetes() -> None:
    services = {"EXPORTER_TARGETS": '[{"url": "redis://a"}]', "exporter_log__level": "warn", **SERVICE_LINKS}
    assert ignored_variables(services) == ()
    assert read_variables(services) == {"targets": [{"url": "redis://a"}], "log": {"level": "warn"}}


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("EXPORTER_TARGETS", "[" * 100_000, f"nested more than {SETTINGS_LEVELS} levels deep"),
        ("EXPORTER_TARGETS", '{"a":' * 20_000, f"nested more than {SETTINGS_LEVELS} levels deep"),
        ("EXPORTER_POLL", "[[" * SETTINGS_LEVELS + "]]" * SETTINGS_LEVELS, "nested more than"),
        ("EXPORTER_CLIENTS__APP__RENAME", "[{", "not JSON: write it as JSON, or in the file"),
        ("EXPORTER_AUTH", '{"password": "hunter2}', "not JSON"),
        ("EXPORTER_TARGETS", '["' + r"\"" * 60_000, "not JSON"),
    ],
)
def test_json_that_cannot_be_read_is_a_sentence_with_the_variable(name: str, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: {fault}") as caught:
        read_variables({name: text})
    assert "hunter2" not in str(caught.value)


def test_brackets_in_the_text_of_json_are_no_levels() -> None:
    password = '"]}' + "[{" * 100
    tree = read_variables({"EXPORTER_TARGETS": json.dumps([{"url": "redis://a", "password": password}])})
    assert tree["targets"][0]["password"] == password


def test_deep_json_is_exit_code_2_and_a_sentence() -> None:
    ended = run_cli(EXPORTER_TARGETS="[" * 100_000)
    assert ended.returncode == 2
    assert ended.stderr.startswith("EXPORTER_TARGETS: nested more than")
    assert len(ended.stderr.splitlines()) == 1
    assert os.linesep in ended.stderr
