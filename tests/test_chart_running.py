"""The exporter as the chart runs it: the rendered file, mounted Secrets, probes, test pod, Prometheus."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from helm.generate import CHART
from tests.charts.render import Tree, container, exporter_file, pods, rendered, rendered_example, the
from tests.conftest import StartServer
from tests.daemon import Daemon, run_cli, running_exporter, target
from tests.prometheus import running_prometheus
from tests.waiting import eventually

ORDERS = {"name": "orders", "url": "redis://orders:6379"}
QUICK = {"poll": {"interval": "1s", "timeout": "900ms"}}
SECRETS = {"orders-redis": {"exporter": "correct horse"}}


@pytest.fixture
def exporter(start_server: StartServer, tmp_path: Path) -> Iterator[Daemon]:
    """The exporter with what the chart renders, one real server and three that cannot be had."""
    server = start_server("--requirepass", SECRETS["orders-redis"]["exporter"])
    targets = [
        target(
            "orders",
            f"redis://127.0.0.1:{server.port}",
            passwordSecret={"name": "orders-redis", "key": "exporter"},
        ),
        target("gone", "redis://127.0.0.1:1"),
        target("locked", f"redis://localhost:{server.port}", passwordSecret={"name": "missing"}),
        target("sealed", "rediss://127.0.0.1:2", tls={"caSecret": {"name": "missing"}}),
    ]
    objects = rendered({"targets": targets, "config": QUICK})
    (pod,) = pods(objects)
    (mount,) = (each for each in container(pod)["volumeMounts"] if each["name"] == "files")
    _mount(next(each for each in pod["spec"]["volumes"] if each["name"] == "files"), tmp_path / "files")
    file = exporter_file(objects).replace(mount["mountPath"], str(tmp_path / "files"))
    with running_exporter(tmp_path, yaml.safe_load(file)) as running:
        yield running


def _mount(volume: Tree, folder: Path) -> None:
    """Lay out a projected volume as the kubelet does; what is optional may be missing."""
    for source in volume["projected"]["sources"]:
        secret = source["secret"]
        for item in secret["items"]:
            held = SECRETS.get(secret["name"], {}).get(item["key"])
            assert held or secret["optional"]
            if held:
                path = folder / item["path"]
                path.parent.mkdir(parents=True)
                path.write_text(held)


def test_a_password_comes_out_of_its_secret_and_a_missing_secret_costs_its_own_target_only(
    exporter: Daemon,
) -> None:
    exporter.wait_for({"orders": "ok", "gone": "refused", "locked": "auth", "sealed": "tls"})


def test_the_probes_and_the_test_pod_ask_what_the_exporter_answers(exporter: Daemon) -> None:
    objects = rendered_example(CHART / "ci" / "typical-values.yaml")
    (pod,) = pods(objects)
    probes = [container(pod)[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")]
    (endpoint,) = the(objects, "ServiceMonitor")["spec"]["endpoints"]
    for path in (*probes, endpoint["path"]):
        eventually(lambda path=path: exporter.ask(path).status == 200)  # type: ignore[misc]
    command, address = container(the(objects, "Pod"))["args"]
    flag, _, place = address.partition("=")
    assert place == "shop-redis-connection-exporter.monitoring.svc:10051"
    checked = run_cli(command, f"{flag}=localhost:{exporter.port}")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_real_prometheus_scrapes_each_target_as_the_scrapeconfig_says(
    exporter: Daemon, tmp_path: Path
) -> None:
    values = {"targets": [ORDERS], "scrapeConfig": {"enabled": True, "interval": "1s", "scrapeTimeout": "1s"}}
    spec = the(rendered(values), "ScrapeConfig")["spec"]
    here = f"127.0.0.1:{exporter.port}"
    with running_prometheus(
        tmp_path, {"scrape_configs": [_as_the_operator_writes_it(spec, here)]}
    ) as prometheus:
        everybody = {"orders", "gone", "locked", "sealed"}
        eventually(
            lambda: {each["metric"]["instance"] for each in prometheus.query("up == 1")} == everybody, 30
        )
        for name, up in (("orders", 1.0), ("gone", 0.0)):
            series = f'redis_up{{job="redis-connections", instance="{name}", target="{name}"}}'
            eventually(lambda series=series, up=up: prometheus.value(series) == up, 30)  # type: ignore[misc]


def _as_the_operator_writes_it(spec: Tree, address: str) -> Tree:
    """A scrape of Prometheus's own configuration; Services are reached at `address`."""
    (discovery,) = spec["httpSDConfigs"]
    url = re.sub(
        r"//shop-redis-connection-exporter\.monitoring\.svc:10051/", f"//{address}/", discovery["url"]
    )
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {
        "job_name": spec["jobName"],
        "metrics_path": spec["metricsPath"],
        "scheme": spec["scheme"],
        "scrape_interval": spec["scrapeInterval"],
        "scrape_timeout": spec["scrapeTimeout"],
        "http_sd_configs": [{"url": url, "refresh_interval": "1s"}],
        "relabel_configs": [
            {names.get(key, key): value for key, value in rule.items()} for rule in spec["relabelings"]
        ],
    }
