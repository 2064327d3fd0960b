"""Who holds the connections of a real server, as a person on call would ask it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from exporter.demo.servers import Server
from tests.conftest import StartServer
from tests.daemon import Daemon, Scrape, quick, running_exporter, target
from tests.servers.kinds import ServerKind
from tests.waiting import eventually

CUTS = (
    "redis_app_connections",
    "redis_host_connections",
    "redis_user_connections",
    "redis_library_connections",
    "redis_command_connections",
    "redis_db_connections",
)


def total(scrape: Scrape, name: str, **labels: str) -> float:
    return sum(
        value for each, have, value in scrape.samples if each == name and labels.items() <= have.items()
    )


def watching(server: Server, **clients: object) -> dict[str, object]:
    return quick(target("orders", f"redis://127.0.0.1:{server.port}"), clients={"interval": "1s"} | clients)


@contextlib.contextmanager
def clients_of(server: Server, **counts: int) -> Iterator[dict[str, list[redis.Redis]]]:
    """So many held connections of each name; each has run one command."""
    with contextlib.ExitStack() as stack:
        held: dict[str, list[redis.Redis]] = {}
        for name, count in counts.items():
            for _ in range(count):
                client = redis.Redis(
                    port=server.port,
                    client_name=name,
                    protocol=2,
                    driver_info=None,
                    single_connection_client=True,
                )
                stack.callback(client.close)
                client.ping()
                held.setdefault(name, []).append(client)
        yield held


def allow(client: redis.Redis, *commands: str) -> None:
    """Make the user that the exporter logs in as, who may run these commands only."""
    client.execute_command("ACL", "SETUSER", "exporter", "on", ">secret", "-@all", *commands)  # type: ignore[no-untyped-call]


def wait_until(daemon: Daemon, true: Callable[[Scrape], object]) -> Scrape:
    """Wait for a page of which something is true."""
    pages: list[Scrape] = []

    def look() -> bool:
        pages.append(daemon.scrape())
        return bool(true(pages[-1]))

    try:
        eventually(look, 15)
    except AssertionError as error:
        about = [sample for sample in pages[-1].samples if "app" in sample[1]]
        raise AssertionError(f"{about}\n{daemon.output()[-1000:]}") from error
    return pages[-1]


def test_every_server_says_which_app_holds_how_many_connections(
    start_server: StartServer, kind: ServerKind, tmp_path: Path
) -> None:
    server = start_server(kind=kind)
    with clients_of(server, orders=7, cart=3), running_exporter(tmp_path, watching(server)) as daemon:
        scrape = wait_until(daemon, lambda page: total(page, "redis_app_connections") == 10)
    assert total(scrape, "redis_app_connections", app="orders") == 7
    assert total(scrape, "redis_app_connections", app="cart") == 3
    for name in CUTS:
        assert total(scrape, name) == 10, name
    for name in ("redis_client_idle_seconds_count", "redis_client_age_seconds_count"):
        assert scrape.get(name, "orders") == 10
    assert scrape.get("redis_connected_clients", "orders") == 11
    assert scrape.get("redis_connection_exporter_client_list_available", "orders") == 1
    assert scrape.get("redis_connection_exporter_client_list_unreadable_rows", "orders") == 0


def test_blocked_clients_are_told_by_command_with_the_longest_wait(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    with clients_of(server, worker=3) as held, running_exporter(tmp_path, watching(server)) as daemon:
        for client, command in zip(
            held["worker"], ("BLPOP a 0", "BLPOP a 100", "BLMOVE a b LEFT LEFT 0"), strict=True
        ):
            assert client.connection is not None
            client.connection.send_command(*command.split())  # type: ignore[no-untyped-call]
        scrape = wait_until(daemon, lambda page: page.get("redis_blocked_longest_seconds", "orders"))
        for client in held["worker"]:
            assert client.connection is not None
            client.connection.disconnect()  # type: ignore[no-untyped-call]
    assert scrape.get("redis_blocked_connections", "orders", cmd="blpop") == 2
    assert scrape.get("redis_blocked_connections", "orders", cmd="blmove") == 1
    assert scrape.get("redis_app_connections", "orders", app="worker", state="blocked") == 3
    assert scrape.get("redis_blocked_clients_without_timeout", "orders") == 2


def test_a_subscriber_that_does_not_read_fills_its_output_buffer(
    kind: ServerKind, start_server: StartServer, tmp_path: Path, talk: Callable[[Server], redis.Redis]
) -> None:
    server = start_server(kind=kind)
    publisher = talk(server)
    with clients_of(server, chat=1, quiet=1) as held, running_exporter(tmp_path, watching(server)) as daemon:
        connection = held["chat"][0].connection
        assert connection is not None
        connection.send_command("SUBSCRIBE", "a", "b")  # type: ignore[no-untyped-call]
        connection.send_command("PSUBSCRIBE", "c*")  # type: ignore[no-untyped-call]
        eventually(lambda: publisher.publish("c1", "x") == 1)
        for _ in range(20):  # more than the sockets hold, less than the server allows
            publisher.publish("a", "x" * 1024 * 1024)
        scrape = wait_until(
            daemon, lambda page: page.get("redis_app_output_buffer_bytes", "orders", app="chat")
        )
        connection.disconnect()  # type: ignore[no-untyped-call]
    assert scrape.get("redis_app_subscriptions", "orders", app="chat") == 3
    assert scrape.get("redis_app_subscriptions", "orders", app="quiet") is None
    assert scrape.get("redis_app_output_buffer_bytes", "orders", app="quiet") is None


def test_a_pool_that_is_left_behind_is_stale_and_the_app_is_called_leaking(
    start_server: StartServer, tmp_path: Path
) -> None:
    """Each works once and is forgotten; then the app opens another two, of which the last works."""
    server = start_server()
    tree = watching(server, stale_after="1s")
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(clients_of(server, leaky=12, busy=1))
        for client in held["leaky"]:
            client.get("leaked")
        daemon = stack.enter_context(running_exporter(tmp_path, tree))

        def quiet_for(seconds: int) -> Callable[[Scrape], bool]:
            def is_quiet(page: Scrape) -> bool:
                held["busy"][0].get("x")
                return (page.get("redis_app_oldest_idle_seconds", "orders", app="leaky") or 0) >= seconds

            return is_quiet

        wait_until(daemon, quiet_for(4))
        stack.enter_context(clients_of(server, leaky=1))
        wait_until(daemon, quiet_for(9))
        (working,) = stack.enter_context(clients_of(server, leaky=1))["leaky"]

        def leaked(page: Scrape) -> bool:
            working.get("x")
            held["busy"][0].get("x")
            suspected = (
                page.get("redis_app_suspected_leaked_connections", "orders", app=app)
                for app in ("leaky", "busy")
            )
            return tuple(suspected) == (13, 0)

        scrape = wait_until(daemon, leaked)
    assert scrape.get("redis_app_verdict", "orders", app="leaky", verdict="leaking") == 1
    assert scrape.get("redis_app_verdict", "orders", app="busy", verdict="leaking") is None
    assert (
        scrape.get("redis_app_leak_evidence_connections", "orders", app="leaky", evidence="left_behind") == 13
    )
    assert scrape.get("redis_app_worst_instance_connections", "orders", app="leaky", instance="leaky") == 14
    assert scrape.get("redis_app_connections", "orders", app="leaky", state="stale") == 13


def test_opened_closed_and_unseen_connections_add_up_to_those_received(
    start_server: StartServer, tmp_path: Path, talk: Callable[[Server], redis.Redis]
) -> None:
    server = start_server()
    asking = talk(server)
    with running_exporter(tmp_path, watching(server)) as daemon:
        wait_until(daemon, lambda page: total(page, "redis_app_connections") == 1)
        start = asking.info("stats")["total_connections_received"]
        with clients_of(server, orders=5):
            wait_until(daemon, lambda page: total(page, "redis_app_connections", app="orders") == 5)
        for _ in range(20):
            with clients_of(server, hasty=1):
                pass

        def all_told(page: Scrape) -> bool:
            opened = total(page, "redis_app_connections_opened_total")
            return opened + total(page, "redis_connections_unseen_total") == 25

        scrape = wait_until(daemon, all_told)
        assert asking.info("stats")["total_connections_received"] - start == 25
        assert scrape.get("redis_app_connections_opened_total", "orders", app="orders") == 5
        wait_until(
            daemon,
            lambda page: page.get("redis_app_connections_closed_total", "orders", app="orders") == 5,
        )


def test_rules_and_sources_of_the_settings_name_the_apps(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    app = {"from": ["name"], "rename": [{"match": "^Sidekiq.*", "to": "sidekiq"}]}
    names = {"Sidekiq-server-PID-1": 1, "Sidekiq-client-PID-2": 1, "orders-7c9f8d6b5-x2x9k": 1}
    with clients_of(server, **names), running_exporter(tmp_path, watching(server, app=app)) as daemon:
        scrape = wait_until(daemon, lambda page: total(page, "redis_app_connections") == 3)
    assert total(scrape, "redis_app_connections", app="sidekiq") == 2
    assert total(scrape, "redis_app_connections", app="orders") == 1


def test_more_apps_than_slots_are_folded_into_other(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    names = {f"app{chr(97 + number)}": 1 for number in range(8)}
    with clients_of(server, big=5, **names), running_exporter(tmp_path, watching(server, top=3)) as daemon:
        scrape = wait_until(daemon, lambda page: total(page, "redis_app_connections") == 13)
    assert len({labels["app"] for name, labels, _ in scrape.samples if name == "redis_app_connections"}) == 4
    assert total(scrape, "redis_app_connections", app="big") == 5
    assert scrape.get("redis_connection_exporter_folded_connections", "orders", cut="apps") == 6


@pytest.mark.parametrize("setting", ["denied", "disabled"])
def test_without_client_list_everything_else_works_and_a_metric_says_so(
    start_server: StartServer, tmp_path: Path, talk: Callable[[Server], redis.Redis], setting: str
) -> None:
    server = start_server()
    allow(talk(server), "+info")
    credentials = {"username": "exporter", "password": "secret"} if setting == "denied" else {}
    tree = quick(
        target("orders", f"redis://127.0.0.1:{server.port}", **credentials),
        clients={"interval": "1s", "enabled": setting == "denied"},
    )
    with running_exporter(tmp_path, tree) as daemon:
        scrape = daemon.wait_for({"orders": "ok"})
    assert scrape.get("redis_connection_exporter_client_list_available", "orders") == 0
    assert scrape.get("redis_connected_clients", "orders") == 2
    assert not any(name.startswith("redis_app") for name in scrape.names("orders"))
    if setting == "denied":
        assert scrape.get("redis_connection_exporter_command_denied", "orders", command="client|list") == 1


def test_the_least_privilege_of_the_readme_is_enough(
    start_server: StartServer, tmp_path: Path, talk: Callable[[Server], redis.Redis]
) -> None:
    server = start_server()
    allow(talk(server), "+info", "+client|list")
    who = {"username": "exporter", "password": "secret"}
    tree = quick(target("orders", f"redis://127.0.0.1:{server.port}", **who), clients={"interval": "1s"})
    with clients_of(server, orders=2), running_exporter(tmp_path, tree) as daemon:
        scrape = wait_until(daemon, lambda page: total(page, "redis_app_connections"))
    assert (
        total(scrape, "redis_app_connections") == 3
    )  # two, and the one that made the user; ours is left out
