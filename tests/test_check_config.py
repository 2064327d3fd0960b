"""check-config: the faults of several files, and with --connect what a server says to the exporter's user."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from exporter.commands import trials
from exporter.commands.trials import Trial, try_all
from exporter.demo.servers import Server, free_port
from exporter.model import Access, Config, Pace, RedisUrl, State, Target
from tests.conftest import Certificates, StartServer
from tests.crowd import crowd
from tests.daemon import ROOT, command, environment, quick, run_cli, target
from tests.servers.kinds import ServerKind
from tests.waiting import eventually

Talk = Callable[..., redis.Redis]
Row = dict[str, str]

SECRET = "hunter2-correct-horse"


def _url(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}"


def _write(file: Path, tree: Mapping[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(dict(tree), allow_unicode=True), encoding="utf-8")
    return file


def _hurried(*targets: Mapping[str, Any], **sections: object) -> dict[str, Any]:
    """A configuration that gives a server three seconds."""
    pace = {"interval": "2s", "timeout": "1s", "connect_timeout": "2s"}
    return {"poll": pace, "targets": [*targets], **sections}


def _rows(text: str) -> dict[str, Row]:
    """The rows of all tables, by name: what a script reads from a pipe."""
    lines = [re.split(r" {2,}", line) for line in text.splitlines() if "  " in line]
    (heads,) = {tuple(line) for line in lines if line[0] == "name"}
    rows = [dict(zip(heads, line, strict=True)) for line in lines if line[0] != "name"]
    return {row["name"]: row for row in rows}


@contextlib.contextmanager
def _silence() -> Iterator[int]:
    """A port that accepts, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _on_a_terminal(columns: int, *arguments: str, **added: str) -> tuple[str, int]:
    """What is written to a terminal of so many columns, control sequences and all, and the exit code."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    kept = {name: value for name, value in environment(**added).items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command(*arguments), env=kept | {"TERM": "xterm-256color"}, cwd=ROOT, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    with process, contextlib.suppress(OSError):  # the terminal is gone with its last program
        while read := os.read(ours, 1 << 16):
            written += read
    os.close(ours)
    return written.decode(), process.returncode


def _lines(written: str) -> list[str]:
    """The lines that stay on a terminal, without colours."""
    kept = written.rpartition("\x1b[2K")[2]  # the bar is erased before the table is there
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", kept).splitlines()


def test_every_fault_of_every_file_is_named_and_a_good_file_is_ok(tmp_path: Path) -> None:
    good = _write(tmp_path / "good.yaml", {"targets": [target(name, f"redis://{name}") for name in "abc"]})
    bad, worse = tmp_path / "bad.yaml", tmp_path / "worse.yaml"
    bad.write_text("targets: [{url: redis://h}]\npoll: {interval: 5}\nlog: {format: xml}")
    worse.write_text("targets: [")
    ended = run_cli("check-config", str(bad), str(good), str(worse), str(tmp_path / "absent.yaml"))
    assert ended.returncode == 2
    assert ended.stdout == f"{good}: ok, 3 targets\n"
    assert [line.split(": ")[0] for line in ended.stderr.splitlines()] == [
        f"{bad}:2",
        f"{bad}:3",
        f"{worse}:2",
        str(tmp_path / "absent.yaml"),
    ]


def test_files_are_checked_each_for_itself(tmp_path: Path) -> None:
    tree = {"targets": [target("same", "redis://same")]}
    first, second = _write(tmp_path / "1.yaml", tree), _write(tmp_path / "2.yaml", tree)
    ended = run_cli("check-config", str(first), str(second))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{first}: ok, 1 target\n{second}: ok, 1 target\n"


def test_the_fault_of_a_variable_is_named_once_and_no_file_is_ok_with_it(tmp_path: Path) -> None:
    tree = {"targets": [target("same", "redis://same")]}
    files = [str(_write(tmp_path / f"{number}.yaml", tree)) for number in (1, 2)]
    ended = run_cli("check-config", *files, EXPORTER_LOG__LEVEL="loud")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("EXPORTER_LOG__LEVEL") == 1


def test_connect_says_of_every_server_what_the_daemon_would_meet(
    start_server: StartServer, talk: Talk, certificates: Certificates, tmp_path: Path
) -> None:
    healthy, locked = start_server(), start_server("--requirepass", SECRET)
    near, full = start_server("--maxclients", "10"), start_server("--maxclients", "10")
    limited, tls_port = start_server(), free_port()
    start_server(*certificates.server_options(tls_port))
    talk(limited).execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "blind", "on", f">{SECRET}", "-@all", "+info", "+client|id", "+client|setname"
    )
    with crowd(near.port) as almost, crowd(full.port) as all_of_it, _silence() as silent:
        almost.join(9)
        all_of_it.fill()
        tree = _hurried(
            target("healthy", _url(healthy)),
            target("wrong", _url(locked), password="not-that"),
            target("near", _url(near)),
            target("full", _url(full)),
            target("limited", _url(limited), username="blind", password=SECRET),
            target("refused", f"redis://127.0.0.1:{(closed := free_port())}"),
            target("silent", f"redis://127.0.0.1:{silent}"),
            target("lost", "redis://no-such-host.invalid"),
            target("trusted", f"rediss://localhost:{tls_port}", tls={"ca_file": str(certificates.ca)}),
            target("untrusted", f"rediss://127.0.0.1:{tls_port}"),
        )
        ended = run_cli("check-config", "--connect", str(_write(tmp_path / "one.yaml", tree)))
    rows = _rows(ended.stdout)
    assert list(rows) == [each["name"] for each in tree["targets"]]
    version = str(talk(healthy).info()["redis_version"])
    assert rows["healthy"] == {
        "name": "healthy",
        "URL": _url(healthy),
        "user": "-",
        "state": "ok",
        "version": f"redis {version}",
        "limit": "10000",
        "denied, or error": "-",
    }
    assert (rows["near"]["state"], rows["near"]["limit"]) == ("at_limit", "10")
    assert (rows["full"]["state"], rows["full"]["limit"]) == ("at_limit", "-")
    assert rows["full"]["denied, or error"] == "the server is full: max number of clients reached"
    assert (rows["wrong"]["user"], rows["wrong"]["state"]) == ("default", "auth")
    assert rows["wrong"]["denied, or error"].startswith("wrong password for user default")
    assert (rows["limited"]["user"], rows["limited"]["state"]) == ("blind", "ok")
    assert rows["limited"]["denied, or error"] == (
        "client|list: no apps, hosts or users; client|no-evict: may be evicted"
    )
    assert (rows["refused"]["URL"], rows["refused"]["state"]) == (f"redis://127.0.0.1:{closed}", "refused")
    assert (rows["silent"]["state"], rows["lost"]["state"]) == ("timeout", "dns")
    assert [rows[name]["state"] for name in ("trusted", "untrusted")] == ["ok", "tls"]
    assert ended.returncode == 1
    assert ended.stderr == "\n6 of 10 servers could not be read.\n"
    assert SECRET not in ended.stdout + ended.stderr
    assert "not-that" not in ended.stdout + ended.stderr


def test_connect_takes_no_more_of_a_server_than_one_connection_and_no_row_of_its_clients(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server()
    client = talk(server)
    before = client.info("stats")["total_connections_received"]
    file = _write(tmp_path / "one.yaml", quick(target("one", _url(server))))
    with crowd(server.port) as others:
        others.join(200)
        sent = client.info("stats")["total_net_output_bytes"]
        assert run_cli("check-config", "--connect", str(file)).returncode == 0
        stats = client.info("stats")
    assert stats["total_connections_received"] == before + 200 + 1
    assert (
        stats["total_net_output_bytes"] - sent < 20_000
    )  # INFO twice, and one row; a list of all is more than 50 KB
    assert eventually(lambda: client.info("clients")["connected_clients"] == 1)


def test_a_connection_is_closed_before_the_next_one_is_opened(start_server: StartServer) -> None:
    port = start_server("--maxclients", "30").port
    tried, _ = _try(*100 * [port], connect_timeout=5.0, timeout=1.0)
    assert {trial.state for trial in tried} == {State.OK}


@pytest.mark.parametrize("denied", ["", "CLIENT"])
def test_the_right_to_list_clients_is_told_by_every_version(
    denied: str, kind: ServerKind, start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    options = ("--rename-command", denied, "") if denied else ()
    server = start_server(*options, kind=kind)
    file = _write(tmp_path / "one.yaml", quick(target("one", _url(server))))
    ended = run_cli("check-config", "--connect", str(file))
    row = _rows(ended.stdout)["one"]
    assert (ended.returncode, row["state"]) == (0, "ok")
    assert ("client|list: no apps" in row["denied, or error"]) is bool(denied), row
    info = talk(server).info()
    product, version = row["version"].split()
    assert version == str(info["redis_version" if product == "redis" else "valkey_version"])
    assert (product == "valkey") == ("valkey_version" in info)
    assert row["limit"].isdigit()


def test_the_smallest_user_that_the_readme_names_is_good_enough(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server()
    talk(server).execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "small", "on", f">{SECRET}", "-@all", "+info", "+client|list"
    )
    file = _write(
        tmp_path / "one.yaml", quick(target("one", _url(server), username="small", password=SECRET))
    )
    ended = run_cli("check-config", "--connect", str(file))
    assert ended.returncode == 0
    assert _rows(ended.stdout)["one"]["denied, or error"] == (
        "client|id: counts itself behind NAT; client|no-evict: may be evicted; "
        "client|setname: not named there"
    )


def test_a_list_that_is_not_wanted_is_not_asked_for(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server()
    client = talk(server)
    tree = quick(target("one", _url(server)))
    asked = []
    for number, enabled in enumerate((False, True)):
        file = _write(tmp_path / f"{number}.yaml", tree | {"clients": {"enabled": enabled}})
        assert run_cli("check-config", "--connect", str(file)).returncode == 0
        asked.append("cmdstat_client|list" in client.info("commandstats"))
    assert asked == [False, True]


@pytest.mark.parametrize(
    ("denied", "limit", "detail", "note"),
    [
        ((), 10, "", ""),
        (("config|get",), None, "", "config|get: limit unknown"),
        (("config|get",), 10, "", "config|get"),
        (("cluster|info", "client|list"), 10, "", "client|list: no apps, hosts or users; cluster|info: "),
        (("client|setname", "client|setinfo"), 1, "", "client|setinfo, client|setname: not named"),
        (("new|one", "client|id"), 1, "", "client|id: counts itself behind NAT; new|one"),
        (("client|id",), 1, "client|list: no answer in time", "client|list: no answer in time; client|id: "),
    ],
)
def test_a_note_says_what_is_missing_and_most_important_first(
    denied: tuple[str, ...], limit: int | None, detail: str, note: str
) -> None:
    trial = Trial(
        Target("t", Access(RedisUrl("h", 1))),
        State.OK,
        read=True,
        limit=limit,
        denied=frozenset(denied),
        detail=detail,
    )
    assert trial.note.startswith(note)
    assert bool(trial.note) == bool(note)


def _try(*ports: int, connect_timeout: float, timeout: float) -> tuple[list[Trial], float]:
    targets = tuple(Target(str(port), Access(RedisUrl("127.0.0.1", port))) for port in ports)
    pace = Pace(60.0, timeout, connect_timeout=connect_timeout)
    began = time.monotonic()
    (tried,) = try_all([Config(targets, pace, ())], lambda: None)
    return tried, time.monotonic() - began


def test_eight_are_under_way_at_any_time_and_none_waits_longer_than_it_may() -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(_silence()) for _ in range(17)]
        tried, took = _try(*silent, connect_timeout=2.0, timeout=0.5)
    assert {trial.state for trial in tried} == {State.TIMEOUT}
    assert [trial.target.name for trial in tried] == [str(port) for port in silent]
    # Three rounds; all at once would take one, one after the other 17.
    assert 3 * 0.5 <= took < 10 * 0.5


def test_a_server_that_hangs_delays_no_other(start_server: StartServer) -> None:
    server = start_server()
    ended: list[float] = []
    with _silence() as silent:
        targets = [Target("hangs", Access(RedisUrl("127.0.0.1", silent)))]
        targets += [Target(f"t{n}", Access(RedisUrl("127.0.0.1", server.port))) for n in range(20)]
        pace = Pace(60.0, 3.0, connect_timeout=9.0)
        began = time.monotonic()
        (tried,) = try_all([Config(tuple(targets), pace, ())], lambda: ended.append(time.monotonic() - began))
    assert [trial.state for trial in tried] == [State.TIMEOUT] + 20 * [State.OK]
    assert len(ended) == 21
    assert ended[-2] < 3.0 <= ended[-1] < 6.0


@pytest.mark.parametrize(
    ("last", "note", "seconds"),
    [
        ((), "client|list: no answer in time", 2.0),
        ((b"",), "client|list: 127.0.0.1:", 0.0),
        ((b"-ERR not today\r\n",), "client|list: unknown", 0.0),
        ((b"$0\r\n\r\n",), "", 0.0),
    ],
)
def test_a_list_that_gets_no_answer_costs_only_what_it_would_have_told(
    last: tuple[bytes, ...], note: str, seconds: float
) -> None:
    info = b"# Server\r\nredis_version:7.0.0\r\nconnected_clients:1\r\nmaxclients:9\r\n"
    greeting = [b"+OK\r\n", b":7\r\n"]
    settings = [b"*0\r\n", b"+OK\r\n"]  # CONFIG GET, CLIENT NO-EVICT
    answers = [b"$%d\r\n%s\r\n" % (len(info), info), *greeting, *settings, *last]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-c", _ANSWERS.format(fd=listener.fileno(), answers=answers)],
            pass_fds=[listener.fileno()],
        )
        try:
            (trial,), took = _try(listener.getsockname()[1], connect_timeout=1.0, timeout=1.0)
        finally:
            process.kill()
            process.wait()
    assert (trial.state, trial.read, trial.limit) == (State.OK, True, 9)
    assert trial.note.startswith(note)
    assert bool(trial.note) == bool(note)
    assert seconds <= took < seconds + 1.9


def test_a_bug_costs_one_row_and_its_text_is_not_shown(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = trials.try_target

    async def try_target(target: Target, pace: Pace, *, lists: bool) -> Trial:
        if target.name == "1":
            raise RuntimeError(SECRET)
        return await sound(target, pace, lists=lists)

    monkeypatch.setattr(trials, "try_target", try_target)
    (first, second), _ = _try(1, start_server().port, connect_timeout=1.0, timeout=1.0)
    assert (first.state, first.read, second.state) == (State.UNKNOWN, False, State.OK)
    assert re.fullmatch(r"a bug of the exporter: RuntimeError in test_check_config\.py:\d+", first.note)


# A server that says what no real one can be made to say; an empty answer ends the connection.
_ANSWERS = """
import socket
client, _ = socket.socket(fileno={fd}).accept()
asked = 0
for answer in {answers}:
    while not asked:
        asked = client.recv(4096).count(b"*")  # each command begins with one, and none of ours has another
    asked -= 1
    if not answer:
        client.close()
        break
    client.sendall(answer)
