"""From watches to pages: every byte of one canonical page, and what no page may do."""

import asyncio
import gzip
import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter, Gauge, Metric, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.process_collector import ProcessCollector

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import AppNames
from exporter.analyse.slots import count_slots
from exporter.board import Board
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.exposition import Pages
from exporter.metrics.negotiation import Format
from exporter.metrics.own import OwnMetrics
from exporter.metrics.process import ProcessNumbers
from exporter.metrics.spec import Family, Field, Kind
from exporter.model import (
    Access,
    Activity,
    AppRules,
    BufferLimit,
    ListCost,
    Observation,
    Outage,
    Reading,
    ServerConfig,
    ServerInfo,
    State,
    Survey,
    Target,
)
from exporter.parse.info import parse_info
from exporter.settings.kinds import parse_redis_url
from tests.blocks import read_rows, take
from tests.conftest import need_program

DATA = Path(__file__).parent / "data"
PARSERS: dict[Format, Callable[[str], Iterable[Metric]]] = {
    Format.TEXT_0_0_4: parse_text,
    Format.TEXT_1_0_0: parse_text,
    Format.OPENMETRICS_1_0_0: parse_openmetrics,
}


class _NoOwnMetrics(OwnMetrics):
    """The exporter's own metrics tell of this very process; the golden page leaves them out."""

    def text(self) -> bytes:
        return b""

    openmetrics = text


def _target(name: str, **labels: str) -> Target:
    return Target(name, Access(parse_redis_url(f"redis://{name}")), tuple(sorted(labels.items())))


def _reading(capture: str, at: float, part: str = "") -> Reading:
    info = parse_info((DATA / f"info-{capture}{part}.txt").read_bytes())
    slots = count_slots(info, limit=10000, known_nodes=None)
    clients = _survey((DATA / f"clients-{capture}.txt").read_bytes(), info, at)
    return Reading(at, 0.0015, info, slots, frozenset({"client|setname"}), clients)


def _valkey_9_2(at: float) -> Reading:
    """The reading of a Valkey 9.1 with what 9.2 adds to INFO, and a reserve."""
    reply = (DATA / "info-valkey-9.1.txt").read_bytes()
    reply = reply.replace(b"# Clients\r\n", b"# Clients\r\nconnected_priority_clients:1\r\n")
    reply = reply.replace(b"# Stats\r\n", b"# Stats\r\nrejected_priority_connections:4\r\n")
    info = parse_info(reply)
    slots = count_slots(info, limit=None, known_nodes=None, reserved=100)
    return Reading(at, 0.001, info, slots)


def _survey(reply: bytes, info: ServerInfo, at: float) -> Survey:
    """What two lists tell, the first of them without the last client."""
    names = AppNames(AppRules())
    history = History(300.0, 5)
    for number, listed in enumerate((reply[: reply.rindex(b"\nid=") + 1], reply)):
        tally = Tally(names, 300.0)
        tally.add(*read_rows(listed))
        take(history, tally, info, now=number * 15.0)
    cost = ListCost(0.0005, 0.0002, 3, 1.0)
    return Survey(at - 3, history.groups, history.trends, history.churn.unseen, history.folded, cost)


def canonical(own: OwnMetrics | None = None) -> Pages:
    """Two engines, a primary and its replica, a reserve, one outage, one target that was never polled."""
    board = Board()
    pages = Pages(board, own or _NoOwnMetrics())
    orders = _target("orders", team="checkout")
    targets = (orders, *map(_target, ("cache", "replica", "reserve", "gone", "new")))
    board.set_targets(targets)
    pages.set_targets()
    limits = {"normal": BufferLimit(0, 0, 0), "pubsub": BufferLimit(33_554_432, 8_388_608, 60)}
    primary = replace(
        _reading("debian13-valkey", 1_800_000_000.25, "-primary"),
        config=ServerConfig(buffer_limits=limits),
    )
    board.record("orders", primary, Activity(1), now=0.0, patience=10.0)
    board.record("cache", _reading("pypi-redis-5.0", 1_800_000_001.5), Activity(2), now=0.0, patience=10.0)
    replica = _reading("debian13-valkey", 1_800_000_000.5, "-replica")
    board.record("replica", replica, Activity(1), now=0.0, patience=10.0)
    board.record("reserve", _valkey_9_2(1_800_000_000.75), Activity(1), now=0.0, patience=10.0)
    board.record("gone", _reading("system-redis", 1_799_999_000.0), Activity(1), now=0.0, patience=10.0)
    board.record(
        "gone", Outage(1_800_000_002.0, 2.0, State.TIMEOUT, "no answer"), Activity(2), now=0.0, patience=10.0
    )
    for target in targets:
        pages.update(target.name)
    return pages


def page(form: Format, pages: Pages | None = None) -> str:
    async def make() -> tuple[bytes, bytes]:
        made = await (pages or canonical()).page(form)
        return made.plain, await made.packed()

    plain, packed = asyncio.run(make())
    assert gzip.decompress(packed) == plain
    return plain.decode()


def test_own_metrics_are_written_as_prometheus_client_writes_them() -> None:
    own = OwnMetrics()
    Gauge("odd", "Of odd labels.", ["path"], registry=own.registry).labels('C:\\a "b"\n').set(1e20)
    Counter("some", "A counter.", registry=own.registry).inc(3)
    moves = re.compile(rb"(?m)^((?:process|python_gc)_\w+(?:\{.*\})?) .*$")
    ours, theirs = (moves.sub(rb"\1", text) for text in (own.text(), generate_latest(own.registry)))
    assert ours == theirs


