"""Running it: start, stop, reload, logs, and what a bug does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis

from exporter.demo.servers import Server, free_port
from tests.conftest import StartServer
from tests.daemon import (
    ROOT,
    children,
    command,
    environment,
    log_events,
    quick,
    run_cli,
    running_exporter,
    target,
)
from tests.leases import not_answering
from tests.series import reload
from tests.waiting import eventually

Talk = Callable[..., redis.Redis]


def _url(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


def _our_id(client: redis.Redis) -> str:
    rows = eventually(
        lambda: [row for row in client.client_list() if row["name"] == "redis-connection-exporter"]
    )
    (row,) = rows
    return str(row["id"])


def test_sigterm_ends_it_with_0_even_while_a_server_hangs_and_a_browser_waits(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        daemon.wait_for({"one": "ok"})
        server.process.send_signal(signal.SIGSTOP)
        with socket.create_connection(("127.0.0.1", daemon.port)) as half_a_request:
            half_a_request.sendall(b"GET /metrics HTTP/1.1\r\n")
            assert daemon.stop(within=5) == 0
        assert "msg=stopped" in daemon.output()


def test_a_request_under_way_is_answered_before_the_end(start_server: StartServer, tmp_path: Path) -> None:
    with running_exporter(tmp_path, quick(target("one", _url(start_server())))) as daemon:
        daemon.wait_for({"one": "ok"})
        with ThreadPoolExecutor(1) as pool, socket.create_connection(("127.0.0.1", daemon.port)) as mark:
            answer = pool.submit(daemon.ask, "/-/reload", "POST")
            eventually(lambda: len(children(daemon.process.pid)) == 1)
            daemon.process.terminate()
            assert answer.result(5).status == 200
            assert daemon.process.wait(5) == 0
            assert mark.recv(10) == b""


def test_a_reload_that_is_read_while_it_ends_starts_nothing(
    start_server: StartServer, tmp_path: Path
) -> None:
    with running_exporter(tmp_path, quick(target("one", _url(start_server())))) as daemon:
        daemon.wait_for({"one": "ok"})
        daemon.configure(quick(target("two", _url(start_server()))))
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(daemon.ask, "/-/reload", "POST")
            eventually(lambda: len(children(daemon.process.pid)) == 1)
            daemon.process.terminate()
            assert answer.result(5).status == 200
            assert daemon.process.wait(5) == 0


def test_on_sigterm_it_leaves_no_connection_on_the_server(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server()
    client = talk(server)
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        _our_id(client)
        daemon.stop()
        eventually(lambda: len(client.client_list()) == 1)


def test_a_reload_adds_and_drops_targets_and_keeps_the_connections_of_the_others(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    kept, dropped, added = start_server(), start_server(), start_server()
    client, other = talk(kept), talk(dropped)
    before = quick(target("kept", _url(kept)), target("dropped", _url(dropped)))
    with running_exporter(tmp_path, before) as daemon:
        daemon.wait_for({"kept": "ok", "dropped": "ok"})
        connection = _our_id(client)
        daemon.configure(
            {
                "poll": {"interval": "2s", "timeout": "1s"},
                "log": {"format": "json"},
                "targets": [target("kept", _url(kept), labels={"team": "a"}), target("added", _url(added))],
            }
        )
        assert daemon.ask("/-/reload", "POST").body == b"Reloaded.\n"
        scrape = daemon.wait_for({"added": "ok"})
        assert scrape.get("redis_up", "kept", team="a") == 1, "known from before the reload"
        assert scrape.get("redis_up", "dropped") is None
        assert scrape.get("redis_connection_exporter_targets") == 2
        polls = scrape.get("redis_connection_exporter_polls_total", "kept") or 0
        eventually(
            lambda: (daemon.scrape().get("redis_connection_exporter_polls_total", "kept") or 0) > polls + 1
        )
        assert _our_id(client) == connection
        eventually(lambda: len(other.client_list()) == 1)
        assert [event["msg"] for event in log_events(daemon.output())][-1:] != []


def test_a_faulty_file_leaves_the_old_configuration_in_force_and_says_why(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        daemon.wait_for({"one": "ok"})
        assert daemon.scrape().get("redis_connection_exporter_config_last_reload_successful") == 1
        daemon.configure({"poll": {"interval": "0s"}, "targets": [{"name": "x"}]})
        answer = daemon.ask("/-/reload", "POST")
        assert answer.status == 500
        assert "poll.interval: too short: write 1s or more" in answer.text
        assert "targets[0].url: is missing" in answer.text
        eventually(
            lambda: daemon.scrape().get("redis_connection_exporter_config_last_reload_successful") == 0
        )
        daemon.hang_up()
        eventually(lambda: daemon.output().count("configuration refused") >= 4)
        assert daemon.wait_for({"one": "ok"}).get("redis_up", "one") == 1
        daemon.configure(quick(target("one", _url(server))))
        daemon.hang_up()
        eventually(
            lambda: daemon.scrape().get("redis_connection_exporter_config_last_reload_successful") == 1
        )


def test_a_file_that_is_nonsense_does_not_end_it(start_server: StartServer, tmp_path: Path) -> None:
    with running_exporter(tmp_path, quick(target("one", _url(start_server())))) as daemon:
        for nonsense in ("1: x", "null: x", "targets: [{url: !!timestamp x}]", "\x00", "[" * 5000):
            daemon.config.write_text(nonsense)
            assert daemon.post_reload().status == 500, nonsense
            daemon.hang_up()
        assert daemon.wait_for({"one": "ok"}).get("redis_up", "one") == 1


def test_a_file_that_never_answers_holds_up_neither_polls_nor_sigterm(
    start_server: StartServer, tmp_path: Path
) -> None:
    with running_exporter(tmp_path, quick(target("one", _url(start_server())))) as daemon:
        daemon.wait_for({"one": "ok"})
        with not_answering(daemon.config):
            daemon.hang_up()
            eventually(lambda: children(daemon.process.pid))
            polls = daemon.scrape().get("redis_connection_exporter_polls_total", "one") or 0
            eventually(
                lambda: (daemon.scrape().get("redis_connection_exporter_polls_total", "one") or 0) > polls + 1
            )
            assert daemon.stop(within=5) == 0


def test_of_many_reloads_at_once_one_is_done_and_the_others_hear_when_to_come_again(
    start_server: StartServer, tmp_path: Path
) -> None:
    url = _url(start_server())
    slow = {"poll": {"interval": "1h"}, "web": {"enable_lifecycle": True}, "targets": [target("one", url)]}
    with running_exporter(tmp_path, slow) as daemon:
        daemon.wait_for({"one": "ok"})
        with ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(lambda _: daemon.ask("/-/reload", "POST"), range(30)))
        done, *others = sorted(answer.status for answer in answers)
        assert done in (200, 202), "202: on a machine that is busy"
        assert set(others) == {429}
        assert {answer.headers.get("retry-after") for answer in answers} <= {None, "3600", "3599"}
        assert daemon.output().count("configuration loaded") == 1
        reload(daemon)  # by SIGHUP, whenever one likes


def test_many_signals_at_once_are_few_readings(start_server: StartServer, tmp_path: Path) -> None:
    with running_exporter(tmp_path, quick(target("one", _url(start_server())))) as daemon:
        daemon.wait_for({"one": "ok"})
        for _ in range(30):
            daemon.hang_up()
        reload(daemon)
        assert 1 <= daemon.output().count("configuration loaded") <= 10


def test_a_reload_to_a_longer_interval_turns_nothing_red(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        daemon.wait_for({"one": "ok"})
        daemon.configure({"poll": {"interval": "1h"}, "targets": [target("one", _url(server))]})
        assert daemon.ask("/-/reload", "POST").status == 200
        until = time.monotonic() + 5
        while time.monotonic() < until:
            assert daemon.scrape().get("redis_up", "one") == 1


def test_a_reload_to_a_shorter_interval_counts_at_once_and_turns_nothing_red(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    slow = {"poll": {"interval": "1h"}, "targets": [target("one", _url(server))]}
    with running_exporter(tmp_path, slow) as daemon:
        daemon.wait_for({"one": "ok"})
        daemon.configure(quick(target("one", _url(server))))
        reload(daemon)
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert daemon.scrape().get("redis_up", "one") == 1
        assert (daemon.scrape().get("redis_connection_exporter_polls_total", "one") or 0) >= 3


def test_a_target_that_moved_is_followed_and_its_old_numbers_are_gone(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    first, second = start_server(), start_server()
    left = talk(first)
    with running_exporter(tmp_path, quick(target("one", _url(first)))) as daemon:
        daemon.wait_for({"one": "ok"})
        daemon.configure(quick(target("one", _url(second))))
        daemon.hang_up()
        eventually(lambda: len(left.client_list()) == 1)
        daemon.wait_for({"one": "ok"})


def test_one_line_is_logged_for_each_change_of_state_and_none_for_a_poll(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    config = quick(target("one", _url(server)), log={"format": "json"})
    with running_exporter(tmp_path, config) as daemon:
        daemon.wait_for({"one": "ok"})
        eventually(lambda: (daemon.scrape().get("redis_connection_exporter_polls_total", "one") or 0) >= 4)
        server.process.send_signal(signal.SIGSTOP)
        daemon.wait_for({"one": "timeout"})
        server.process.send_signal(signal.SIGCONT)
        daemon.wait_for({"one": "ok"})
        changes = [
            (event["was"], event["state"])
            for event in log_events(daemon.output())
            if event["msg"] == "target state changed"
        ]
        assert changes == [("unknown", "ok"), ("ok", "timeout"), ("timeout", "ok")]
        assert len(daemon.output().splitlines()) == len(changes) + 1, "and one line that it listens"


def test_it_is_ready_only_when_every_target_was_tried(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    server.process.send_signal(signal.SIGSTOP)
    config = {"poll": {"interval": "5s", "timeout": "3s"}, "targets": [target("slow", _url(server))]}
    with running_exporter(tmp_path, config) as daemon:
        assert daemon.ask("/-/ready").status == 503
        assert daemon.ask("/-/healthy").status == 200
        assert daemon.states() == {"slow": "unknown"}
        assert daemon.scrape().get("redis_up", "slow") == 0
        eventually(lambda: daemon.ask("/-/ready").status == 200)
        assert daemon.states() == {"slow": "timeout"}


def test_a_machine_that_was_frozen_serves_no_old_numbers(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        daemon.wait_for({"one": "ok"})
        server.process.send_signal(signal.SIGSTOP)
        daemon.process.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        eventually(lambda: time.monotonic() - frozen > 2 * (1 + 0.9) + 1)
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.scrape().get("redis_up", "one") == 0


def test_an_address_in_use_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_cli("redis://127.0.0.1:1", "--web.listen-address", f"127.0.0.1:{port}")
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")
    assert "Traceback" not in ended.stderr


def test_without_a_host_it_listens_on_every_interface(start_server: StartServer) -> None:
    port = free_port()
    process = subprocess.Popen(
        command(_url(start_server()), "--web.listen-address", f":{port}"),
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):

            def reached(family: int = family, host: str = host) -> bool:
                with socket.socket(family) as probe:
                    return probe.connect_ex((host, port)) == 0

            eventually(reached)
    finally:
        process.terminate()
        assert process.wait(5) == 0


def test_healthcheck_does_not_mind_a_file_that_has_become_faulty(
    start_server: StartServer, tmp_path: Path
) -> None:
    with running_exporter(tmp_path, quick(target("one", _url(start_server())))) as daemon:
        address = f"127.0.0.1:{daemon.port}"
        for text in ("targets: [", "targets: []\nweb: {telemetry_path: x}", "1: 2"):
            daemon.config.write_text(text)
            flags = ("--config.file", str(daemon.config), "--web.listen-address", address)
            assert run_cli("healthcheck", *flags).returncode == 0, text
        daemon.config.write_text(f"targets: []\nweb: {{listen_address: ['{address}']}}")
        assert run_cli("healthcheck", "--config.file", str(daemon.config)).returncode == 0


def test_what_lies_in_the_working_directory_is_not_imported(tmp_path: Path) -> None:
    for name in ("yaml.py", "exporter.py", "pydantic.py"):
        (tmp_path / name).write_text("raise SystemExit('imported')")
    ended = subprocess.run(
        [sys.executable, "-P", "-c", "from exporter.cli import main; raise SystemExit(main())", "--version"],
        env=environment(PYTHONPATH=str(ROOT)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_healthcheck_tells_a_running_exporter_from_none(start_server: StartServer, tmp_path: Path) -> None:
    with running_exporter(tmp_path, quick(target("one", _url(start_server())))) as daemon:
        address = f"127.0.0.1:{daemon.port}"
        assert run_cli("healthcheck", "--web.listen-address", address).returncode == 0
        assert run_cli("healthcheck", EXPORTER_WEB__LISTEN_ADDRESS=address).returncode == 0
    gone = run_cli("healthcheck", "--web.listen-address", address)
    assert gone.returncode == 1
    assert "does not answer" in gone.stderr


def test_ctrl_c_is_a_clean_stop_too(start_server: StartServer, tmp_path: Path) -> None:
    with running_exporter(tmp_path, quick(target("one", _url(start_server())))) as daemon:
        daemon.wait_for({"one": "ok"})
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(5) == 0


def test_log_lines_are_one_event_each_whatever_a_server_says(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    script = (
        "import socket,sys\n"
        "listener=socket.socket(fileno=int(sys.argv[1]))\n"
        "while True:\n"
        " c,_=listener.accept(); c.recv(999); c.sendall(b'-ERR a\\x1b[31m \"b\" c\\xff=d\\r\\n'); c.close()\n"
    )
    evil = subprocess.Popen(
        [sys.executable, "-c", script, str(listener.fileno())], pass_fds=[listener.fileno()]
    )
    try:
        config = quick(target("evil", f"redis://127.0.0.1:{port}"))
        with running_exporter(tmp_path, config) as daemon:
            daemon.wait_for({"evil": "protocol"})
            line = next(line for line in daemon.output().splitlines() if "state changed" in line)
            assert "\x1b" not in line
            assert json.loads(line.partition("detail=")[2]).startswith("ERR a?[31m")
            assert os.linesep not in line
    finally:
        evil.terminate()
        evil.wait()
        listener.close()
