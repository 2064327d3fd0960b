"""Every alert has its runbook, and every command of the runbooks does on real servers what the page says."""

import inspect
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import yaml

from exporter.demo.servers import Server
from tests.conftest import StartServer, need, need_program
from tests.daemon import ROOT
from tests.runbooks import (
    FOLDER,
    RUN_ON,
    Block,
    Place,
    blocks,
    fences,
    is_refused,
    pages,
    printed_by,
    running_places,
    shape,
)
from tests.servers.kinds import PROMTOOLS, SYSTEM, ServerKind
from tests.test_alerts import run_promtool
from tests.waiting import eventually

_SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "When it is a false alarm"]
_ALERT_PAGES = [page for page in pages() if page.stem.startswith("Redis")]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[ServerKind, Place]]:
    """The same incident on a server of every kind."""
    for program in ("redis-cli", "ss", "curl", "prlimit", "setpriv"):
        need_program(program)
    folder = tmp_path_factory.mktemp("incidents")
    with running_places([kind for kind in RUN_ON if kind.present], folder, stale_after="1s") as started:
        yield started


@pytest.fixture(scope="module")
def outputs(places: dict[ServerKind, Place]) -> dict[Place, list[tuple[Block, str]]]:
    """What the commands of all pages print, on all servers at once."""

    def run(place: Place) -> list[tuple[Block, str]]:
        return [ran for page in pages() for ran in place.run_page(page)]

    with ThreadPoolExecutor(len(places)) as threads:
        return dict(zip(places.values(), threads.map(run, places.values()), strict=True))


@pytest.fixture(params=RUN_ON, ids=lambda kind: kind.name)
def place(request: pytest.FixtureRequest, places: dict[ServerKind, Place]) -> Place:
    kind: ServerKind = request.param
    need(kind in places, f"{kind.name} is not there: `make test` fetches it, or says why it cannot")
    return places[kind]


@pytest.mark.parametrize("page", _ALERT_PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_to_do_first_and_has_the_five_sections(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n\n**First:** ")
    assert re.findall("^## (.*)$", text, re.MULTILINE) == _SECTIONS


def test_the_index_names_every_page() -> None:
    index = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == {page.name for page in pages()} - {"README.md"}


def test_links_within_the_runbooks_lead_to_a_heading() -> None:
    def anchors(page: Path) -> set[str]:
        headings = re.findall("^#+ (.*)$", page.read_text(), re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}

    for page in pages():
        for name, anchor in re.findall(r"\]\(([\w-]+\.md)#([^)]+)\)", page.read_text()):
            assert anchor in anchors(FOLDER / name), f"{page.name}: {name}#{anchor}"


def test_every_shown_output_belongs_to_commands() -> None:
    for page in pages():
        kinds = [fence[1] for fence in fences(page.read_text())]
        assert all(kind in {"sh", "text", "promql", "python", "yaml"} for kind in kinds), page.name
        assert kinds.count("text") == sum(block.shown is not None for block in blocks(page)), page.name


def test_every_command_of_every_page_does_what_the_page_shows(
    place: Place, places: dict[ServerKind, Place], outputs: dict[Place, list[tuple[Block, str]]]
) -> None:
    wrong = [
        f"{block.page.name}: {fault}\n{block.script}shown:\n{block.shown}got:\n{output}"
        for block, output in outputs[place]
        if (fault := _fault(block, output, places, place.trouble.kind)) is not None
    ]
    assert not wrong, "\n\n".join(wrong)


def _fault(block: Block, output: str, places: dict[ServerKind, Place], here: ServerKind) -> str | None:
    if is_refused(output) != is_refused(block.shown or ""):
        return "refused, or not refused, other than shown"
    if "not found" in output or "syntax error" in output.lower().replace("err syntax error", ""):
        return "the shell could not run it"
    on_reference = block.shown is not None and printed_by(block, places) is here
    if on_reference and "full" not in block.marks and shape(output) != shape(block.shown or ""):
        return "the output looks different"
    return None


@pytest.mark.parametrize("version", PROMTOOLS)
def test_prometheus_understands_the_queries(version: str, tmp_path: Path) -> None:
    queries = [fence[3] for page in pages() for fence in fences(page.read_text()) if fence[1] == "promql"]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}))
    run_promtool(version, "check", "rules", str(file))


