"""The process that reads the settings: what it imports, how it ends, what is said when it hangs."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

import exporter.loading
from exporter.demo.servers import free_port
from exporter.loading import Loading
from exporter.model import Config, ConfigError
from tests.daemon import ROOT, children, command, environment, quick, running_exporter, target
from tests.leases import not_answering
from tests.waiting import eventually

RELOADED = "redis_connection_exporter_config_last_reload_successful"
DEAD = "does not answer within 10 s: is the disk or the mount under it gone?"


def _gone(pid: int) -> bool:
    """Whether a process has ended; its new parent may not have looked yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def _waits_for_the_file(pid: int) -> bool:
    """Whether it has its second thread, which does nothing but read the file."""
    return len(list(Path(f"/proc/{pid}/task").glob("*"))) > 1


@pytest.fixture
def starting(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """An exporter whose file does not answer; it has a child that waits for it."""
    file = tmp_path / "dead.yaml"
    with not_answering(file):
        process = subprocess.Popen(
            command("--config.file", str(file)),
            env=environment(),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            eventually(lambda: any(map(_waits_for_the_file, children(process.pid))))
            yield process
        finally:
            process.kill()
            process.communicate()


def test_a_file_that_does_not_answer_is_a_sentence_at_the_start_and_202_at_a_reload(
    starting: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    with running_exporter(tmp_path, quick(target("one", f"redis://127.0.0.1:{free_port()}"))) as daemon:
        daemon.wait_for({"one": "refused"})
        with not_answering(daemon.config):
            answer = daemon.ask("/-/reload", "POST")
            assert answer.status == 202
            assert RELOADED in answer.text
            assert '"configuration refused"' in answer.text
            assert daemon.scrape().get(RELOADED) == 1, "nothing is known yet"
            eventually(lambda: daemon.scrape().get(RELOADED) == 0)
            assert DEAD in daemon.output()
            assert children(daemon.process.pid) == []
        assert daemon.ask("/-/reload", "POST").status == 200
        assert daemon.scrape().get(RELOADED) == 1
    _, said = starting.communicate(timeout=15)
    assert (starting.returncode, said) == (2, f"{tmp_path / 'dead.yaml'}: {DEAD}\n")


def test_the_child_ends_with_its_parent(starting: "subprocess.Popen[str]") -> None:
    (child,) = children(starting.pid)
    starting.kill()
    eventually(lambda: _gone(child), within=3)


def test_the_child_of_a_parent_that_ended_before_it_began_ends_too(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    orphan = (
        "import os, sys\n"
        "from exporter.lifeline import end_with\n"
        "parent = os.getpid()\n"
        "reading, writing = os.pipe()\n"
        "if child := os.fork():\n"
        f"    open({str(pids)!r}, 'w').write(str(child))\n"
        "    os._exit(0)\n"
        "while os.getppid() == parent: pass\n"
        "end_with(parent)\n"
        "import time; time.sleep(60)\n"
    )
    subprocess.run([sys.executable, "-c", orphan], cwd=ROOT, check=True, timeout=30)
    eventually(lambda: _gone(int(pids.read_text())), within=3)


def test_a_child_that_is_killed_is_exit_code_2_and_a_sentence(starting: "subprocess.Popen[str]") -> None:
    (child,) = children(starting.pid)
    os.kill(child, signal.SIGKILL)
    _, said = starting.communicate(timeout=10)
    assert starting.returncode == 2
    assert said == "settings: the process that reads them was ended by signal 9 (Killed)\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_sigterm_and_ctrl_c_end_a_start_that_waits_and_leave_nobody(
    starting: "subprocess.Popen[str]", number: signal.Signals, code: int
) -> None:
    (child,) = children(starting.pid)
    starting.send_signal(number)
    _, said = starting.communicate(timeout=5)
    assert (starting.returncode, said) == (code, "")
    eventually(lambda: _gone(child), within=3)


def test_the_kernel_short_of_memory_ends_the_child_before_the_daemon(
    starting: "subprocess.Popen[str]",
) -> None:
    (child,) = children(starting.pid)
    assert Path(f"/proc/{child}/oom_score_adj").read_text() == "1000\n"
    assert int(Path(f"/proc/{starting.pid}/oom_score_adj").read_text()) < 1000


def test_a_reading_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "exporter.yaml"
    monkeypatch.setattr(exporter.loading, "SETTINGS_SECONDS", 1)
    with not_answering(file):
        given_up = pytest.raises(ConfigError, match=r"^settings: not read within 1 s, and given up")
        with given_up, Loading(["--config.file", str(file)]) as loading:
            loading.finish()


def test_many_targets_come_through_whatever_the_number_of_the_pipe(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("targets:\n" + "".join(f"- {{url: 'redis://h:{port}'}}\n" for port in range(1, 1000)))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 4096), limits[1]))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]  # select(2) knows 1,024
    try:
        with Loading(["--config.file", str(file)]) as loading:
            config = loading.finish()
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert isinstance(config, Config)
    assert len(config.targets) == 999


def test_a_module_of_site_packages_does_not_hide_one_of_python(tmp_path: Path) -> None:
    """Backports of pathlib, enum or typing lie in many an environment; Python itself never sees them."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(tmp_path / "venv")}))
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "exporter", packages / "exporter", ignore=ignored)
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for backport in ("pathlib", "enum", "typing", "dataclasses"):
        (packages / f"{backport}.py").write_text(f"raise SystemExit('{backport} of site-packages')")
    script = tmp_path / "redis-connection-exporter"
    script.write_text(f"#!{python}\nfrom exporter.cli import main\nraise SystemExit(main())\n")
    script.chmod(0o755)
    began = time.monotonic()
    ended = subprocess.run(
        [script, "http://h"], env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.stderr.startswith("URL 1 on the command line: not a URL of a Redis server"), ended.stderr
    assert ended.returncode == 2
    assert time.monotonic() - began < 30