while answer and client.recv(4096):
    pass
"""


def test_a_server_that_loads_its_data_was_read(start_server: StartServer, talk: Talk, tmp_path: Path) -> None:
    kept = ("--dbfilename", "some.rdb", "--rdbcompression", "no")
    client = talk(start_server("--enable-debug-command", "yes", *kept))
    client.execute_command("DEBUG", "POPULATE", "300", "key", "2000")  # type: ignore[no-untyped-call]
    client.save()
    slow = start_server(
        *kept[:2], "--key-load-delay", "60000", "--loading-process-events-interval-bytes", "1024"
    )
    file = _write(tmp_path / "one.yaml", quick(target("one", _url(slow))))
    ended = run_cli("check-config", "--connect", str(file))
    row = _rows(ended.stdout)["one"]
    assert (ended.returncode, row["state"], row["limit"]) == (0, "loading", "10000")


def test_several_files_have_a_table_each_and_a_faulty_one_costs_only_itself(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    tree = quick(target("one", _url(server)))
    good, same = _write(tmp_path / "1.yaml", tree), _write(tmp_path / "2.yaml", tree)
    bad = _write(tmp_path / "bad.yaml", tree | {"nonsense": 1})
    ended = run_cli("check-config", "--connect", str(good), str(bad), str(same))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{bad}:1: unknown key")
    lines = ended.stdout.splitlines()
    assert lines[:3] == [f"{good}: ok, 1 target", f"{same}: ok, 1 target", ""]
    assert [line for line in lines[3:] if line.endswith(":")] == [f"{good}:", f"{same}:"]
    assert sum(line.startswith("one  ") for line in lines) == 2


def test_the_targets_of_every_shard_are_tried(start_server: StartServer, tmp_path: Path) -> None:
    port = start_server("--bind", *(f"127.0.0.{last}" for last in range(1, 9))).port
    targets = [target(f"t{last}", f"redis://127.0.0.{last}:{port}") for last in range(1, 9)]
    file = _write(tmp_path / "one.yaml", quick(*targets, shard={"index": 1, "count": 3}))
    ended = run_cli("check-config", "--connect", str(file))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{file}: ok, 8 targets\n")
    assert list(_rows(ended.stdout)) == [each["name"] for each in targets]
    said = " ".join(run_cli("check-config", "--help").stdout.split())
    assert "tries the targets of every shard" in said


def test_what_looks_like_markup_is_printed_as_it_is(tmp_path: Path) -> None:
    names = ["[red]", "[/red]", ":smile:", "[link=http://x]y[/]", "店", "a\\[b]"]
    targets = [target(name, f"redis://127.0.0.{last}:1") for last, name in enumerate(names, 1)]
    file = _write(tmp_path / "[bold]one.yaml", _hurried(*targets))
    piped = run_cli("check-config", "--connect", str(file)).stdout
    shown, _ = _on_a_terminal(120, "check-config", "--connect", str(file))
    for text in (piped, "\n".join(_lines(shown))):
        assert [line.split("  ")[0] for line in text.splitlines() if "redis://" in line] == names
    assert f"{file}: ok" in piped
    ascii_only = run_cli("check-config", "--connect", str(file), PYTHONIOENCODING="ascii")
    assert "\\u5e97  " in ascii_only.stdout
    assert "Traceback" not in ascii_only.stderr


def test_for_a_pipe_a_row_is_one_line_however_long_and_has_no_control_sequence(tmp_path: Path) -> None:
    names = ["n" * 200, "short"]
    urls = [f"redis://{'h' * 60}.{'i' * 60}.invalid", "redis://127.0.0.1:1"]
    targets = [target(name, url) for name, url in zip(names, urls, strict=True)]
    file = _write(tmp_path / "one.yaml", _hurried(*targets))
    ended = run_cli("check-config", "--connect", str(file), COLUMNS="40", FORCE_COLOR="1", TERM="xterm")
    rows = _rows(ended.stdout)
    assert list(rows) == names
    assert [row["URL"] for row in rows.values()] == [f"{urls[0]}:6379", urls[1]]
    assert "\x1b" not in ended.stdout + ended.stderr
    assert all(line == line.rstrip() for line in ended.stdout.splitlines())
    assert "Trying" not in ended.stderr


def _mixed(start_server: StartServer, talk: Talk, tmp_path: Path) -> Path:
    server, locked = start_server(), start_server("--requirepass", SECRET)
    talk(server).execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "exporter", "on", f">{SECRET}", "-@all", "+info"
    )
    targets = (
        target("orders", _url(server), username="exporter", password=SECRET),
        target("sessions-of-the-shop", _url(locked), password="wrong"),
        target("cache", "redis://cache-0.cache.shop.svc.cluster.invalid"),
    )
    return _write(tmp_path / "one.yaml", _hurried(*targets))


def test_the_sum_comes_last_where_both_outputs_go_into_one_file(tmp_path: Path) -> None:
    file = _write(tmp_path / "one.yaml", _hurried(target("refused", "redis://127.0.0.1:1")))
    done = subprocess.run(
        command("check-config", "--connect", str(file)),
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == (f"{file}: ok, 1 target", "1 of 1 servers could not be read.")


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_on_a_terminal_the_table_fits_and_nothing_of_it_is_lost(
    columns: int, start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    file = _mixed(start_server, talk, tmp_path)
    written, code = _on_a_terminal(columns, "check-config", "--connect", str(file))
    lines = _lines(written)
    assert code == 1
    assert max(map(len, lines)) <= columns
    assert lines.count("") <= 3
    words = " ".join(lines).split()
    assert [word for word in words if word in ("ok", "auth", "dns")] == ["ok", "auth", "dns"]
    assert words.count("orders") == (1 if columns == 200 else 2)  # the notes stand beside it, or below
    assert words.count("redis://cache-0.cache.shop.svc.cluster.invalid:6379") == (columns > 60)
    assert "wrong password for user default" in " ".join(words)
    assert "2 of 3 servers could not be read." in lines


def test_the_bar_is_on_a_terminal_only_and_goes_when_the_table_comes(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    file = _mixed(start_server, talk, tmp_path)
    written, _ = _on_a_terminal(80, "check-config", "--connect", str(file))
    assert "Trying servers" in written
    assert "3/3" in written
    assert not any("Trying" in line for line in _lines(written))
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor stays hidden"


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_can_be_had_off(no_color: str, start_server: StartServer, talk: Talk, tmp_path: Path) -> None:
    file = _mixed(start_server, talk, tmp_path)
    written, _ = _on_a_terminal(80, "check-config", "--connect", str(file), NO_COLOR=no_color)
    colours = re.findall(r"\x1b\[[0-9;]*\b(?:3[0-9]|9[0-7])\b[0-9;]*m", written)
    assert bool(colours) is (not no_color)
    assert "auth" in written


def test_ctrl_c_ends_it_with_130_and_gives_the_slot_back(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    server = start_server()
    client = talk(server)
    tree = {"targets": [target("hangs", _url(server))], "poll": {"connect_timeout": "60s"}}
    received = client.info("stats")["total_connections_received"]
    server.process.send_signal(signal.SIGSTOP)
    with subprocess.Popen(
        command("check-config", "--connect", str(_write(tmp_path / "one.yaml", tree))),
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            eventually(lambda: _connections_to(server.port, process.pid))
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=20)
        finally:
            process.kill()
            server.process.send_signal(signal.SIGCONT)
    assert process.returncode == 130
    assert stderr == ""
    assert stdout == f"{tmp_path / 'one.yaml'}: ok, 1 target\n"
    assert eventually(lambda: client.info("stats")["total_connections_received"] == received + 1)
    assert eventually(lambda: client.info("clients")["connected_clients"] == 1)


def _connections_to(port: int, pid: int) -> int:
    """How many open sockets a process has to a port of this machine."""
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if line.split()[2].endswith(f":{port:04X}")
    }
    sockets, found = {f"socket:[{inode}]" for inode in inodes}, 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            found += str(file.readlink()) in sockets
    return found


def test_a_password_that_a_server_repeats_is_not_shown(start_server: StartServer, tmp_path: Path) -> None:
    renamed = start_server("--rename-command", "AUTH", "")
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    tree = quick(
        target("renamed", _url(renamed), password_file=str(secret)),
        target("unwanted", f"redis://localhost:{start_server().port}", username="u", password=SECRET),
    )
    ended = run_cli("check-config", "--connect", str(_write(tmp_path / "one.yaml", tree)))
    rows = _rows(ended.stdout)
    assert [row["state"] for row in rows.values()] == ["auth", "auth"]
    assert [row["user"] for row in rows.values()] == ["default", "u"]
    assert SECRET not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("modules", "arguments", "absent"),
    [
        ("exporter.app, exporter.loading, exporter.cli", (), "rich"),
        ("exporter.settings.arguments, exporter.settings.plain", (), "rich"),
        ("exporter.commands.check_config", ("check-config", "config/exporter.yaml"), "rich, redis, uvloop"),
    ],
)
def test_what_only_the_table_needs_is_not_loaded_without_it(
    modules: str, arguments: tuple[str, ...], absent: str
) -> None:
    script = f"""
import sys, {modules}
from exporter import cli
if {arguments!r}:
    assert cli.main({arguments!r}) == 0
print([name for name in {absent.split(", ")!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
