"""The night of an incident: the server is full, and the exporter must go on telling the truth."""

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from exporter.demo.servers import Server, free_port
from tests.conftest import Certificates, StartServer
from tests.crowd import Crowd, crowd
from tests.daemon import Daemon, quick, running_exporter, target
from tests.servers.kinds import MATRIX
from tests.waiting import eventually

LIMIT = 30
INTERVALS = 10
TLS_KINDS = tuple(kind for kind in MATRIX if kind.tls)


class Full:
    """Servers of every version and every form of the refusal, each with a held connection of the test."""

    def __init__(
        self,
        start_server: StartServer,
        certificates: Certificates,
        talk: Callable[[Server], redis.Redis],
    ) -> None:
        self.targets = []
        self.controls: dict[str, redis.Redis] = {}
        self.crowds: dict[str, Crowd] = {}
        limit: tuple[str, ...] = ("--maxclients", str(LIMIT))
        trusting = ssl.create_default_context(cafile=certificates.ca)
        for kind in MATRIX:
            for form in ("plain", "cluster", "tls") if kind.tls else ("plain", "cluster"):
                name = f"{kind.name}-{form}".replace(".", "")
                options = limit
                url, tls, context = "", {}, None
                if form == "cluster":
                    options += ("--cluster-enabled", "yes", "--cluster-config-file", f"{name}.conf")
                if form == "tls":
                    tls_port = free_port()
                    options += certificates.server_options(tls_port)
                    url = f"rediss://localhost:{tls_port}"
                    tls, context = {"tls": {"ca_file": str(certificates.ca)}}, trusting
                # The bus of a cluster listens 10,000 above, which must be a port too.
                port = _low_port() if form == "cluster" else None
                server = start_server(*options, kind=kind, port=port)
                self.targets.append(target(name, url or f"redis://127.0.0.1:{server.port}", **tls))
                self.controls[name] = talk(server)
                self.crowds[name] = Crowd(tls_port if form == "tls" else server.port, context)

    def fill(self) -> None:
        for name, clients in self.crowds.items():
            eventually(lambda name=name: self._filled(name))  # type: ignore[misc]
            assert clients.members

    def _filled(self, name: str) -> bool:
        self.crowds[name].fill()
        info = self.controls[name].info("clients")
        return int(info["connected_clients"]) >= LIMIT

    def refused(self) -> dict[str, int]:
        return {
            name: int(client.info("stats")["rejected_connections"]) for name, client in self.controls.items()
        }

    def leave(self) -> None:
        for clients in self.crowds.values():
            clients.leave(len(clients.members))


def _low_port() -> int:
    return eventually(lambda: next((port for _ in range(50) if (port := free_port()) < 50000), None), 5) or 0


@pytest.fixture
def full(
    start_server: StartServer,
    certificates: Certificates,
    talk: Callable[[Server], redis.Redis],
) -> Iterator[Full]:
    servers = Full(start_server, certificates, talk)
    yield servers
    servers.leave()


def _polls(daemon: Daemon, names: list[str]) -> dict[str, float]:
    scrape = daemon.scrape()
    return {name: scrape.get("redis_connection_exporter_polls_total", name) or 0 for name in names}


def test_with_its_connection_held_every_poll_goes_on_and_no_refusal_is_ours(
    full: Full, tmp_path: Path
) -> None:
    names = list(full.controls)
    with running_exporter(tmp_path, quick(*full.targets)) as daemon:
        eventually(lambda: set(daemon.states().values()) == {"ok"})
        before_full = {name: daemon.scrape().names(name) for name in names}
        full.fill()
        eventually(lambda: set(daemon.states().values()) == {"at_limit"})
        refused, polls = full.refused(), _polls(daemon, names)

        eventually(
            lambda: all(now >= polls[name] + INTERVALS for name, now in _polls(daemon, names).items()), 40
        )

        assert full.refused() == refused
        scrape = daemon.scrape()
        for name in names:
            assert scrape.get("redis_up", name) == 1
            assert (scrape.get("redis_connection_utilization_ratio", name) or 0) >= 1.0
            assert scrape.get("redis_connection_exporter_connects_total", name) == 1
            assert scrape.names(name) >= before_full[name]
            for reason in ("at_limit", "timeout", "unreachable", "tls"):
                failed = scrape.get("redis_connection_exporter_poll_failures_total", name, reason=reason)
                assert failed == 0
        full.leave()
        eventually(lambda: set(daemon.states().values()) == {"ok"})
        peak = daemon.scrape().get("redis_connection_slots_used_peak", names[0])
        assert peak == LIMIT, "a spike that is over stays visible for a minute"