def test_thresholds_that_the_pages_speak_of_exist() -> None:
    thresholds = (ROOT / "alerts" / "thresholds.yml").read_text()
    for page in _ALERT_PAGES:
        after = page.read_text().partition("## When it is a false alarm")[2]
        for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", after):
            assert f"name: {name}" in thresholds or name == "max_clients", f"{page.name}: {name}"


def test_the_script_kills_the_idle_ones_of_one_app_and_nobody_else(place: Place) -> None:
    """At most as many as were asked for, and of the others not one."""
    page = FOLDER / "close-idle-clients.md"
    place.trouble.refresh()
    place.trouble.wait_until_idle(2)
    (script,) = (block.script for block in blocks(page) if "keep" in block.marks)

    def kill(*words: str) -> str:
        ids = f"idle_clients {' '.join(words)} | awk '{{ print \"CLIENT KILL ID \" $1 }}'"
        output = place.run(Block(page, (), f"{ids} | redis-cli | sort | uniq -c", None, 0, 0), script)
        return " ".join(output.split())

    others = {row["id"] for row in place.trouble.rows() if not row["name"].startswith("orders")}

    def left() -> int:
        rows = place.trouble.rows()
        assert others <= {row["id"] for row in rows}
        return sum(row["name"].startswith("orders") for row in rows)

    assert (kill("name=", "2"), kill("nobody", "2"), kill("", "2"), left()) == ("", "", "", 60)
    assert (kill("name=worker", "2"), kill("name=checkout", "2"), kill("name=notifier", "2")) == ("", "", "")
    assert (kill("name=debugging", "2"), kill("flags=S", "0"), left()) == ("", "", 60)
    assert (kill("name=orders", "600", "20"), left()) == ("20 1", 40)
    assert (kill("name=orders", "3600"), left()) == ("", 40)
    assert (kill("addr=127.0.0.7:"), left()) == ("40 1", 0)


def test_maxclients_goes_up_to_the_open_files_minus_32(place: Place) -> None:
    place.trouble.refresh()
    place.trouble.held.config_set("maxclients", 1000)
    with pytest.raises(redis.ResponseError, match="try with 1000"):
        place.trouble.held.config_set("maxclients", 1001)
    assert place.trouble.held.config_get("maxclients") == {"maxclients": "1000"}


def test_timeout_closes_plain_idle_clients_and_spares_the_rest(places: dict[ServerKind, Place]) -> None:
    spared = {"checkout-1": 12, "worker-1": 4, "worker-2": 2, "notifier": 1, "debugging": 1, "": 1}
    for place in places.values():
        place.trouble.refresh()
        place.trouble.held.config_set("timeout", 1)
    for place in places.values():
        eventually(lambda place=place: place.trouble.names() == spared)  # type: ignore[misc]
        place.trouble.held.config_set("timeout", 0)


def test_neither_a_unix_socket_nor_another_user_gets_in_at_the_limit(
    start_server: StartServer, talk: Callable[[Server], redis.Redis], tmp_path: Path
) -> None:
    path = tmp_path / "redis.sock"
    server = start_server("--maxclients", "2", "--unixsocket", str(path))
    first, second = talk(server), talk(server)
    assert first.acl_setuser("chief", enabled=True, nopass=True, categories=["+@all"])

    def ping(*way: str) -> str:
        command = [need_program("redis-cli"), *way, "PING"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    ways = (("-s", str(path)), ("-p", str(server.port), "--user", "chief", "--pass", "x"))
    assert not any("PONG" in ping(*way) for way in ways)
    second.close()
    for way in ways:
        eventually(lambda way=way: "PONG" in ping(*way))  # type: ignore[misc]


def test_the_defaults_of_redis_py_are_those_of_the_page() -> None:
    blocking = inspect.signature(redis.BlockingConnectionPool).parameters
    assert (blocking["max_connections"].default, blocking["timeout"].default) == (50, 20)
    assert redis.ConnectionPool().max_connections == 100
    assert inspect.signature(redis.Redis).parameters["health_check_interval"].default == 0
    assert redis.Redis().get_retry().get_retries() == 10  # type: ignore[union-attr]


def test_the_python_of_the_pages_runs(places: dict[ServerKind, Place]) -> None:
    need(SYSTEM in places, "redis-server is not installed")
    for page in pages():
        for fence in fences(page.read_text()):
            if fence[1] == "python":
                names: dict[str, object] = {}
                exec(fence[3].replace("6379", str(places[SYSTEM].trouble.port)), names)
                assert "orders" in places[SYSTEM].trouble.names()
                names["pool"].disconnect()  # type: ignore[attr-defined]
