"""compose.yaml: `docker compose up` shows servers in trouble and the whole path to the page."""

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import StartServer, need_program
from tests.daemon import ROOT, environment, run_cli, running_exporter
from tests.go_tools import go_tool
from tests.mailbox import running_mailbox
from tests.prometheus import running_alertmanager
from tests.servers.kinds import KINDS
from tests.waiting import eventually

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
EXPORTER = yaml.safe_load((ROOT / "config/compose/exporter.yaml").read_text())
_MAX_CLIENTS = 30


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """What Docker Compose's own loader makes of the file."""
    loader = go_tool("github.com/compose-spec/compose-go/v2/cmd", "v2.16.2")
    done = subprocess.run(
        [loader, "--format=json", "compose.yaml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def _mounted(service: dict[str, Any], folder: Path) -> Path:
    """Lay out the mounted files of a service below a folder, as they lie in its container."""
    for mount in service["volumes"]:
        source, inside = Path(mount["source"]), folder / mount["target"].lstrip("/")
        assert mount["read_only"], mount
        assert source.exists(), f"{source} is mounted, and not there"
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.symlink_to(source)
    return folder


def _accepted(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_image_has_a_version_and_every_port_is_this_machines_own(services: dict[str, Any]) -> None:
    for name, service in services.items():
        built_here = service["image"] == "redis-connection-exporter"
        assert built_here or re.search(r":v?[0-9]+\.[0-9]+", service["image"]), name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
    assert services["exporter"]["build"]["context"] == str(ROOT)
    assert services["trouble"]["image"] == services["exporter"]["image"]


def test_prometheus_loads_what_is_mounted(services: dict[str, Any], tmp_path: Path) -> None:
    root = _mounted(services["prometheus"], tmp_path)
    said = _accepted(need_program("promtool"), "check", "config", root / "etc/prometheus/prometheus.yml")
    for rules in (ROOT / "alerts").glob("*.yml"):
        assert rules.name in said


def test_alertmanager_loads_what_is_mounted(services: dict[str, Any], tmp_path: Path) -> None:
    root = _mounted(services["alertmanager"], tmp_path)
    said = _accepted(need_program("amtool"), "check-config", root / "etc/alertmanager/alertmanager.yml")
    assert "1 templates" in said


def test_a_page_arrives_as_a_mail_that_says_what_is_wrong(tmp_path: Path) -> None:
    shutil.copy(ROOT / "config/alertmanager.tmpl", tmp_path)
    config = tmp_path / "alertmanager.yml"
    text = (ROOT / "config/compose/alertmanager.yml").read_text()
    alerts = [
        {
            "labels": {"alertname": "RedisConnectionsAtLimit", "severity": severity, "target": "sessions"},
            "annotations": {"summary": f"sessions is full, {severity}"},
        }
        for severity in ("critical", "info")
    ]
    with running_mailbox() as (address, mails):
        config.write_text(text.replace("mail:1025", address).replace("group_wait: 5s", "group_wait: 1s"))
        with running_alertmanager(tmp_path, config) as alertmanager:
            connection = http.client.HTTPConnection("127.0.0.1", alertmanager.port, timeout=10)
            body = json.dumps(alerts)
            connection.request("POST", "/api/v2/alerts", body, {"content-type": "application/json"})
            assert connection.getresponse().status == 200
            connection.close()
            eventually(lambda: mails, 30)
    (mail,) = mails
    assert mail["To"] == "oncall@example.com"
    assert mail["Subject"] == "[FIRING] sessions: RedisConnectionsAtLimit"
    (part,) = mail.iter_parts()
    said = part.get_content()
    assert "sessions is full, critical (RedisConnectionsAtLimit, critical" in said
    assert "info" not in said


def test_the_exporter_loads_what_is_mounted(services: dict[str, Any], tmp_path: Path) -> None:
    file = services["exporter"]["environment"]["EXPORTER_CONFIG__FILE"]
    checked = run_cli("check-config", str(_mounted(services["exporter"], tmp_path) / file.lstrip("/")))
    assert (checked.returncode, "ok, 3 targets" in checked.stdout) == (0, True), checked.stderr


def test_grafana_finds_its_dashboards_and_its_prometheus(services: dict[str, Any], tmp_path: Path) -> None:
    root = _mounted(services["grafana"], tmp_path)
    provisioning = root / "etc/grafana/provisioning"
    (sources,) = [yaml.safe_load(file.read_text()) for file in (provisioning / "datasources").glob("*.y*ml")]
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
    (providers,) = [yaml.safe_load(file.read_text()) for file in (provisioning / "dashboards").glob("*.y*ml")]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (root / home.lstrip("/")).exists()
    for provider in providers["providers"]:
        dashboards = (root / provider["options"]["path"].lstrip("/")).glob("*.json")
        uids = {json.loads(file.read_text())["uid"] for file in dashboards}
        assert uids >= {"redis-connections-fleet", "redis-connections-server", "redis-connections-app"}


def test_every_host_that_is_named_is_a_service(services: dict[str, Any]) -> None:
    prometheus = (ROOT / "config/prometheus.yml").read_text()
    mails = (ROOT / "config/compose/alertmanager.yml").read_text()
    named = {
        *re.findall(r"targets: \['([a-z]+):[0-9]+'\]", prometheus),
        *re.findall(r"smtp_smarthost: ([a-z]+):", mails),
        *(target["url"].partition("://")[2] for target in EXPORTER["targets"]),
        *(url.partition("://")[2] for url in services["trouble"]["entrypoint"] if "://" in url),
    }
    assert named == {"alertmanager", "exporter", "mail", "orders", "queue", "sessions"}
    assert named <= services.keys()


@contextlib.contextmanager
def _trouble(urls: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the entry point of the service `trouble`, with URLs of this machine."""
    _, *module = (word for word in COMPOSE["services"]["trouble"]["entrypoint"] if "://" not in word)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *module, *urls], env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_trouble_fills_a_server_and_the_exporter_still_sees_it(
    start_server: StartServer, tmp_path: Path
) -> None:
    options = [*COMPOSE["x-small"]["command"], "--maxclients", str(_MAX_CLIENTS)]
    kinds = {kind.name: kind for kind in KINDS}
    servers = {
        target["name"]: start_server(*options, kind=kinds[f"debian13-{target['url'].partition(':')[0]}"])
        for target in EXPORTER["targets"]
    }
    urls = {name: f"redis://127.0.0.1:{server.port}" for name, server in servers.items()}
    tree = EXPORTER | {"targets": [target | {"url": urls[target["name"]]} for target in EXPORTER["targets"]]}
    log = tmp_path / "trouble.log"
    with running_exporter(tmp_path, tree) as daemon, _trouble(list(urls.values()), log) as trouble:
        scrape = daemon.wait_for({"sessions": "at_limit", "orders": "ok", "queue": "ok"}, within=60)
        assert scrape.get("redis_up", "sessions") == 1
        assert scrape.get("redis_blocked_clients", "queue") == 12
        eventually(lambda: "sessions is full: newcomers get '-ERR max number" in log.read_text())
        servers["orders"].process.terminate()
        assert trouble.wait(15) == 1
        assert "a server went away" in log.read_text()
