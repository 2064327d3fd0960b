"""A short night with everything that the dashboards show, played on real servers under a real Prometheus."""

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

from exporter.demo.servers import Server, free_port, running_server
from tests.apps import App, busy
from tests.conftest import need
from tests.daemon import ROOT, quick, running_exporter, target
from tests.hurry import hurry
from tests.prometheus import Prometheus, running_prometheus
from tests.servers.kinds import KINDS, SYSTEM
from tests.waiting import eventually

RULES = sorted((ROOT / "alerts").glob("*.yml"))
LIMIT, BURSTY = 50, 6
# It tells everything that a dashboard asks for.
_VALKEY = next(kind for kind in KINDS if kind.name == "debian13-valkey")


@dataclass(frozen=True)
class Incident:
    """The Prometheus that saw it, when it began and since when two exporters see `bursty` (Unix time)."""

    prometheus: Prometheus
    began: float
    both_since: float


def _talk(server: Server) -> redis.Redis:
    return redis.Redis(port=server.port, protocol=2, single_connection_client=True, driver_info=None)


def _come_and_go(server: Server) -> None:
    """Open connections that are gone before anybody lists them."""
    for _ in range(200):
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()


def seen(prometheus: Prometheus, expression: str) -> None:
    """Wait until Prometheus has an answer."""
    try:
        eventually(lambda: prometheus.query(expression), 30)
    except AssertionError as error:
        raise AssertionError(f"never seen: {expression}") from error


@contextlib.contextmanager
def incident(folder: Path) -> Iterator[Incident]:
    """Play it, and leave everything running until the block ends.

    One app leaks until `sessions` is full; workers wait in `queue`, which tells no more than it must;
    `orders-1` dies and `orders-2` is promoted; `search` is away for a moment. A second exporter watches
    all of them too, but does not reach `sessions` and `queue`, and lists clients at other times: `bursty`,
    which is busy now and then, is in another state to each.
    """
    need(_VALKEY.present, f"{_VALKEY.name} is not there: `make test` fetches it, or says why it cannot")
    need(SYSTEM.present, "redis-server is not installed")
    with contextlib.ExitStack() as stack:

        def start(*options: str, on: contextlib.ExitStack = stack, port: int | None = None) -> Server:
            return on.enter_context(running_server(SYSTEM.command, folder, *options, port=port))

        sessions = stack.enter_context(running_server(_VALKEY.command, folder, "--maxclients", str(LIMIT)))
        dying = stack.enter_context(contextlib.ExitStack())
        queue, primary, search = start(), start(on=dying), start(on=dying)
        replica = start("--replicaof", "127.0.0.1", str(primary.port))
        servers = {
            "sessions": sessions,
            "queue": queue,
            "orders-1": primary,
            "orders-2": replica,
            "search": search,
        }
        with _talk(queue) as admin:
            admin.execute_command("ACL SETUSER exporter on >throw-away -@all +info +client|list")
        at = {name: server.port for name, server in servers.items()}
        ports = (
            _watch(folder / "first", at, "1s", stack),
            _watch(folder / "second", at | {"sessions": free_port(), "queue": free_port()}, "2s", stack),
        )
        prometheus = _scrape(folder, ports, stack)
        began = time.time()

        login, checkout = App(sessions.port, "login"), App(primary.port, "checkout")
        workers, leaky = App(queue.port, "worker"), App(sessions.port, "leaky")
        bursty = App(replica.port, "bursty")
        small = [App(sessions.port, f"small-{letter}") for letter in "abcde"]
        for app in (login, checkout, workers, leaky, bursty, *small):
            stack.callback(app.close)
        login.open(5)
        workers.open(6)
        workers.say("BLPOP jobs 0", answered=False)
        for app in small:
            app.open(2)
        stack.enter_context(busy(login))
        with busy(checkout):
            checkout.open(5)
            seen(prometheus, 'sum by (instance) (redis_app_connections{app="checkout"}) == 5')
            seen(prometheus, 'redis_instance_info{target="orders-2",role="slave"}')
            bursty.open(BURSTY)
            stack.enter_context(busy(bursty, pause=3))
            seen(
                prometheus,
                f'count(sum by (instance) (redis_app_connections{{app="bursty"}}) == {BURSTY}) == 2',
            )
            both_since = time.time()
            for held in (10, 20):  # one by one, for growth is the difference between two lists
                leaky.open(10)
                leaky.say("MULTI", since=held - 10)  # a transaction that nobody ends is a leak for sure
                seen(prometheus, f'sum(redis_app_connections{{app="leaky"}}) == {held}')
        small.pop().close()
        kept = len(leaky.members)
        leaky.fill()
        leaky.say("CLIENT SETNAME leaky", since=kept)
        _come_and_go(queue)
        dying.close()
        with _talk(replica) as admin:
            admin.execute_command("REPLICAOF NO ONE")
        seen(prometheus, 'redis_target_state{target="sessions",state="at_limit"} == 1')
        seen(prometheus, 'count(redis_target_state{target="search",state="refused"} == 1) == 2')
        seen(prometheus, 'redis_instance_info{target="orders-2",role="master"}')
        start(port=search.port)
        yield Incident(prometheus, began, both_since)


def _watch(folder: Path, ports: Mapping[str, int], interval: str, stack: contextlib.ExitStack) -> int:
    """Start an exporter that lists clients in this interval, and say at which port."""
    folder.mkdir()
    least = {"username": "exporter", "password": "throw-away"}
    tree = quick(
        *(
            target(name, f"redis://127.0.0.1:{port}", **(least if name == "queue" else {}))
            for name, port in ports.items()
        ),
        clients={"interval": interval, "stale_after": "1s", "top": 4},
    )
    return stack.enter_context(running_exporter(folder, tree)).port


def _scrape(folder: Path, ports: Iterable[int], stack: contextlib.ExitStack) -> Prometheus:
    """Start Prometheus with the shipped rules, a minute of which takes a second."""
    hurried = folder / "rules"
    hurried.mkdir()
    for file in RULES:
        (hurried / file.name).write_text(hurry(file.read_text(), 60))
    exporters = [f"127.0.0.1:{port}" for port in ports]
    job = {"job_name": "redis-connections", "static_configs": [{"targets": exporters}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(hurried / file.name) for file in RULES],
        "scrape_configs": [job],
    }
    return stack.enter_context(running_prometheus(folder, config))
