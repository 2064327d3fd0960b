"""The exporter as the chart runs it: the rendered file, mounted Secrets, probes, test pod, Prometheus."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from helm.generate import CHART
from tests.charts.render import (
    NAMESPACE,
    Tree,
    container,
    exporter_file,
    of_kind,
    pods,
    rendered,
    rendered_example,
    shards,
    the,
)
from tests.conftest import StartServer
from tests.daemon import Daemon, run_cli, running_exporter, target
from tests.prometheus import Prometheus, running_prometheus
from tests.waiting import eventually

ORDERS = {"name": "orders", "url": "redis://orders:6379"}
QUICK = {"poll": {"interval": "1s", "timeout": "900ms"}}
SCRAPE = {"enabled": True, "interval": "1s", "scrapeTimeout": "1s"}
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
    test_pod = the(objects, "Pod")
    assert test_pod["spec"]["restartPolicy"] == "OnFailure", "it would fail before the exporter is ready"
    command, address = container(test_pod)["args"]
    flag, _, place = address.partition("=")
    assert place == "shop-redis-connection-exporter.monitoring.svc:10051"
    checked = run_cli(command, f"{flag}=localhost:{exporter.port}")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_real_prometheus_scrapes_each_target_as_the_scrapeconfig_says(
    exporter: Daemon, tmp_path: Path
) -> None:
    objects = rendered({"targets": [ORDERS], "scrapeConfig": SCRAPE})
    service = f"{the(objects, 'Service')['metadata']['name']}.{NAMESPACE}.svc:10051"
    with _prometheus(objects, {service: exporter}, tmp_path) as prometheus:
        everybody = {"orders", "gone", "locked", "sealed"}
        eventually(
            lambda: {each["metric"]["instance"] for each in prometheus.query("up == 1")} == everybody, 30
        )
        for name, up in (("orders", 1.0), ("gone", 0.0)):
            series = f'redis_up{{job="redis-connections", instance="{name}", target="{name}"}}'
            eventually(lambda series=series, up=up: prometheus.value(series) == up, 30)  # type: ignore[misc]


def test_a_real_prometheus_asks_each_target_of_its_own_shards(tmp_path: Path) -> None:
    targets = [target(f"redis-{number}", f"redis://127.0.0.1:{number}") for number in range(1, 7)]
    objects = rendered(
        {"targets": targets, "shards": 2, "replicaCount": 2, "scrapeConfig": SCRAPE, "config": QUICK}
    )
    headless = of_kind(objects, "Service")[1]["metadata"]["name"]
    with contextlib.ExitStack() as stack:
        exporters = {}
        for pod, environment in shards(objects).items():
            (folder := tmp_path / pod).mkdir()
            tree = yaml.safe_load(exporter_file(objects))
            running = running_exporter(folder, tree, **environment)  # type: ignore[arg-type]
            exporters[pod] = stack.enter_context(running)
        wanted = {(name, pod) for pod, exporter in exporters.items() for name in exporter.states()}
        assert len(wanted) == 2 * len(targets)
        hosts = {f"{pod}.{headless}.{NAMESPACE}.svc:10051": each for pod, each in exporters.items()}
        prometheus = stack.enter_context(_prometheus(objects, hosts, tmp_path))

        def scraped() -> set[tuple[str, str]]:
            found = prometheus.query("redis_up and on (instance, pod) up == 1")
            return {(each["metric"]["target"], each["metric"]["pod"]) for each in found}

        eventually(lambda: scraped() == wanted, 30)
        assert not prometheus.query("up == 0")


@contextlib.contextmanager
def _prometheus(objects: list[Tree], hosts: dict[str, Daemon], folder: Path) -> Iterator[Prometheus]:
    """Prometheus with the ScrapeConfig; the names of the cluster lead to the exporters through a proxy."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            answer = hosts[url.netloc].ask(f"{url.path}?{url.query}")
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["content-type"])
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            job = _as_the_operator_writes_it(
                the(objects, "ScrapeConfig")["spec"], f"http://127.0.0.1:{proxy.server_port}"
            )
            with running_prometheus(folder, {"scrape_configs": [job]}) as prometheus:
                yield prometheus
        finally:
            proxy.shutdown()
            thread.join()


def _as_the_operator_writes_it(spec: Tree, proxy: str) -> Tree:
    """A scrape of Prometheus's own configuration."""
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {
        "job_name": spec["jobName"],
        "metrics_path": spec["metricsPath"],
        "scheme": spec["scheme"],
        "scrape_interval": spec["scrapeInterval"],
        "scrape_timeout": spec["scrapeTimeout"],
        "proxy_url": proxy,
        "http_sd_configs": [
            each | {"refresh_interval": "1s", "proxy_url": proxy} for each in spec["httpSDConfigs"]
        ],
        "relabel_configs": [
            {names.get(key, key): value for key, value in rule.items()} for rule in spec["relabelings"]
        ],
    }
