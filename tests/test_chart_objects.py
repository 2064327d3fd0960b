"""What the chart makes of its values: objects that Kubernetes takes, and that fit together."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from helm.generate import CHART
from tests.charts.render import (
    EXAMPLES,
    NAMESPACE,
    NEWEST_KUBERNETES,
    OLDEST_KUBERNETES,
    RELEASE,
    container,
    exporter_file,
    helm,
    of_kind,
    pods,
    rendered,
    rendered_example,
    selects,
    shards,
    template,
    the,
)
from tests.charts.schemas import faults
from tests.daemon import run_cli

ORDERS = {"name": "orders", "url": "redis://orders:6379"}
FILES = "/run/redis-connection-exporter/"

every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


@every_example
def test_helm_finds_no_fault(example: Path) -> None:
    done = helm("lint", "--strict", str(CHART), f"--kube-version={NEWEST_KUBERNETES}", f"--values={example}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_finds_no_fault_in_the_chart_by_itself() -> None:
    done = helm("lint", "--strict", str(CHART), f"--kube-version={NEWEST_KUBERNETES}")
    assert done.returncode == 0, done.stdout + done.stderr


@every_example
@pytest.mark.parametrize("kubernetes", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])
def test_every_object_fits_its_published_schema(example: Path, kubernetes: str) -> None:
    objects = rendered_example(example, kubernetes)
    found = {f"{each['kind']} {each['metadata']['name']}": faults(each, kubernetes) for each in objects}
    assert not {name: each for name, each in found.items() if each}
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names)) > 3


def test_the_examples_cover_every_kind_of_object() -> None:
    kinds = {each["kind"] for example in EXAMPLES for each in rendered_example(example)}
    assert kinds >= {
        "ConfigMap", "Deployment", "Ingress", "NetworkPolicy", "Pod", "PodDisruptionBudget", "PodMonitor",
        "PrometheusRule", "ScrapeConfig", "Service", "ServiceAccount", "ServiceMonitor", "StatefulSet",
    }  # fmt: skip


def test_the_schemas_refuse_what_kubernetes_would_drop() -> None:
    objects = rendered_example(CHART / "ci" / "everything-values.yaml")
    for kind, fields in (
        ("Deployment", ("spec", "template", "spec")),
        ("ServiceMonitor", ("spec", "endpoints", 0)),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0)),
    ):
        broken = yaml.safe_load(yaml.safe_dump(the(objects, kind)))
        inner = broken
        for field in fields:
            inner = inner[field]
        inner["tpyo"] = 1
        assert "tpyo" in "".join(faults(broken, NEWEST_KUBERNETES))


def test_the_example_of_the_readme_works() -> None:
    (shown,) = re.findall(r"(?s)<<'END'\n(.*?)END\n", (CHART / "README.md").read_text())
    objects = rendered(yaml.safe_load(shown))
    assert not [fault for each in objects for fault in faults(each, NEWEST_KUBERNETES)]
    assert {"Deployment", "ServiceMonitor", "PrometheusRule"} <= {each["kind"] for each in objects}


def test_kubernetes_that_is_too_old_is_refused_by_its_version() -> None:
    done = template(EXAMPLES[0], kubernetes="1.26.0")
    assert "chart requires kubeVersion: >=1.27.0-0" in done.stderr


@every_example
def test_the_exporter_takes_its_file(example: Path, tmp_path: Path) -> None:
    objects = rendered_example(example)
    if "existingConfig" in yaml.safe_load(example.read_text()):
        assert not of_kind(objects, "ConfigMap")
        return
    file = tmp_path / "exporter.yaml"
    file.write_text(exporter_file(objects))
    checked = run_cli("check-config", str(file))
    assert (checked.returncode, checked.stderr) == (0, "")


@every_example
def test_the_pods_are_restricted(example: Path) -> None:
    """The profile "restricted" of the Pod Security Standards, for what the chart itself puts into a pod."""
    objects = rendered_example(example)
    for pod in (*pods(objects), the(objects, "Pod")):
        spec, inner = pod["spec"], container(pod)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert inner["securityContext"]["allowPrivilegeEscalation"] is False
        assert inner["securityContext"]["readOnlyRootFilesystem"] is True
        assert inner["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert spec["enableServiceLinks"] is False
        for volume in spec.get("volumes", ()):
            if volume["name"] in ("config", "files"):
                assert volume.keys() <= {"name", "configMap", "secret", "projected"}
        assert spec["automountServiceAccountToken"] is (
            "everything" in example.name and pod.get("kind") != "Pod"
        )


@every_example
def test_the_test_pod_starts_where_and_as_the_exporter_does(example: Path) -> None:
    objects = rendered_example(example)
    test_pod = the(objects, "Pod")
    for pod in pods(objects):
        for key in ("imagePullSecrets", "nodeSelector", "securityContext", "tolerations"):
            assert test_pod["spec"].get(key) == pod["spec"].get(key)
        for key in ("image", "imagePullPolicy", "resources", "securityContext"):
            assert container(test_pod)[key] == container(pod)[key]


@every_example
def test_every_file_that_the_exporter_reads_is_mounted(example: Path) -> None:
    objects = rendered_example(example)
    if not of_kind(objects, "ConfigMap"):
        return
    config = yaml.safe_load(exporter_file(objects))
    named = {
        value
        for holder in (config.get("auth", {}), *config["targets"])
        for section in (holder, holder.get("tls", {}))
        for key, value in section.items()
        if key.endswith("_file")
    }
    for pod in pods(objects):
        mounts = {each["mountPath"] for each in container(pod)["volumeMounts"]}
        (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == "files"] or [None]
        sources = volume["projected"]["sources"] if volume else []
        assert not volume or volume["projected"]["defaultMode"] & 0o004, "the image's user cannot read it"
        provided = {
            FILES + item["path"] for source in sources for each in source.values() for item in each["items"]
        }
        assert {path for path in named if path.startswith(FILES)} == provided
        assert all(any(path.startswith(f"{mount}/") for mount in mounts) for path in named)
        assert all(each["optional"] for source in sources for each in source.values())
        # A path may stand in a volume once.
        assert len(provided) == sum(len(each["items"]) for source in sources for each in source.values())


@every_example
def test_the_exporter_is_told_where_its_file_is_mounted(example: Path) -> None:
    for pod in pods(rendered_example(example)):
        (mount,) = (each for each in container(pod)["volumeMounts"] if each["name"] == "config")
        assert container(pod)["args"][0] == f"--config.file={mount['mountPath']}/exporter.yaml"


def test_a_password_comes_from_its_secret_as_a_file() -> None:
    objects = rendered(
        {
            "targets": [
                ORDERS | {"username": "watcher", "passwordSecret": {"name": "orders-redis"}},
                {
                    "url": "rediss://b",
                    "passwordSecret": {"name": "orders-redis", "key": "b"},
                    "tls": {"caConfigMap": {"name": "orders-redis"}, "certSecret": {"name": "b-tls"}},
                },
            ]
        }
    )
    first, second = yaml.safe_load(exporter_file(objects))["targets"]
    assert first["password_file"] == f"{FILES}secret/orders-redis/password"
    assert second["password_file"] == f"{FILES}secret/orders-redis/b"
    assert second["tls"] == {
        "ca_file": f"{FILES}configMap/orders-redis/ca.crt",
        "cert_file": f"{FILES}secret/b-tls/tls.crt",
        "key_file": f"{FILES}secret/b-tls/tls.key",
    }


@pytest.mark.parametrize(
    "example", [path for path in EXAMPLES if "existing" not in path.stem], ids=lambda path: path.stem
)
def test_selectors_find_what_they_mean_and_nothing_else(example: Path) -> None:
    objects = rendered_example(example)
    workloads = [*of_kind(objects, "Deployment"), *of_kind(objects, "StatefulSet")]
    for each in workloads:
        selector = each["spec"]["selector"]["matchLabels"]
        assert [other for other in workloads if selects(selector, other["spec"]["template"])] == [each]
    services = of_kind(objects, "Service")
    wide = [each["spec"]["selector"] for each in services]
    wide += [each["spec"]["selector"]["matchLabels"] for each in of_kind(objects, "PodDisruptionBudget")]
    wide += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind(objects, "NetworkPolicy")]
    wide += [each["spec"]["selector"]["matchLabels"] for each in of_kind(objects, "PodMonitor")]
    test_pod = the(objects, "Pod")
    for selector in wide:
        assert all(selects(selector, pod) for pod in pods(objects))
        assert not selects(selector, test_pod)
    for monitor in of_kind(objects, "ServiceMonitor"):
        assert selects(monitor["spec"]["selector"]["matchLabels"], services[0])
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}


def test_shards_are_the_pods_of_one_statefulset_and_so_are_their_replicas() -> None:
    name = f"{RELEASE}-redis-connection-exporter"
    for replicas in (1, 2):
        objects = rendered({"targets": [ORDERS], "shards": 3, "replicaCount": replicas})
        assert not of_kind(objects, "Deployment")
        headless = of_kind(objects, "Service")[1]
        assert headless["spec"]["clusterIP"] == "None"
        assert headless["spec"]["publishNotReadyAddresses"] is True
        workload = the(objects, "StatefulSet")
        assert workload["metadata"]["name"] == name
        spec = workload["spec"]
        assert (spec["replicas"], spec["podManagementPolicy"]) == (3 * replicas, "Parallel")
        assert spec["serviceName"] == headless["metadata"]["name"]
    alone = rendered({"targets": [ORDERS], "replicaCount": 2})
    assert the(alone, "Deployment")["spec"]["replicas"] == 2
    assert not of_kind(alone, "StatefulSet")
    assert the(alone, "Service")["metadata"]["name"] == name


def test_a_pod_of_a_statefulset_is_that_of_the_deployment_but_for_its_shard() -> None:
    (alone,), (shard,) = (pods(rendered({"targets": [ORDERS], "shards": count})) for count in (1, 2))
    told = {each["name"] for each in container(shard).pop("env")}
    assert told == {"EXPORTER_SHARD__INDEX", "EXPORTER_SHARD__COUNT"}
    assert shard == alone


def test_a_servicemonitor_finds_each_pod_once() -> None:
    objects = rendered({"targets": [ORDERS], "shards": 2, "serviceMonitor": {"enabled": True}})
    selector = the(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    services = of_kind(objects, "Service")
    assert [selects(selector, each) for each in services] == [True, False]


@pytest.mark.parametrize("count", [1, 3])
def test_the_pods_are_spread_and_evicted_one_at_a_time(count: int) -> None:
    objects = rendered({"targets": [ORDERS], "shards": count, "podDisruptionBudget": {"enabled": True}})
    (pod,) = pods(objects)
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert selects(spread["labelSelector"]["matchLabels"], pod)
    budget = the(objects, "PodDisruptionBudget")["spec"]
    assert selects(budget["selector"]["matchLabels"], pod)
    assert budget["maxUnavailable"] == 1


def _checksums(**values: Any) -> list[str]:
    objects = rendered({"targets": [ORDERS]} | values)
    return [pod["metadata"]["annotations"]["checksum/config"] for pod in pods(objects)]


def test_a_changed_configuration_replaces_the_pods_and_nothing_else_does() -> None:
    (before,) = _checksums()
    assert _checksums(image={"tag": "1"}) == [before]
    assert _checksums(commonLabels={"a": "b"}) == [before]
    assert _checksums(config={"poll": {"interval": "6s"}}) != [before]
    assert _checksums(targets=[ORDERS | {"labels": {"team": "a"}}]) != [before]


def test_recreating_takes_no_default_of_rolling() -> None:
    objects = rendered({"targets": [ORDERS], "strategy": {"type": "Recreate"}})
    assert the(objects, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_port_and_a_path_of_the_metrics_page_are_told_once() -> None:
    objects = rendered_example(CHART / "ci" / "existing-config-values.yaml")
    (pod,) = pods(objects)
    assert container(pod)["ports"] == [{"name": "http", "containerPort": 9999, "protocol": "TCP"}]
    assert pod["spec"]["volumes"] == [{"name": "config", "secret": {"secretName": "my-exporter-config"}}]
    assert the(objects, "Service")["spec"]["ports"][0]["targetPort"] == "http"
    (endpoint,) = the(objects, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/redis/metrics")


def test_a_headless_service_leads_to_the_port_of_the_pods(tmp_path: Path) -> None:
    values = {
        "targets": [ORDERS],
        "config": {"web": {"listen_address": [":9999"]}},
        "service": {"clusterIP": "None", "port": 80},
        "scrapeConfig": {"enabled": True},
    }
    objects = rendered(values)
    assert the(objects, "Service")["spec"]["ports"][0]["port"] == 9999
    assert container(the(objects, "Pod"))["args"][1].endswith(".svc:9999")
    (scraped,) = the(objects, "ScrapeConfig")["spec"]["httpSDConfigs"]
    assert scraped["url"].endswith(".svc:9999/sd")
    example = tmp_path / "values.yaml"
    example.write_text(yaml.safe_dump(values))
    assert "10051:9999\n" in _notes(example, tmp_path)


def test_more_of_the_services_spec_wins() -> None:
    extra = {"loadBalancerClass": "internal", "ipFamilyPolicy": "SingleStack"}
    service = {"type": "LoadBalancer", "ipFamilyPolicy": "PreferDualStack", "extraSpec": extra}
    plain, _ = of_kind(objects := rendered({"targets": [ORDERS], "shards": 2, "service": service}), "Service")
    assert plain["spec"].items() >= (extra | {"type": "LoadBalancer"}).items()
    assert not [fault for each in objects for fault in faults(each, NEWEST_KUBERNETES)]


def test_labels_of_the_users_win_unless_a_selector_needs_them() -> None:
    theirs = {
        f"app.kubernetes.io/{name}": "theirs"
        for name in ("name", "instance", "component", "part-of", "version")
    }
    objects = rendered({"targets": [ORDERS], "commonLabels": theirs, "podLabels": {"a": "pod"} | theirs})
    (pod,) = pods(objects)
    for each in (pod, the(objects, "Pod"), the(objects, "Service")):
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == labels["app.kubernetes.io/version"] == "theirs"
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/component"] in ("exporter", "test")
    assert pod["metadata"]["labels"]["a"] == "pod"


def test_the_network_policy_opens_the_ports_of_the_targets() -> None:
    targets = [
        ORDERS,
        {"url": "redis://plain"},
        {"url": "valkeys://[fd00::1:7]:6390/0"},
        {"url": "rediss://[fd00::1:7]"},
        {"url": "redis://b:6390"},
        {"url": "unix:///run/redis:77"},
    ]
    policy = the(rendered({"targets": targets, "networkPolicy": {"enabled": True}}), "NetworkPolicy")
    names, servers = policy["spec"]["egress"]
    assert [port["port"] for port in servers["ports"]] == [6379, 6390]
    assert {(port["port"], port["protocol"]) for port in names["ports"]} == {
        (port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")
    }
    assert policy["spec"]["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


def test_the_network_policy_lets_the_test_pod_in_beside_those_who_may() -> None:
    objects = rendered_example(CHART / "ci" / "everything-values.yaml")
    theirs, own = the(objects, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert "namespaceSelector" in theirs
    assert selects(own["podSelector"]["matchLabels"], the(objects, "Pod"))
    assert not any(selects(own["podSelector"]["matchLabels"], pod) for pod in pods(objects))


def test_a_long_name_leaves_room_for_what_is_appended() -> None:
    values = {
        "targets": [ORDERS],
        "shards": 1000,
        "replicaCount": 10,
        "fullnameOverride": "x" * 63,
    }
    for each in (objects := rendered(values)):
        # A label of its pods is the StatefulSet's name and 11 characters.
        assert len(each["metadata"]["name"]) <= (52 if each["kind"] == "StatefulSet" else 63)
    assert all(len(name) <= 63 for name in shards(objects))


def test_the_chart_can_be_a_part_of_another(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / CHART.name)
    part = {"name": CHART.name, "version": "*", "condition": f"{CHART.name}.enabled"}
    whole = {"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": [part]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(whole))
    ours = {"targets": [ORDERS], "enabled": True}
    values = {CHART.name: ours, "global": {"imageRegistry": "m.example", "ours": {"a": 1}}}
    assert not rendered({CHART.name: ours | {"enabled": False}}, chart=tmp_path)
    objects = rendered(values, chart=tmp_path)
    (pod,) = pods(objects)
    assert container(pod)["image"] == f"m.example/redis-connection-exporter:{__version__}"
    assert the(objects, "Service")["metadata"]["name"] == f"{RELEASE}-redis-connection-exporter"


def test_an_image_is_named_by_registry_tag_or_digest() -> None:
    def image(**values: Any) -> str:
        (pod,) = pods(rendered({"targets": [ORDERS]} | values))
        named: str = container(pod)["image"]
        return named

    assert image() == f"redis-connection-exporter:{__version__}"
    assert image(image={"registry": "a.example", "tag": "2"}) == "a.example/redis-connection-exporter:2"
    mirrored = image(**{"global": {"imageRegistry": "m.example"}, "image": {"registry": "a.example"}})
    assert mirrored == f"m.example/redis-connection-exporter:{__version__}"


def test_the_version_of_the_image_is_the_exporters() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


def _notes(example: Path, folder: Path) -> str:
    """What `helm install` would say: without a cluster helm prints it only as a part of an object."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "notes.txt")
    (chart / "templates" / "notes.yaml").write_text(
        "apiVersion: v1\nkind: Notes\nmetadata: {name: x}\n"
        'text: {{ tpl (.Files.Get "notes.txt") . | quote }}\n'
    )
    done = template(example, chart=chart)
    assert done.returncode == 0, done.stderr
    text: str = the([each for each in yaml.safe_load_all(done.stdout) if each], "Notes")["text"]
    return text


