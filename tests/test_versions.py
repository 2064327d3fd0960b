"""One matrix: every server version, in every way a user runs and reaches it."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives import serialization

from exporter.demo.servers import Server, free_port
from tests.conftest import Certificates, StartServer, need, need_program
from tests.crowd import crowd
from tests.daemon import Daemon, quick, running_exporter, target
from tests.servers.kinds import KINDS, OLDEST, ServerKind
from tests.waiting import eventually

Talk = Callable[..., redis.Redis]


def _url(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


def _version(client: redis.Redis) -> tuple[int, ...]:
    info = client.info("server")
    return tuple(int(part) for part in str(info["redis_version"]).split("."))


def _our_row(client: redis.Redis) -> dict[str, Any]:
    """The exporter's own row of CLIENT LIST, once it has introduced itself."""
    return (
        eventually(
            lambda: next(
                (row for row in client.client_list() if row["name"] == "redis-connection-exporter"), None
            )
        )
        or {}
    )


def test_a_standalone_server_shows_every_field_it_has_and_no_other(
    kind: ServerKind, start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server("--maxclients", "50", kind=kind)
    client = talk(server)
    with (
        crowd(server.port) as clients,
        running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon,
    ):
        clients.join(5)
        daemon.wait_for({"one": "ok"})
        eventually(lambda: daemon.scrape().get("redis_connected_clients", "one") == 7)
        scrape, info = daemon.scrape(), client.info()

        assert scrape.get("redis_connection_slots_used", "one") == 7
        assert scrape.get("redis_connection_slots_limit", "one") == 50
        assert scrape.get("redis_connection_utilization_ratio", "one") == pytest.approx(7 / 50)
        assert scrape.get("redis_instance_info", "one", role="master") == 1
        for name, field in (
            ("redis_max_clients", "maxclients"),
            ("redis_pubsub_clients", "pubsub_clients"),
            ("redis_evicted_clients_total", "evicted_clients"),
            ("redis_acl_access_denied_auth_total", "acl_access_denied_auth"),
            ("redis_eventloop_duration_seconds_total", "eventloop_duration_sum"),
            ("redis_cpu_user_main_thread_seconds_total", "used_cpu_user_main_thread"),
            ("redis_io_threaded_accepts_processed_total", "io_threaded_accept_processed"),
        ):
            assert (scrape.get(name, "one") is not None) == (field in info), name
        for name, field in (
            ("redis_connections_received_total", "total_connections_received"),
            ("redis_rejected_connections_total", "rejected_connections"),
            ("redis_client_recent_max_input_buffer_bytes", "client_recent_max_input_buffer"),
            ("redis_mem_clients_normal", "mem_clients_normal"),
        ):
            assert field in info
            assert scrape.get(name, "one") is not None, name


def test_promtool_finds_nothing_wrong_with_the_page(
    kind: ServerKind, start_server: StartServer, tmp_path: Path
) -> None:
    promtool = need_program("promtool")
    server = start_server(kind=kind)
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        daemon.wait_for({"one": "ok"})
        page = daemon.ask("/metrics").body
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_exporter_says_who_it_is_as_far_as_the_server_knows_how(
    kind: ServerKind, start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server(kind=kind)
    client = talk(server)
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        daemon.wait_for({"one": "ok"})
        row = _our_row(client)
        version = _version(client)
        if version >= (7, 2):
            assert row["lib-name"] == "redis-connection-exporter"
        if version >= (7, 0):
            assert "e" in row["flags"], "NO-EVICT keeps our connection when memory is short"
        errors = client.info("all").get("errorstat_ERR")
        assert errors is None, "nothing was asked that this version does not know"


def test_a_replica_takes_a_slot_of_its_primary_and_says_that_its_link_is_up(
    kind: ServerKind, start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    primary = start_server(kind=kind)
    replica = start_server("--replicaof", "127.0.0.1", str(primary.port), kind=kind)
    targets = (target("primary", _url(primary)), target("replica", _url(replica)))
    with running_exporter(tmp_path, quick(*targets)) as daemon:
        eventually(lambda: daemon.scrape().get("redis_master_link_up", "replica") == 1)
        scrape = daemon.scrape()
        assert scrape.get("redis_instance_info", "replica", role="slave") == 1
        assert scrape.get("redis_master_link_up", "primary") is None
        rows = talk(primary).client_list()
        eventually(lambda: daemon.scrape().get("redis_connection_slots_used", "primary") == len(rows))
        assert daemon.scrape().get("redis_connected_slaves", "primary") == 1
        eventually(
            lambda: daemon.scrape().get("redis_connected_replica_offset_lag_bytes", "primary") is not None
        )
        scrape = daemon.scrape()
        assert (scrape.get("redis_connected_replica_lag_seconds", "primary") or 0) <= 5
        assert (scrape.get("redis_master_last_io_seconds_ago", "replica") or 0) <= 15
        assert scrape.get("redis_slave_repl_offset", "replica") is not None
        assert scrape.get("redis_connected_replica_lag_seconds", "replica") is None


def test_cluster_links_count_against_the_limit(
    kind: ServerKind, start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    ports = [
        eventually(lambda: next((p for _ in range(50) if (p := free_port()) < 50000), None)) for _ in "ab"
    ]
    servers = [
        start_server("--cluster-enabled", "yes", "--cluster-config-file", f"n{port}", kind=kind, port=port)
        for port in ports
    ]
    client = talk(servers[0])
    client.execute_command("CLUSTER MEET", "127.0.0.1", servers[1].port)  # type: ignore[no-untyped-call]
    with running_exporter(tmp_path, quick(target("node", _url(servers[0])))) as daemon:
        daemon.wait_for({"node": "ok"})
        # Two links to the one other node (cluster.c), us, and the test's client.
        expected = 2 + 2 if _version(client) >= (6, 0) else 2
        eventually(lambda: daemon.scrape().get("redis_connection_slots_used", "node") == expected)
        assert daemon.scrape().get("redis_instance_info", "node", redis_mode="cluster") == 1


def test_a_sentinel_is_a_target_like_any_other(
    kind: ServerKind, start_server: StartServer, tmp_path: Path
) -> None:
    primary = start_server(kind=kind)
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nsentinel monitor one 127.0.0.1 {primary.port} 1\n")
    start_sentinel = ServerKind(kind.name, (*kind.command, str(config), "--sentinel"), tls=kind.tls)
    sentinel = start_server(kind=start_sentinel, port=port)
    with running_exporter(tmp_path, quick(target("watchman", _url(sentinel)))) as daemon:
        scrape = daemon.wait_for({"watchman": "ok"})
        assert scrape.get("redis_instance_info", "watchman", redis_mode="sentinel") == 1
        assert (scrape.get("redis_connected_clients", "watchman") or 0) >= 1


def test_a_unix_socket_with_a_space_in_its_path_is_reached(
    kind: ServerKind, start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "a b").mkdir()
    path = tmp_path / "a b" / "r.sock"
    start_server("--unixsocket", str(path), kind=kind)
    url = f"unix://{str(path).replace(' ', '%20')}"
    with running_exporter(tmp_path, quick(target("local", url))) as daemon:
        assert daemon.wait_for({"local": "ok"}).get("redis_connected_clients", "local") == 1


def test_a_password_alone_opens_a_server_of_any_version(
    kind: ServerKind, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("--requirepass", "open sesame", kind=kind)
    (tmp_path / "password").write_text("open sesame\n")
    targets = (
        target("right", _url(server), password_file=str(tmp_path / "password")),
        target("wrong", _url(server).replace("127.0.0.1", "localhost"), password="shut sesame"),
    )
    with running_exporter(tmp_path, quick(*targets)) as daemon:
        daemon.wait_for({"right": "ok", "wrong": "auth"})


def test_the_smallest_acl_user_is_enough_and_denials_are_stated(
    kind: ServerKind, start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server(kind=kind)
    client = talk(server)
    if _version(client) < (6, 0):
        url = quick(target("one", _url(server), username="exporter", password="secret"))
        with running_exporter(tmp_path, url) as daemon:
            daemon.wait_for({"one": "auth"})
            assert "leave username out" in daemon.output()
        return
    client.execute_command("ACL", "SETUSER", "exporter", "on", ">secret", "-@all", "+info")  # type: ignore[no-untyped-call]
    with running_exporter(
        tmp_path, quick(target("one", _url(server), username="exporter", password="secret"))
    ) as daemon:
        scrape = daemon.wait_for({"one": "ok"})
        assert scrape.get("redis_connection_utilization_ratio", "one") is not None
        assert scrape.get("redis_connection_exporter_command_denied", "one", command="client|setname") == 1
        denials = len(client.acl_log())
        polls = scrape.get("redis_connection_exporter_polls_total", "one") or 0
        eventually(
            lambda: (daemon.scrape().get("redis_connection_exporter_polls_total", "one") or 0) >= polls + 3
        )
        assert len(client.acl_log()) == denials, "what is denied is asked once per connection"
        assert "client|setname" in daemon.ask("/").text


def test_a_user_who_may_not_ask_info_is_noperm(start_server: StartServer, talk: Talk, tmp_path: Path) -> None:
    server = start_server()
    talk(server).execute_command("ACL", "SETUSER", "blind", "on", ">secret", "-@all")  # type: ignore[no-untyped-call]
    with running_exporter(
        tmp_path, quick(target("one", _url(server), username="blind", password="secret"))
    ) as daemon:
        daemon.wait_for({"one": "noperm"})


def test_a_server_that_loads_its_data_is_loading_and_read_all_the_same(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    file = ("--dbfilename", "some.rdb", "--rdbcompression", "no")
    first = start_server("--enable-debug-command", "yes", *file)
    client = talk(first)
    client.execute_command("DEBUG", "POPULATE", "300", "key", "2000")  # type: ignore[no-untyped-call]
    client.save()
    slow = start_server(
        "--dbfilename",
        "some.rdb",
        "--key-load-delay",
        "20000",
        "--loading-process-events-interval-bytes",
        "1024",
    )
    with running_exporter(tmp_path, quick(target("one", _url(slow)))) as daemon:
        assert daemon.wait_for({"one": "loading"}).get("redis_up", "one") == 1
        daemon.wait_for({"one": "ok"}, within=30)


def test_a_limit_that_nobody_tells_comes_from_the_settings_or_is_absent(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("--rename-command", "CONFIG", "", kind=OLDEST)
    targets = (
        target("told", _url(server), max_clients=77),
        target("untold", _url(server).replace("127.0.0.1", "localhost")),
    )
    with running_exporter(tmp_path, quick(*targets)) as daemon:
        scrape = daemon.wait_for({"told": "ok", "untold": "ok"})
        assert scrape.get("redis_connection_slots_limit", "told") == 77
        assert scrape.get("redis_connection_slots_limit", "untold") is None
        assert scrape.get("redis_connection_utilization_ratio", "untold") is None
        assert scrape.get("redis_connection_slots_used", "untold") == 2


def _tls_target(name: str, port: int, host: str = "localhost", **tls: str) -> dict[str, Any]:
    return target(name, f"rediss://{host}:{port}", tls=tls)


def test_tls_is_verified_by_ca_and_name(
    tls_kind: ServerKind, start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    ports = [free_port() for _ in range(4)]
    for port in ports:
        start_server(*certificates.server_options(port), kind=tls_kind)
    ca, other = str(certificates.ca), str(certificates.other_ca)
    targets = (
        _tls_target("good", ports[0], ca_file=ca),
        _tls_target("wrong-ca", ports[1], ca_file=other),
        _tls_target("wrong-name", ports[2], ca_file=ca, server_name="elsewhere"),
        _tls_target("no-file", ports[3], ca_file=str(tmp_path / "nothing.pem")),
        target("unverified", f"valkeys://127.0.0.1:{ports[1]}", tls={"insecure_skip_verify": True}),
    )
    config = quick(*[each for each in targets if each["name"] != "unverified"])
    with running_exporter(tmp_path, config) as daemon:
        daemon.wait_for({"good": "ok", "wrong-ca": "tls", "wrong-name": "tls", "no-file": "tls"})
        daemon.configure(quick(targets[0], targets[4]))
        daemon.hang_up()
        daemon.wait_for({"unverified": "ok"})


def test_mutual_tls_needs_the_client_certificate(
    tls_kind: ServerKind, start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    ports = [free_port(), free_port()]
    for port in ports:
        start_server(*certificates.server_options(port, clients="yes"), kind=tls_kind)
    ca = str(certificates.ca)
    ours = {"cert_file": str(certificates.client_cert), "key_file": str(certificates.client_key)}
    targets = (
        _tls_target("with", ports[0], ca_file=ca, **ours),
        _tls_target("without", ports[1], ca_file=ca),
    )
    with running_exporter(tmp_path, quick(*targets)) as daemon:
        daemon.wait_for({"with": "ok", "without": "tls"})


def test_a_rotated_ca_file_counts_from_the_next_connect_on(
    start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    port = free_port()
    start_server(*certificates.server_options(port))
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.other_ca.read_bytes())
    with running_exporter(tmp_path, quick(_tls_target("one", port, ca_file=str(ca)))) as daemon:
        daemon.wait_for({"one": "tls"})
        ca.write_bytes(certificates.ca.read_bytes())
        daemon.wait_for({"one": "ok"})


def test_a_key_with_a_passphrase_is_a_tls_fault_and_asks_nobody(
    start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    port = free_port()
    start_server(*certificates.server_options(port))
    locked = tmp_path / "locked.pem"
    key = serialization.load_pem_private_key(certificates.client_key.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    files = {"ca_file": str(certificates.ca), "cert_file": str(certificates.client_cert)}
    with running_exporter(
        tmp_path, quick(_tls_target("locked", port, **files, key_file=str(locked)))
    ) as daemon:
        daemon.wait_for({"locked": "tls"})


def test_a_rotated_password_counts_from_the_next_connect_on(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("--requirepass", "first")
    secret = tmp_path / "password"
    secret.write_text("second")
    with running_exporter(tmp_path, quick(target("one", _url(server), password_file=str(secret)))) as daemon:
        daemon.wait_for({"one": "auth"})
        secret.write_text("first")
        daemon.wait_for({"one": "ok"})


def test_a_connection_that_the_server_closed_while_idle_is_replaced_without_a_failed_poll(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server()
    client = talk(server)
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        daemon.wait_for({"one": "ok"})
        for _ in range(3):
            client.client_kill_filter(_id=_our_row(client)["id"])
        eventually(lambda: (daemon.scrape().get("redis_connection_exporter_connects_total", "one") or 0) >= 3)
        scrape = daemon.scrape()
        failures = [
            value
            for name, _, value in scrape.samples
            if name == "redis_connection_exporter_poll_failures_total"
        ]
        assert not any(failures)


def test_prometheus_itself_takes_the_whole_page_and_that_of_one_target(
    start_server: StartServer, tmp_path: Path
) -> None:
    prometheus = need_program("prometheus")
    server = start_server()
    with running_exporter(tmp_path, quick(target("one", _url(server)))) as daemon:
        daemon.wait_for({"one": "ok"})
        _scraped_by_prometheus(prometheus, daemon, tmp_path)


def _scraped_by_prometheus(prometheus: str, daemon: Daemon, folder: Path) -> None:
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        f"  - {{job_name: page, static_configs: [{{targets: ['127.0.0.1:{daemon.port}']}}]}}\n"
        "  - job_name: probe\n    metrics_path: /probe\n"
        f"    http_sd_configs: [{{url: 'http://127.0.0.1:{daemon.port}/sd'}}]\n"
        "    relabel_configs:\n"
        "      - {source_labels: [__address__], target_label: __param_target}\n"
        "      - {source_labels: [__param_target], target_label: instance}\n"
        f"      - {{target_label: __address__, replacement: '127.0.0.1:{daemon.port}'}}\n"
    )
    process = subprocess.Popen(
        [
            prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def values(query: str) -> list[float]:
            url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    found = json.load(answer)["data"]["result"]
            except OSError:
                return []
            return [float(each["value"][1]) for each in found]

        eventually(lambda: values('redis_up{job="page",target="one"}') == [1.0], 30)
        eventually(lambda: values('redis_up{job="probe",target="one",instance="one"}') == [1.0], 30)
        assert values("up") == [1.0, 1.0]
    finally:
        process.terminate()
        process.wait(20)


def test_the_matrix_is_whole() -> None:
    need(all(kind.present for kind in KINDS), "some servers are not there: run `make test`")