def test_what_the_system_tells_of_the_process_is_what_prometheus_client_reads() -> None:
    ours, theirs = (
        {sample.name: sample.value for metric in collector.collect() for sample in metric.samples}
        for collector in (ProcessNumbers(), ProcessCollector(registry=None))
    )
    assert ours == pytest.approx(theirs, rel=0.02, abs=2)


@pytest.mark.parametrize("form", Format)
def test_the_whole_page_is_the_golden_one(form: Format) -> None:
    golden = DATA / f"page-{form.name.lower()}.txt"
    made = page(form)
    if not golden.exists():
        golden.write_text(made)
        pytest.fail(f"wrote {golden.name}: read it, then run again")
    assert made == golden.read_text(), f"if the change is meant, delete {golden.name} and run again"


@pytest.mark.parametrize("form", Format)
def test_the_reference_parser_reads_back_every_sample(form: Format) -> None:
    text = page(form, canonical(OwnMetrics()))
    families = list(PARSERS[form](text))
    samples = [sample for family in families for sample in family.samples]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(samples) == len(lines)
    identities = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
    assert len(identities) == len(set(identities)), "no series stands twice"
    types = {family.name: family.type for family in families}
    assert types["redis_up"] == "gauge"
    assert types["redis_rejected_connections"] == "counter"


def test_promtool_accepts_the_golden_page() -> None:
    checked = subprocess.run(
        [need_program("promtool"), "check", "metrics"],
        input=page(Format.TEXT_0_0_4).encode(),
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_after_a_failed_poll_only_the_state_and_the_exporters_own_series_remain() -> None:
    names = {
        sample.name
        for family in parse_text(page(Format.TEXT_0_0_4))
        for sample in family.samples
        if sample.labels["target"] == "gone"
    }
    assert all(
        name.startswith(("redis_up", "redis_target_state", "redis_connection_exporter_")) for name in names
    )
    assert "redis_connection_exporter_last_success_timestamp_seconds" in names


def test_exactly_one_state_of_every_target_is_one() -> None:
    (states,) = (f for f in parse_text(page(Format.TEXT_0_0_4)) if f.name == "redis_target_state")
    for target in ("orders", "cache", "replica", "reserve", "gone", "new"):
        values = [sample.value for sample in states.samples if sample.labels["target"] == target]
        assert sum(values) == 1
        assert len(values) == len(State)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a,b}", "ünï", "{}", "x" * 200])
def test_any_name_that_settings_allow_survives_the_page(name: str) -> None:
    board = Board()
    pages = Pages(board, _NoOwnMetrics())
    board.set_targets((Target(name, Access(parse_redis_url("redis://h"))),))
    pages.set_targets()
    (up,) = (f for f in parse_text(page(Format.TEXT_0_0_4, pages)) if f.name == "redis_up")
    assert up.samples[0].labels == {"target": name}


@given(
    st.lists(
        st.sampled_from(["one list", "another list", "no list", "outage", "older", "reserve"]), max_size=8
    )
)
def test_lines_that_are_kept_are_those_that_would_be_written_anew(kinds: list[str]) -> None:
    """One writer sees every poll, the other only the last."""
    board, at = Board(), 1_800_000_000.0
    orders = _target("orders")
    board.set_targets([orders])
    kept = Pages(board, _NoOwnMetrics())
    kept.set_targets()
    for number, kind in enumerate(kinds):
        kinds_of: dict[str, Callable[[], Observation]] = {
            "one list": lambda: _reading("debian13-valkey", at, "-primary"),
            "another list": lambda: _reading("system-redis", at),
            "no list": lambda: replace(_reading("system-redis", at), clients=None),
            "outage": lambda: Outage(at, 2.0, State.TIMEOUT, "no answer"),
            "older": lambda: _reading("pypi-redis-5.0", at),
            "reserve": lambda: _valkey_9_2(at),
        }
        board.record("orders", kinds_of[kind](), Activity(number), now=number * 15.0, patience=10.0)
        kept.update("orders")
        board.edition += 1  # else the page of a moment ago would do
        anew = Pages(board, _NoOwnMetrics())
        anew.set_targets()
        assert page(Format.TEXT_1_0_0, kept) == page(Format.TEXT_1_0_0, anew)


def test_a_page_is_made_once_for_each_generation_of_the_board() -> None:
    pages = canonical()

    async def twice() -> tuple[object, object]:
        return tuple(await asyncio.gather(*(pages.page(Format.TEXT_0_0_4) for _ in range(2))))  # type: ignore[return-value]

    first, second = asyncio.run(twice())
    assert first is second


@pytest.mark.parametrize(
    ("name", "kind", "text", "labels", "fault"),
    [
        ("redisUp", Kind.GAUGE, "Help.", (), "snake_case"),
        ("redis_things", Kind.COUNTER, "Help.", (), "_total"),
        ("redis_things_total", Kind.GAUGE, "Help.", (), "_total"),
        ("redis_wait_milliseconds", Kind.GAUGE, "Help.", (), "base units"),
        ("redis_up", Kind.GAUGE, "Help", (), "sentence"),
        ("redis_up", Kind.GAUGE, "Two\nlines.", (), "one plain line"),
        ("redis_up", Kind.GAUGE, "Help.", ("instance",), "reserved"),
    ],
)
def test_a_family_that_breaks_a_naming_rule_cannot_be_declared(
    name: str, kind: Kind, text: str, labels: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        Family(name, kind, text, Field(b"x"), labels)


def test_the_catalogue_names_each_info_field_once() -> None:
    fields = [family.source.name for family in CATALOGUE if isinstance(family.source, Field)]
    assert len(fields) == len(set(fields))