def test_started_at_the_limit_it_says_so_and_takes_the_first_slot_that_comes_free(
    full: Full, tmp_path: Path
) -> None:
    full.fill()
    names = list(full.controls)
    refused, started = full.refused(), time.monotonic()
    with running_exporter(tmp_path, quick(*full.targets)) as daemon:
        eventually(lambda: daemon.ask("/-/ready").status == 200)
        # Closed in the handshake without a word: only a reading near the limit tells what that means.
        expected = {name: "tls" if name.endswith("-tls") else "at_limit" for name in names}
        assert daemon.states() == expected, "known from the first attempt on"
        page = daemon.ask("/").text
        assert page.count("closed the connection during the TLS handshake") == len(TLS_KINDS)
        assert page.count("Redis also does this at maxclients") == len(TLS_KINDS)
        polls = _polls(daemon, names)
        eventually(lambda: all(now >= polls[name] + 5 for name, now in _polls(daemon, names).items()), 20)

        attempts = {name: now - refused[name] for name, now in full.refused().items()}
        intervals = time.monotonic() - started  # of one second each
        scrape = daemon.scrape()
        for name in names:
            assert attempts[name] <= intervals + 1, name
            assert scrape.get("redis_up", name) == 0
            assert scrape.get("redis_connected_clients", name) is None, "no old or made-up numbers"

        for clients in full.crowds.values():
            clients.leave(1)
        freed = time.monotonic()
        eventually(lambda: all(daemon.scrape().get("redis_up", name) == 1 for name in names), 10)
        assert time.monotonic() - freed < 2 * 1.1 + 0.5 + 1, "two intervals, one timeout, and a slow machine"


def test_a_script_that_blocks_the_full_server_does_not_cost_the_held_slot(
    start_server: StartServer, talk: Callable[[Server], redis.Redis], tmp_path: Path
) -> None:
    server = start_server("--maxclients", "10", "--lua-time-limit", "100")
    control = talk(server)
    url = f"redis://127.0.0.1:{server.port}"
    with running_exporter(tmp_path, quick(target("one", url))) as daemon, crowd(server.port) as clients:
        daemon.wait_for({"one": "ok"})
        clients.fill()
        daemon.wait_for({"one": "at_limit"})
        clients.members[0].sendall(b"EVAL 'while true do end' 0\r\n")
        daemon.wait_for({"one": "busy"})
        control.script_kill()
        scrape = daemon.wait_for({"one": "at_limit"})
        assert scrape.get("redis_up", "one") == 1
        connects = scrape.get("redis_connection_exporter_connects_total", "one")
        timeouts = scrape.get("redis_connection_exporter_poll_failures_total", "one", reason="timeout")
        assert connects == 1 or timeouts, "only a poll without any answer may give the connection up"


def test_cut_off_at_the_limit_it_tells_the_state_from_the_refusal(
    start_server: StartServer, talk: Callable[[Server], redis.Redis], tmp_path: Path
) -> None:
    server = start_server("--maxclients", str(LIMIT))
    control = talk(server)
    url = f"redis://127.0.0.1:{server.port}"
    with crowd(server.port) as clients, running_exporter(tmp_path, quick(target("cut", url))) as daemon:
        daemon.wait_for({"cut": "ok"})
        clients.fill()

        def cut_off() -> bool:
            """Kill its connection and take the slot, again when it was quicker."""
            for row in control.client_list():
                if row["name"] == "redis-connection-exporter":
                    control.client_kill_filter(_id=row["id"])
            clients.fill()
            scrape = daemon.scrape()
            return scrape.state("cut") == "at_limit" and scrape.get("redis_up", "cut") == 0

        eventually(cut_off)
        assert (daemon.scrape().get("redis_connection_exporter_connects_total", "cut") or 0) >= 2
        assert "max number of clients reached" in daemon.ask("/").text
