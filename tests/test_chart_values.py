"""What may be written into the chart's values, what is refused, and what of it reaches the exporter."""

import copy
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.settings import Sources, load
from exporter.settings.flags import fields_of, leaves, section_of
from exporter.settings.plain import plain_config
from exporter.settings.tree import Rename, Settings, Target
from helm.generate import CHART, ROOT, generated, stale
from helm.schema import BESIDE_CONFIG
from tests.charts.render import EXAMPLES, attempt, exporter_file, refusal, rendered, shards

ORDERS = {"name": "orders", "url": "redis://orders:6379"}
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())

# For every setting another value than its default; `make docs` brings new ones into the chart by itself.
OTHER_SETTINGS: dict[str, Any] = {
    "clients.app.from": ["user", "host"],
    "clients.enabled": False,
    "clients.interval": "1m30s",
    "clients.server_time_budget": 0.0005,
    "clients.stale_after": "10m",
    "clients.top": 100,
    "log.format": "json",
    "log.level": "warn",
    "poll.interval": "1h",
    "poll.timeout": "2s500ms",
    "poll.connect_timeout": "7s",
    "poll.keep_waiting": "90s",
    "web.listen_address": ["0.0.0.0:9999", "[::1]:9999"],
    "web.telemetry_path": "/redis/metrics",
    "web.enable_lifecycle": True,
    "web.allowed_hosts": ["exporter.example", "10.0.0.1"],
}
RENAME = [{"match": r"^a-(\d+): b#", "to": r"a-\1"}, {"match": '"', "to": "'"}]
OTHER_TARGET: dict[str, Any] = {
    "name": "orders: # & a 'quote'",
    "url": "rediss://orders.example:6380",
    "username": "exporter",
    "password_file": "/vault/orders",
    "labels": {"team": "checkout", "tier": "1", "on": "yes"},
    "max_clients": 100_000_000,
    "max_clients_reserved": 10_000_000,
    "tls": {
        "ca_file": "/vault/ca.pem",
        "cert_file": "/vault/cert.pem",
        "key_file": "/vault/key.pem",
        "server_name": "orders.internal",
        "insecure_skip_verify": True,
    },
}


