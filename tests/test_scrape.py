"""The shipped config/prometheus.yml, with a real Prometheus, an exporter and a server behind it."""

from pathlib import Path

import pytest
import yaml

from tests.conftest import StartServer
from tests.daemon import ROOT, quick, running_exporter, target
from tests.hurry import hurry, write
from tests.prometheus import running_prometheus
from tests.test_rules import other_way
from tests.waiting import eventually

WRITTEN = (ROOT / "config" / "prometheus.yml").read_text()


@pytest.mark.parametrize(
    ("config", "instance"),
    [(WRITTEN, "exporter"), (other_way(WRITTEN), "target")],
    ids=["one scrape for all", "one scrape per server"],
)
def test_either_way_to_scrape_feeds_the_rules(
    config: str, instance: str, start_server: StartServer, tmp_path: Path
) -> None:
    ports = [start_server("--maxclients", "50").port for _ in range(2)]
    targets = [target(f"server-{n}", f"redis://127.0.0.1:{port}") for n, port in enumerate(ports)]
    with running_exporter(tmp_path, quick(*targets)) as daemon:
        write(60, tmp_path / "rules", (ROOT / "alerts").glob("*.yml"))
        tree = yaml.safe_load(hurry(config, 60).replace("exporter:10051", f"127.0.0.1:{daemon.port}"))
        tree["rule_files"] = [str(tmp_path / "rules" / "*.yml")]
        del tree["alerting"]
        with running_prometheus(tmp_path, tree) as prometheus:
            ratio = 'target:redis_connection_utilization_ratio:peak{target="server-1"}'
            assert eventually(lambda: prometheus.value(ratio), 60) == pytest.approx(1 / 50)
            # With a scrape per server the two come at moments of their own.
            assert eventually(lambda: (prometheus.value("count(redis_up)") or 0) >= 2, 30)
            assert prometheus.value("count(redis_up)") == 2, "each series once"
            instances = {each["metric"]["instance"] for each in prometheus.query("up")}
            exporter = {f"127.0.0.1:{daemon.port}"}
            assert instances == (exporter if instance == "exporter" else {"server-0", "server-1"})
            exporter_up = "min(redis_connection:exporter:up)"
            assert eventually(lambda: prometheus.value(exporter_up)) == 1, "the rules know the job"
