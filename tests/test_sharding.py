"""Several exporters share the targets: each is watched by exactly one of them."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import ConfigError, Shard
from exporter.settings import Sources, load
from exporter.settings.plain import plain_config
from tests.conftest import StartServer
from tests.daemon import ROOT, Daemon, quick, running_exporter, target
from tests.prometheus import running_prometheus
from tests.waiting import eventually

HOSTS = ("127.0.0.1", "localhost")  # one server twice: no two targets may share a URL
FLEET = [f"redis-{number}.example:6379" for number in range(1000)]


def _owner(name: str, count: int) -> int:
    (owner,) = (index for index in range(count) if Shard(index, count).owns(name))
    return owner


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 20))
def test_every_target_has_one_owner_and_another_shard_takes_targets_only_for_itself(
    name: str, count: int
) -> None:
    assert _owner(name, count + 1) in (_owner(name, count), count)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_shards_are_about_equally_large(count: int) -> None:
    sizes = Counter(_owner(name, count) for name in FLEET)
    mean = len(FLEET) / count
    assert all(0.8 * mean < sizes[index] < 1.2 * mean for index in range(count)), sizes


def test_no_release_moves_a_target_to_another_shard() -> None:
    names = ("orders", "queue", "sessions", "10.0.0.1:6379", "/run/redis.sock", "größe")
    assert [_owner(name, 5) for name in names] == [3, 3, 2, 0, 3, 1]


def test_the_daemon_gets_the_targets_of_its_shard_only() -> None:
    urls = tuple(f"redis://{name}" for name in FLEET[:10])
    shares = [
        plain_config(load(Sources(urls=urls, flags={"shard": {"index": index, "count": "3"}}))).targets
        for index in ("0", "1", "2")
    ]
    assert sorted(each.name for share in shares for each in share) == sorted(FLEET[:10])
    assert all(shares)


@pytest.mark.parametrize(
    ("index", "number"),
    [("2", 2), ("exporter-2", 2), ("a-1-b-0", 0), ("exporter-3", 0), ("exporter-5", 2), ("exporter-10", 1)],
)
def test_the_index_can_be_the_name_of_a_pod_whose_number_begins_anew_at_the_count(
    index: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPORTER_SHARD__INDEX", index)
    monkeypatch.setenv("EXPORTER_SHARD__COUNT", "3")
    assert plain_config(load(Sources(urls=("redis://a",)))).shard == Shard(number, 3)


@pytest.mark.parametrize(
    ("index", "count", "fault"),
    [
        ("3", "3", "EXPORTER_SHARD: there is no shard 3 of 3: shards are counted from 0"),
        ("-1", "2", "EXPORTER_SHARD__INDEX: not the number of a shard: write 0, or the name of a pod"),
        ("exporter-x7k2p", "2", "not the number of a shard"),
        ("0", "0", "EXPORTER_SHARD__COUNT: write a number greater than or equal to 1"),
        ("exporter-5", "0", "EXPORTER_SHARD__COUNT: write a number greater than or equal to 1"),
        ("0", "1001", "write a number less than or equal to 1000"),
    ],
)
def test_a_shard_that_cannot_be_is_answered_with_what_to_write_instead(
    index: str, count: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPORTER_SHARD__INDEX", index)
    monkeypatch.setenv("EXPORTER_SHARD__COUNT", count)
    with pytest.raises(ConfigError) as caught:
        load(Sources(urls=("redis://a",)))
    assert len(caught.value.faults) == 1
    assert fault in str(caught.value)


@pytest.fixture
def shards(start_server: StartServer, tmp_path: Path) -> Iterator[dict[str, Daemon]]:
    """Two shards with one file, by the name of the one target that falls to each."""
    port = start_server().port
    names = [next(name for name in FLEET if _owner(name, 2) == index) for index in (0, 1)]
    targets = (target(name, f"redis://{host}:{port}") for name, host in zip(names, HOSTS, strict=True))
    tree = quick(*targets, shard={"count": 2})
    with contextlib.ExitStack() as stack:
        running = {}
        for index, name in enumerate(names):
            folder = tmp_path / str(index)
            folder.mkdir()
            shard = running_exporter(folder, tree, EXPORTER_SHARD__INDEX=f"exporter-{index}")
            running[name] = stack.enter_context(shard)
        yield running


def test_each_shard_watches_its_own_targets_only(shards: dict[str, Daemon]) -> None:
    for index, (name, shard) in enumerate(shards.items()):
        shard.wait_for({name: "ok"})
        assert shard.states() == {name: "ok"}
        assert f"Shard {index} of 2, counted from 0." in shard.ask("/").text
        assert shard.scrape().get("redis_connection_exporter_targets") == 1
        assert [shard.ask(f"/probe?target={each}").status for each in shards if each != name] == [404]


def test_prometheus_asks_each_target_of_its_shard_by_the_scrape_of_the_documents(
    shards: dict[str, Daemon], tmp_path: Path
) -> None:
    """Two addresses of each shard stand for its two exporters."""
    text = (ROOT / "docs/deploy.md").read_text().partition("\n## Sharding")[2]
    (job,), (line,) = map(yaml.safe_load, re.findall(r"```yaml\n( *- .*?)```", text, re.DOTALL))
    job["relabel_configs"].append(line)
    places = {f"{host}:{shard.port}": name for name, shard in shards.items() for host in HOSTS}
    job["http_sd_configs"] = [{"url": f"http://{place}/sd"} for place in places]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
    with running_prometheus(tmp_path, config) as prometheus:
        eventually(lambda: len(prometheus.query("redis_up == 1 and on (instance, pod) up == 1")) == 4, 30)
        found = [each["metric"] for each in prometheus.query("up")]
        assert {each["pod"]: each["instance"] for each in found} == places


def test_a_shard_without_targets_is_ready_and_takes_over_what_a_reload_gives_it(
    start_server: StartServer, tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{start_server().port}"
    name = next(name for name in FLEET if _owner(name, 2) == 0)
    tree = quick(target(name, url), shard={"count": 2})
    with running_exporter(tmp_path, tree, EXPORTER_SHARD__INDEX="1") as daemon:
        assert daemon.ask("/-/ready").status == 200
        assert daemon.states() == {}
        newcomer = next(name for name in FLEET if _owner(name, 2) == 1)
        daemon.configure(quick(target(newcomer, url), shard={"count": 2}))
        daemon.hang_up()
        eventually(lambda: daemon.states() == {newcomer: "ok"}, 15)