@every_example
def test_the_notes_say_what_to_do_next(example: Path, tmp_path: Path) -> None:
    notes = _notes(example, tmp_path)
    service = of_kind(rendered_example(example), "Service")[0]["metadata"]["name"]
    assert f"helm test {RELEASE} --namespace {NAMESPACE}" in notes
    assert f"port-forward service/{service}" in notes
    assert "ACL SETUSER exporter on >PASSWORD -@all +info +client|list" in notes
    assert ("prometheusRule.enabled: true" in notes) is not bool(
        of_kind(rendered_example(example), "PrometheusRule")
    )


def test_the_notes_of_a_plain_prometheus_are_a_scrape_configuration(tmp_path: Path) -> None:
    notes = _notes(CHART / "ci" / "default-values.yaml", tmp_path)
    (start,) = (number for number, line in enumerate(notes.splitlines()) if "job_name" in line)
    lines = [line for line in notes.splitlines()[start:] if line.startswith("     ")]
    (scrape,) = yaml.safe_load("\n".join(lines))
    assert scrape["job_name"] == "redis-connections"
    (keep,) = (each for each in scrape["relabel_configs"] if each.get("action") == "keep")
    labels = pods(rendered_example(CHART / "ci" / "default-values.yaml"))[0]["metadata"]["labels"]
    seen = (labels["app.kubernetes.io/instance"], labels["app.kubernetes.io/component"], "http")
    assert keep["regex"] == ";".join(seen)


def test_the_package_holds_what_is_needed(tmp_path: Path) -> None:
    done = helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tgz")
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(archive, unpacked, filter="data")
    chart = unpacked / CHART.name
    assert {path.name for path in (chart / "files" / "rules").iterdir()} == {
        "alerts.yml", "recording.yml", "thresholds.yml",
    }  # fmt: skip
    assert not (chart / "ci").exists()
    assert template(EXAMPLES[0], chart=chart).returncode == 0
