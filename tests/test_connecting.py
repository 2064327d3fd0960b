"""Far, deaf and lying servers: how a connection is made, and what one that fails is called."""

import contextlib
import re
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from exporter.demo.servers import free_port
from tests.conftest import Certificates, StartServer
from tests.crowd import crowd
from tests.daemon import log_events, quick, running_exporter, target
from tests.names import deaf_listener, free_port_on, names_of_a_test
from tests.packed import EXPORTER, Talk, ids_of_ours
from tests.series import CONNECTS, FAILURES, LIST_AVAILABLE, polled, row_of_page
from tests.servers.kinds import KINDS
from tests.tcp import Wire, wire
from tests.waiting import eventually

DEAF, HEARING = "127.0.1.2", "127.0.1.3"
ROUND_TRIP_SECONDS = 0.25
NEWEST = KINDS[-1]
FOREIGN = b"# Server\r\nredis_version:7.0.15\r\n# Clients\r\nconnected_clients:4242\r\nmaxclients:10000\r\n"


def test_a_name_whose_first_address_is_deaf_is_up_within_the_time_to_connect(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    port = free_port_on(DEAF, HEARING)
    with names_of_a_test() as names, deaf_listener(DEAF, port), wire(server.port, HEARING, port):
        names.addresses["both.test"] = [DEAF, HEARING]
        config = quick(target("both", f"redis://both.test:{port}"))
        config["poll"]["connect_timeout"] = "4s"
        with running_exporter(tmp_path, config, prefix=names.asked_by(tmp_path)) as daemon:
            page = daemon.wait_for({"both": "ok"}, 4 + 2)
            assert page.get(CONNECTS, "both") == 1
            assert polled(daemon, "both", 2).get("redis_up", "both") == 1
            assert re.search(r"\b(2|two)\b.* addresses", row_of_page(daemon, "both")), "it says of how many"


def _far(through: Wire) -> None:
    """Let a wire be as long as half the world; the handshake of TCP costs a round trip too."""
    through.delay_connect = ROUND_TRIP_SECONDS
    through.delay_up = through.delay_down = ROUND_TRIP_SECONDS / 2


def test_a_far_server_with_tls_and_a_password_is_up_with_default_timeouts(
    start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    port = free_port()
    server = start_server("--requirepass", "secret", *certificates.server_options(port), kind=NEWEST)
    with wire(port) as tls, wire(server.port) as plain:
        _far(tls)
        _far(plain)
        login = {"password": "secret"}
        targets = [
            target("tls", f"rediss://localhost:{tls.port}", tls={"ca_file": str(certificates.ca)}, **login),
            target("plain", f"redis://127.0.0.1:{plain.port}", **login),
        ]
        with running_exporter(tmp_path, {"targets": targets, "poll": {"interval": "3s"}}) as daemon:
            daemon.wait_for({"tls": "ok", "plain": "ok"}, 12)
            page = polled(daemon, "tls", 2)
            for name in ("tls", "plain"):
                assert page.get(CONNECTS, name) == 1, name
                assert page.get(FAILURES, name, reason="timeout") == 0, name
                assert page.get(LIST_AVAILABLE, name) == 1, name
        assert (tls.accepted, plain.accepted) == (1, 1)


def _after_info(words: bytes) -> Callable[[bytes], bytes]:
    """Say more at the end of each answer with numbers, in the same piece."""
    return lambda piece: (
        piece + words if b"connected_clients:" in piece and piece.endswith(b"\r\n") else piece
    )


@contextlib.contextmanager
def _talkative(server_port: int) -> Iterator[dict[str, Wire]]:
    """Wires on which something is said that nobody has asked for."""
    names = ("at once", "foreign numbers", "later")
    with contextlib.ExitStack() as stack:
        wires = {name: stack.enter_context(wire(server_port)) for name in names}
        wires["at once"].change = _after_info(b"+OK\r\n")
        wires["foreign numbers"].change = _after_info(b"$%d\r\n%b\r\n" % (len(FOREIGN), FOREIGN))
        yield wires


def test_replies_that_nobody_asked_for_are_a_protocol_error_and_answer_nothing(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    with _talkative(server.port) as wires, crowd(server.port) as clients:
        clients.join(3)
        targets = [target(name, f"redis://127.0.0.1:{each.port}") for name, each in wires.items()]
        tree = quick(*targets, log={"format": "json"}, clients={"interval": "1s"})
        with running_exporter(tmp_path, tree) as daemon:
            seen: set[tuple[str, float | None]] = set()

            def all_found_out() -> bool:
                wires["later"].say(b"+OK\r\n")
                until = time.monotonic() + 0.3
                while time.monotonic() < until:
                    page = daemon.scrape()
                    seen.update((name, page.get("redis_connected_clients", name)) for name in wires)
                return all((page.get(FAILURES, name, reason="protocol") or 0) >= 2 for name in wires)

            eventually(all_found_out, 15)
            assert 4242 not in {count for _, count in seen}, "another's reply was taken for INFO's"
            details = {
                event["target"]: event["detail"]
                for event in log_events(daemon.output())
                if event.get("state") == "protocol"
            }
            assert set(details) == set(wires)
            for name, detail in details.items():
                assert re.search(r"\w+( [\w'`,;:.+-]+){3,}", detail), f"{name}: no sentence: {detail!r}"
            denied = [row for row in daemon.scrape().samples if row[0].endswith("command_denied")]
            assert not denied, "a reply was taken for that to another command"


def test_a_connection_closed_in_the_handshake_is_at_limit_only_where_the_server_was_nearly_full(
    start_server: StartServer, certificates: Certificates, talk: Talk, tmp_path: Path
) -> None:
    roomy_port, full_port = free_port(), free_port()
    start_server("--maxclients", "1000", *certificates.server_options(roomy_port))
    full = start_server("--maxclients", "12", *certificates.server_options(full_port))
    control = talk(full)
    trusting = ssl.create_default_context(cafile=certificates.ca)
    tls = {"tls": {"ca_file": str(certificates.ca)}}
    with wire(free_port()) as never, wire(roomy_port) as cut, crowd(full_port, trusting) as clients:
        never.closes_newcomers = True
        targets = [
            target("never", f"rediss://localhost:{never.port}", **tls),
            target("cut", f"rediss://localhost:{cut.port}", **tls),
            target("full", f"rediss://localhost:{full_port}", **tls),
        ]
        with running_exporter(tmp_path, quick(*targets)) as daemon:
            daemon.wait_for({"cut": "ok", "full": "ok"})
            cut.closes_newcomers = True
            cut.reset()
            clients.fill()
            daemon.wait_for({"full": "at_limit"})

            def refused() -> bool:
                for row in control.client_list():
                    if row["name"] == EXPORTER:
                        control.client_kill_filter(_id=row["id"])
                clients.fill()
                page = daemon.scrape()
                return page.state("full") == "at_limit" and page.get("redis_up", "full") == 0

            eventually(refused)
            page = daemon.wait_for({"never": "tls", "cut": "tls", "full": "at_limit"})
            assert page.get(FAILURES, "cut", reason="at_limit") == 0
            assert page.get(FAILURES, "never", reason="at_limit") == 0
            clients.leave(2)
            daemon.wait_for({"full": "ok"})
            eventually(lambda: ids_of_ours(control))