def _tree(by_key: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in by_key.items():
        *groups, last = key.split(".")
        group = tree
        for step in groups:
            group = group.setdefault(step, {})
        group[last] = value
    return tree


def _read_by_the_exporter(text: str, folder: Path) -> Settings:
    file = folder / "exporter.yaml"
    file.write_text(text)
    return load(Sources(file))


def test_what_is_generated_is_up_to_date() -> None:
    assert not stale(), "run `make docs`"
    assert CHART / "values.yaml" in generated()


def test_the_rules_and_dashboards_are_those_of_the_project() -> None:
    for name in ("alerts/alerts.yml", "alerts/recording.yml", "alerts/thresholds.yml"):
        assert (CHART / "files" / "rules" / Path(name).name).read_bytes() == (ROOT / name).read_bytes()
    shipped = {path.name: path.read_bytes() for path in (CHART / "files" / "dashboards").glob("*.json")}
    assert shipped == {path.name: path.read_bytes() for path in ROOT.glob("grafana/dashboards/*.json")}


def test_every_setting_reaches_the_exporter_from_the_values(tmp_path: Path) -> None:
    settable = {leaf.key for leaf in leaves() if leaf.path[0] not in BESIDE_CONFIG}
    assert OTHER_SETTINGS.keys() == settable, "write a value for each setting into OTHER_SETTINGS"
    assert OTHER_TARGET.keys() | {"password"} == fields_of(Target).keys(), "and for each key of a target"
    assert RENAME[0].keys() == fields_of(Rename).keys()
    config = _tree(OTHER_SETTINGS)
    config["clients"]["app"]["rename"] = RENAME
    auth = {"username": "all", "password_file": "/vault/all"}
    expected = tmp_path / "expected.yaml"
    expected.write_text(yaml.safe_dump({**config, "auth": auth, "targets": [OTHER_TARGET]}))

    given = exporter_file(rendered({"config": config, "auth": auth, "targets": [OTHER_TARGET]}))

    assert _read_by_the_exporter(given, tmp_path) == load(Sources(expected))
    for key, value in OTHER_SETTINGS.items():
        default = next(leaf.field.default for leaf in leaves() if leaf.key == key)
        shown = [str(each) for each in default] if isinstance(default, tuple) else default
        assert shown != value, f"{key}: that is the default"


def test_the_defaults_of_the_values_are_those_of_the_exporter(tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text(yaml.safe_dump({"targets": [ORDERS]}))
    given = exporter_file(rendered({"targets": [ORDERS]}))
    assert _read_by_the_exporter(given, tmp_path) == load(Sources(plain))


def test_a_short_interval_alone_is_valid_in_the_values_too(tmp_path: Path) -> None:
    given = exporter_file(rendered({"targets": [ORDERS], "config": {"poll": {"interval": "1s"}}}))
    assert _read_by_the_exporter(given, tmp_path).poll.timeout == pytest.approx(0.9)


def test_no_setting_has_two_places_in_the_values() -> None:
    sections = {key for key, field in fields_of(Settings).items() if section_of(field)}
    assert VALUES["config"].keys() == sections - set(BESIDE_CONFIG)
    for key, value in (("targets", [ORDERS]), ("auth", {"username": "x"}), ("shard", {"count": 2})):
        said = refusal({"targets": [ORDERS], "config": {key: value}})
        assert f"at '/config': additional properties '{key}' not allowed" in said


FLEET = [f"redis-{number}" for number in range(100)]


def _shares(count: int, replicas: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """What each pod of the shards watches, by the pod's name: by the settings, as the exporter reads them."""
    targets = [{"name": name, "url": f"redis://{name}"} for name in FLEET]
    objects = rendered({
        "targets": targets, "shards": count, "replicaCount": replicas, "fullnameOverride": "x",
    })  # fmt: skip
    file = folder / "exporter.yaml"
    file.write_text(exporter_file(objects))
    shares = {}
    for pod, environment in shards(objects).items():
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            shares[pod] = {each.name for each in plain_config(load(Sources(file))).targets}
    return shares


@pytest.mark.parametrize("replicas", [1, 2])
def test_each_replica_of_the_shards_watches_every_target_once(
    replicas: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = _shares(3, replicas, tmp_path, monkeypatch)
    assert list(shares) == [f"x-{number}" for number in range(3 * replicas)]
    assert all(shares.values())
    for first in range(0, 3 * replicas, 3):
        watched = [name for number in range(3) for name in shares[f"x-{first + number}"]]
        assert sorted(watched) == sorted(FLEET)
        assert shares[f"x-{first}"] == shares["x-0"]


@pytest.mark.parametrize("replicas", [1, 2])
def test_one_shard_more_moves_targets_to_itself_only(
    replicas: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = (_shares(count, replicas, tmp_path, monkeypatch) for count in (3, 4))
    for number in range(4 * replicas):
        share = after[f"x-{number}"]
        if number % 4 == 3:
            assert 0 < len(share) < len(FLEET) / 2
        else:
            assert share == before[f"x-{number % 4}"] - after["x-3"]


def _unwatched(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[set[str]]:
    """The targets that nobody watches while each pod is replaced, in a StatefulSet's order, the last first.

    Before that, pods that are too many have gone, and new ones have started.
    """
    running = {pod: before.get(pod, share) for pod, share in after.items()}
    unwatched = []
    for pod in reversed(list(after)):
        if pod in before:
            del running[pod]
            unwatched.append(set(FLEET).difference(*running.values()))
            running[pod] = after[pod]
    return unwatched


@pytest.mark.parametrize("count", [3, 4])
def test_two_replicas_watch_every_target_at_any_time_of_a_rollout_to_as_many_or_more_shards(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = _shares(3, 2, tmp_path, monkeypatch), _shares(count, 2, tmp_path, monkeypatch)
    assert _unwatched(before, after) == [set()] * 6


def test_one_shard_less_leaves_some_targets_unwatched_while_one_pod_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = (_shares(count, 2, tmp_path, monkeypatch) for count in (4, 3))
    unwatched = [targets for targets in _unwatched(before, after) if targets]
    assert unwatched == [before["x-3"] & after["x-3"]]


def test_with_one_replica_the_targets_of_a_pod_wait_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = _shares(3, 1, tmp_path, monkeypatch)
    assert _unwatched(shares, shares) == list(reversed(shares.values()))
    fewer = _shares(2, 1, tmp_path, monkeypatch)
    assert _unwatched(shares, fewer)[-1] == shares["x-0"] | (shares["x-2"] & fewer["x-0"])


def _groups(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _groups(value, (*path, key))


# Kubernetes' structures and free names; `global` belongs to all charts.
_OPEN = re.compile(
    r"global|auth|(strategy|podSecurityContext|securityContext|resources)(/.*)?|\w+Probe(/.*)?|affinity|dnsConfig|service/extraSpec"
    r"|(.*/)?(\w*[lL]abels|\w*[aA]nnotations|nodeSelector|tlsConfig|basicAuth)"
)


def test_a_typo_is_refused_wherever_it_stands() -> None:
    closed = [path for path in _groups(VALUES) if not _OPEN.fullmatch("/".join(path))]
    assert len(closed) > 20
    values: dict[str, Any] = {"targets": [ORDERS | {"tpyo": 1, "tls": {"tpyo": 1}}], "auth": {"tpyo": 1}}
    for path in closed:
        group = values
        for step in path:
            group = group.setdefault(step, {})
        group["tpyo"] = 1
    said = refusal(values)
    for path in (*closed, ("targets", "0"), ("targets", "0", "tls"), ("auth",)):
        assert f"at '{'/'.join(('', *path))}': additional properties 'tpyo' not allowed" in said


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"replicaCount": "2"}, "/replicaCount"),
        ({"replicaCount": -1}, "/replicaCount"),
        ({"shards": 0}, "/shards"),
        ({"image": {"tag": 1.0}}, "/image/tag"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"service": {"port": 100_000}}, "/service/port"),
        ({"jobName": "redis"}, "/jobName"),
        ({"podAnnotations": {"a": True}}, "/podAnnotations/a"),
        ({"targets": {"orders": "redis://orders"}}, "/targets"),
        ({"targets": [{"name": "orders"}]}, "/targets/0"),
        ({"targets": [ORDERS | {"passwordSecret": "orders"}]}, "/targets/0/passwordSecret"),
        ({"targets": [ORDERS | {"passwordSecret": {"key": "x"}}]}, "/targets/0/passwordSecret"),
        ({"targets": [ORDERS | {"labels": {"a": 1}}]}, "/targets/0/labels/a"),
        ({"config": {"poll": {"interval": 5}}}, "/config/poll/interval"),
        ({"config": {"poll": {"interval": "5 s"}}}, "/config/poll/interval"),
        ({"config": {"clients": {"server_time_budget": 2}}}, "/config/clients/server_time_budget"),
        ({"config": {"clients": {"app": {"from": ["pod"]}}}}, "/config/clients/app/from/0"),
        ({"config": {"log": {"level": "loud"}}}, "/config/log/level"),
        ({"prometheusRule": {"thresholds": {"app_share": "half"}}}, "/prometheusRule/thresholds/app_share"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_place(values: dict[str, Any], where: str) -> None:
    assert f"at '{where}'" in refusal({"targets": [ORDERS]} | values)


SECRET = "hunter2-in-clear"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"targets": []}, "targets: no server to watch: write targets: [{name: orders"),
        (
            {"targets": [ORDERS, {"url": "redis://b", "password": SECRET}]},
            "targets[1].password: a password does not belong in values",
        ),
        ({"auth": {"password": SECRET}}, "auth.password: a password does not belong in values"),
        (
            {"targets": [{"url": f"redis://:{SECRET}@orders"}]},
            "targets[0].url: a URL carries no credentials here",
        ),
        (
            {"targets": [ORDERS | {"password_file": "/x", "passwordSecret": {"name": "x"}}]},
            "targets[0]: password_file is given, and a Secret or ConfigMap for it as well",
        ),
        (
            {"targets": [ORDERS | {"tls": {"ca_file": "/x", "caConfigMap": {"name": "x"}}}]},
            "targets[0]: ca_file is given, and a Secret or ConfigMap for it as well",
        ),
        (
            {"targets": [ORDERS | {"tls": {"caSecret": {"name": "x"}, "caConfigMap": {"name": "x"}}}]},
            "targets[0].tls: write caSecret or caConfigMap, not both",
        ),
        *(
            (
                {"config": {"web": {"listen_address": [address, ":1"]}}},
                f"config.web.listen_address: neither probes nor scrapes reach {address}: write [':9999']",
            )
            for address in ("127.0.0.1:9999", "localhost:9999", "[::1]:9999")
        ),
        ({"ingress": {"enabled": True}}, "ingress.hosts: an Ingress needs a host"),
        ({"existingConfig": {"secret": "x"}}, "targets: has no effect beside existingConfig"),
        ({"existingConfig": {"secret": "x", "configMap": "x"}}, "write configMap or secret, not both"),
        (
            {"serviceMonitor": {"enabled": True}, "scrapeConfig": {"enabled": True}},
            "serviceMonitor and scrapeConfig are enabled",
        ),
        (
            {"scrapeConfig": {"enabled": True}, "replicaCount": 2},
            "scrapeConfig: it would reach one of the replicas or the other, and mix their counters: write",
        ),
        (
            {
                "targets": [],
                "existingConfig": {"secret": "x"},
                "networkPolicy": {"enabled": True},
            },
            "networkPolicy.egress.ports: with existingConfig the chart does not know the servers' ports",
        ),
        (
            {"prometheusRule": {"enabled": True, "disabled": ["RedisConnectionsLeakin"]}},
            "there is no alert RedisConnectionsLeakin: write one of RedisConnectionTargetDown, ",
        ),
    ],
)
def test_a_value_without_sense_is_refused_with_what_to_write(values: dict[str, Any], said: str) -> None:
    heard = refusal({"targets": [ORDERS]} | values)
    assert said in heard
    assert SECRET not in heard


def _explained() -> set[str]:
    return set(re.findall(r"(?m)^\| `([\w.]+)` \|", (CHART / "README.md").read_text()))


def _without(values: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """A copy without a key; None where it has no such key."""
    *groups, last = key.split(".")
    inner = whole = copy.deepcopy(dict(values))
    for step in groups:
        inner = inner.get(step, {})
    return whole if inner.pop(last, None) is not None else None


def test_some_example_shows_that_a_value_has_an_effect(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    for dashboard in (chart / "files" / "dashboards").iterdir():
        dashboard.write_text('{"uid": "small"}')  # the real ones are half of the time
    told_together = ("podMonitor", "scrapeConfig")
    keys = _explained().difference(told_together)
    keys |= {f"{monitor}.{key}" for monitor in told_together for key in VALUES["serviceMonitor"]}

    def outcome(values: Mapping[str, Any]) -> str:
        return attempt(values, chart=chart).stdout

    examples = [yaml.safe_load(example.read_text()) for example in EXAMPLES]
    whole = [outcome(example) for example in examples]
    assert all(whole)

    def matters(key: str) -> bool:
        rests = ((_without(example, key), text) for example, text in zip(examples, whole, strict=True))
        return any(rest is not None and outcome(rest) != text for rest, text in rests)

    with ThreadPoolExecutor(2) as pool:
        assert not [key for key, does in zip(keys, pool.map(matters, keys), strict=True) if not does]


def test_every_key_of_the_values_is_explained() -> None:
    explained = _explained()

    def unexplained(tree: Mapping[str, Any], path: str) -> Iterator[str]:
        for key, value in tree.items():
            here = f"{path}.{key}".lstrip(".")
            if here in explained:
                continue
            if isinstance(value, dict) and value:
                yield from unexplained(value, here)
            else:
                yield here

    assert not list(unexplained(VALUES, ""))
    assert len(explained) > 100
