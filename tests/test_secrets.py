"""A password appears nowhere: not in a log, not on a page, not in an error, whatever goes wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from exporter.demo.servers import free_port
from tests.conftest import Certificates, StartServer
from tests.crowd import crowd
from tests.daemon import quick, run_cli, running_exporter, target
from tests.proxy import proxy
from tests.waiting import eventually

SECRET = "hunter2-correct-horse"


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_no_output_and_no_page_ever_shows_a_password_whatever_goes_wrong(
    form: str,
    start_server: StartServer,
    talk: Callable[..., redis.Redis],
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    open_server, locked = start_server(), start_server("--requirepass", SECRET)
    renamed = start_server("--rename-command", "AUTH", "")
    tls_port = free_port()
    start_server(*certificates.server_options(tls_port))
    (tmp_path / "secret").write_text(SECRET)
    no_file = f"/{SECRET}-is-no-file"
    full, forbidding = start_server("--maxclients", "10"), start_server("--bind", "127.0.0.1", "127.0.0.2")
    talk(forbidding).execute_command("ACL", "SETUSER", "u", "on", f">{SECRET}", "-@all")  # type: ignore[no-untyped-call]

    def url(port: int) -> str:
        return f"redis://127.0.0.1:{port}"

    with (
        proxy(open_server.port, "garbage") as garbage,
        proxy(open_server.port, "closes") as closes,
        proxy(open_server.port, "silent") as silent,
        crowd(full.port) as clients,
    ):
        clients.fill()
        config = quick(
            target("right", url(locked.port), password=SECRET),
            target("file", f"redis://localhost:{locked.port}", password_file=str(tmp_path / "secret")),
            target("unwanted", url(open_server.port), password=SECRET),
            target("user", f"redis://localhost:{open_server.port}", username="u", password=SECRET),
            # its error repeats what was sent: "unknown command 'AUTH', with args beginning with: ..."
            target("renamed", url(renamed.port), password=SECRET),
            target("garbage", url(garbage.port), password=SECRET),
            target("closes", url(closes.port), password=SECRET),
            target("refused", url(free_port()), password=SECRET),
            target("dns", "redis://no-such-host.invalid", password=SECRET),
            target("tls", f"rediss://localhost:{tls_port}", password=SECRET),
            target("nofile", f"redis://[::1]:{locked.port}", password_file=no_file),
            target("silent", url(silent.port), password=SECRET),
            target("full", url(full.port), password=SECRET),
            target("noperm", f"redis://127.0.0.2:{forbidding.port}", username="u", password=SECRET),
            log={"level": "debug", "format": form},
        )
        with running_exporter(tmp_path, config) as daemon:
            daemon.wait_for(
                {
                    "right": "ok",
                    "file": "ok",
                    "renamed": "auth",
                    "tls": "tls",
                    "dns": "dns",
                    "refused": "refused",
                }
            )
            daemon.wait_for({"silent": "timeout", "full": "at_limit", "noperm": "noperm"})
            eventually(lambda: daemon.ask("/-/ready").status == 200)
            pages = [
                daemon.ask(path).text
                for path in ("/", "/metrics", "/config", "/sd", "/probe?target=right", "/-/ready", "/nothing")
            ]
            pages.append(daemon.ask("/api/v1/targets").text)
            for each in config["targets"]:
                pages.append(daemon.ask(f"/api/v1/targets/{each['name']}").text)
                pages.append(daemon.ask(f"/probe?target={each['name']}&debug=true").text)
            daemon.config.write_text(
                daemon.config.read_text() + f"\nauth: {{password: {SECRET}\n  nonsense: ["
            )
            pages.append(daemon.ask("/-/reload", "POST").text)
            daemon.hang_up()
            eventually(lambda: daemon.output().count("configuration refused") >= 2)
            assert f"password_file {no_file} does not exist" in daemon.output()
            for text in (daemon.output(), *pages):
                assert SECRET not in text.replace(no_file, ""), "a path is no secret, and is shown"
            assert "**********" in pages[2]


@pytest.mark.parametrize(
    "arguments",
    [
        (f"redis://user:{SECRET}@127.0.0.1:1",),
        (f"redis://:{SECRET}@127.0.0.1:1/0?x=y",),
        (f"rediss://{SECRET}@[::1]:port",),
        (f"redis://:{SECRET}/with/slashes@host",),
        ("redis://h", "--auth.password", SECRET),
        ("redis://h", f"--auth.password={SECRET}"),
        ("redis://h", f"--password={SECRET}"),
        ("redis://h", "--targets", f'[{{"url":"redis://h","password":"{SECRET}"}}]'),
        ("check-config", f"--password={SECRET}"),
        ("healthcheck", f"redis://:{SECRET}@h"),
        ("demo", SECRET),
    ],
)
def test_a_password_on_the_command_line_is_refused_without_repeating_it(arguments: tuple[str, ...]) -> None:
    ended = run_cli(*arguments)
    assert ended.returncode == 2
    assert SECRET not in ended.stdout + ended.stderr
    assert ended.stderr.strip()


@pytest.mark.parametrize(
    "text",
    [
        "targets: [{url: 'redis://h', password: 'SECRET}]",
        "targets: [{url: 'redis://h', password: %SECRET}]",
        "targets: [{url: 'redis://h', password: *SECRET}]",
        "targets: [{url: 'redis://h', password: !SECRET x}]",
        "targets: [{url: 'redis://h', password: !!python/object:SECRET x}]",
        "targets: [{url: 'redis://h', password: a,SECRET}]",
        "targets: [{url: 'redis://h', password: {SECRET: 1}}]",
        "targets: [{url: 'redis://h', password: a, SECRET: b}]",
        "targets: [{url: 'redis://h', password:SECRET : x}]",
        "targets: [{url: 'redis://h', password: !!bool SECRET}]",
        "targets: [{url: 'redis://h', password: !!int SECRET}]",
        "targets: [{url: 'redis://h', password: [SECRET]}]",
        "targets: [{url: 'redis://h', password: SECRET, password_file: /x}]",
        "targets: [{url: 'redis://h', password: \"SECRET\\q\"}]",
        "targets:\n  - url: redis://h\n    password: a: SECRET\n",
        "targets:\n  - url: redis://h\n    password: |SECRET\n",
        "targets:\n  - url: redis://h\n    password: `SECRET\n",
        "targets:\n  - url: redis://h\n    password: @SECRET\n",
        "targets:\n  - url: redis://h\n    password: &SECRET\n     - b: c\n   d\n",
        "targets:\n  - url: redis://u:SECRET@h\n",
        "targets:\n  - url: SECRET://h\n",
        "targets:\n  - url: SECRET\n",
        "targets:\n  - url: redis://SECRET,b\n",
        "targets:\n  - url: redis://::1:SECRET\n",
        "targets:\n  - url: redis://fe80::1%SECRET\n",
        "targets:\n  - url: redis://[SECRET]\n",
        "targets:\n  - url: redis+sentinel://h/SECRET\n",
        "targets:\n  - url: redis://h:SECRET\n",
        "targets:\n  - url: redis://h/SECRET\n",
        "targets:\n  - url: redis://h?password=SECRET\n",
        "targets: SECRET",
        "SECRET",
        "password: SECRET\ntargets: [{url: 'redis://h'}]",
        "auth: SECRET",
        "auth: {password: SECRET, interval: x}",
        "poll: {interval: SECRET}\nlog: {level: SECRET, format: SECRET}\nweb: {listen_address: SECRET}",
        "targets: [{url: 'redis://h', max_clients: SECRET, labels: SECRET, tls: SECRET, name: [SECRET]}]",
        'targets: [{url: \'redis://h\', labels: {a: "SECRET\\e[31m"}, username: "SECRET\\t"}]',
        "\x00SECRET",
    ],
)
def test_an_error_in_the_file_is_explained_without_repeating_what_stands_there(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(text.replace("SECRET", SECRET))
    ended = run_cli("check-config", str(file))
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
    assert ended.stderr.startswith(str(file))
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXPORTER_TARGETS", f"[{{{SECRET}"),
        ("EXPORTER_TARGETS", f'[{{"url":"redis://h","password":["{SECRET}"]}}]'),
        ("EXPORTER_TARGETS", f'[{{"url":"redis://:{SECRET}@h"}}]'),
        ("EXPORTER_AUTH", SECRET),
        ("EXPORTER_AUTH__PASWORD", SECRET),
        ("EXPORTER_PASSWORD", SECRET),
    ],
)
def test_a_faulty_variable_is_named_without_its_value(name: str, value: str) -> None:
    ended = run_cli("redis://127.0.0.1:1", "--log.level", "loud", **{name: value})
    assert ended.returncode == 2
    assert SECRET not in ended.stdout + ended.stderr
    assert name in ended.stderr, ended.stderr
