"""A target can hurt only itself: bad servers of every sort beside twenty healthy ones."""

import contextlib
import os
import shutil
import signal
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from exporter.demo.servers import free_port
from tests.conftest import StartServer, need
from tests.daemon import Daemon, quick, running_exporter, target
from tests.proxy import proxy
from tests.waiting import eventually

HEALTHY = 20
INTERVAL, TIMEOUT = 2.0, 1.0
WATCHED_SECONDS = 12

BAD_STATES = {
    "hung": "timeout",
    "dripping": "timeout",
    "silent": "timeout",
    "garbage": "protocol",
    "closing": "unreachable",
    "refusing": "refused",
    "locked": "auth",
    "nameless": "dns",
}


def _private_hosts(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A hosts file that only the exporter sees, so that a name can be healed without touching the machine."""
    hosts = folder / "hosts"
    hosts.write_text(Path("/etc/hosts").read_text())
    script = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    return hosts, ("unshare", "--mount", "sh", "-c", script, "sh")


def _ages(daemon: Daemon, healthy: list[str]) -> list[float]:
    now = time.time()
    scrape = daemon.scrape()
    assert all(scrape.get("redis_up", name) == 1 for name in healthy)
    name = "redis_connection_exporter_last_success_timestamp_seconds"
    return [now - (scrape.get(name, each) or 0) for each in healthy]


def test_bad_servers_have_their_right_state_delay_nobody_and_recover_once_healed(
    start_server: StartServer, tmp_path: Path
) -> None:
    need(os.geteuid() == 0 and shutil.which("unshare"), "a private /etc/hosts needs root and unshare")
    healthy = {f"healthy-{number}": start_server() for number in range(HEALTHY)}
    one = start_server()
    hung, locked = start_server(), start_server("--requirepass", "right")
    password = tmp_path / "password"
    password.write_text("wrong")
    refusing_port = free_port()
    hosts, prefix = _private_hosts(tmp_path)
    with ExitStack() as stack:
        dripping = stack.enter_context(proxy(one.port, "drips"))
        silent = stack.enter_context(proxy(one.port, "silent"))
        garbage = stack.enter_context(proxy(one.port, "garbage"))
        closing = stack.enter_context(proxy(one.port, "closes"))
        ports = {
            "hung": hung.port,
            "dripping": dripping.port,
            "silent": silent.port,
            "garbage": garbage.port,
            "closing": closing.port,
            "refusing": refusing_port,
            **{name: server.port for name, server in healthy.items()},
        }
        config = {
            "poll": {"interval": f"{INTERVAL:.0f}s", "timeout": f"{TIMEOUT:.0f}s"},
            "targets": [
                *(target(name, f"redis://127.0.0.1:{port}") for name, port in ports.items()),
                target("locked", f"redis://127.0.0.1:{locked.port}", password_file=str(password)),
                target("nameless", f"redis://no-such-host.invalid:{one.port}"),
            ],
        }
        began = time.monotonic()
        daemon = stack.enter_context(running_exporter(tmp_path, config, prefix=prefix))
        daemon.wait_for(dict.fromkeys(healthy, "ok"))
        daemon.wait_for({"hung": "ok"})
        hung.process.send_signal(signal.SIGSTOP)
        daemon.wait_for(BAD_STATES)

        names, oldest, took = list(healthy), 0.0, []
        until = time.monotonic() + WATCHED_SECONDS
        while time.monotonic() < until:
            started = time.monotonic()
            daemon.ask("/metrics")
            took.append(time.monotonic() - started)
            oldest = max(oldest, *_ages(daemon, names))
            time.sleep(0.05)  # the pace of the samples
        assert oldest <= INTERVAL + TIMEOUT
        assert statistics.median(took) < 0.05
        assert max(took) < TIMEOUT, "no scrape waits for a server"
        assert {name: daemon.states()[name] for name in BAD_STATES} == BAD_STATES
        assert silent.accepted <= (time.monotonic() - began) / INTERVAL + 1, "one attempt per interval"

        hung.process.send_signal(signal.SIGCONT)
        for each in (dripping, silent, garbage, closing):
            each.mode = "honest"
        start_server(port=refusing_port)
        password.write_text("right")
        with hosts.open("a") as file:
            file.write("127.0.0.1 no-such-host.invalid\n")
        healed = time.monotonic()
        eventually(lambda: set(daemon.states().values()) == {"ok"}, 20)
        assert time.monotonic() - healed <= 2 * 1.1 * INTERVAL + TIMEOUT + 1, (
            "two intervals and a slow machine"
        )


@contextlib.contextmanager
def _rude_server() -> Iterator[int]:
    """Answer one command of each connection with a small INFO reply, and hang up."""
    info = b"# Clients\r\nconnected_clients:3\r\nmaxclients:10\r\n"
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.recv(4096)
                    client.sendall(b"$%d\r\n%b\r\n" % (len(info), info))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_a_server_that_hangs_up_after_each_answer_is_read_all_the_same(tmp_path: Path) -> None:
    with (
        _rude_server() as port,
        running_exporter(tmp_path, quick(target("rude", f"redis://127.0.0.1:{port}"))) as daemon,
    ):
        daemon.wait_for({"rude": "ok"})
        polled = "redis_connection_exporter_polls_total"
        eventually(lambda: (daemon.scrape().get(polled, "rude") or 0) >= 4)
        scrape = daemon.scrape()
        assert scrape.get("redis_up", "rude") == 1
        assert scrape.get("redis_connection_utilization_ratio", "rude") == 0.3
        connects = scrape.get("redis_connection_exporter_connects_total", "rude") or 0
        assert connects <= (scrape.get(polled, "rude") or 0), "one attempt per poll"


def test_a_flooding_server_costs_memory_for_one_poll_only(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with proxy(server.port, "floods") as flooding:
        config = {
            "poll": {"interval": "1s", "timeout": "900ms"},
            "targets": [
                target("flood", f"redis://127.0.0.1:{flooding.port}"),
                target("good", f"redis://127.0.0.1:{server.port}"),
            ],
        }
        with running_exporter(tmp_path, config) as daemon:
            daemon.wait_for({"good": "ok"})
            eventually(
                lambda: (
                    daemon.states()["flood"] == "protocol"
                    and (daemon.scrape().get("redis_connection_exporter_polls_total", "flood") or 0) >= 4
                )
            )
            scrape = daemon.scrape()
            assert scrape.get("redis_up", "good") == 1
            assert (scrape.get("process_resident_memory_bytes") or 0) < 60e6
