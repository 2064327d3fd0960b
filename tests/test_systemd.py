"""The unit of config/systemd is one that systemd accepts, and calls safe."""

import contextlib
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from exporter.demo.servers import free_port
from tests.conftest import StartServer, need, need_program
from tests.daemon import ROOT, quick, target
from tests.image import Image
from tests.servers.fetch import MissingError
from tests.systemd import booted
from tests.waiting import eventually

UNIT = ROOT / "config/systemd/redis-connection-exporter.service"
_INSTALLED = "/usr/local/bin/redis-connection-exporter"


def _analyze(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [need_program("systemd-analyze"), *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the program that is installed here: systemd looks whether it is there."""
    program = Path(sys.executable).parent / "redis-connection-exporter"
    need(program.exists(), f"{program} is not installed")
    text = UNIT.read_text()
    assert f"\nExecStart={_INSTALLED}\n" in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(_INSTALLED, str(program)))
    return copy


def test_systemd_finds_no_fault_in_the_unit(unit: Path) -> None:
    verified = _analyze("verify", "--man=no", unit)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_systemd_calls_the_unit_safe(unit: Path) -> None:
    # 10 is a service without any restriction; below 2 it calls it OK. The network costs 0.8.
    judged = _analyze("security", "--offline=true", "--threshold=20", unit)
    assert judged.returncode == 0, judged.stdout


def test_the_unit_reads_its_secret_reloads_and_ends_under_a_real_systemd(
    image: Image, start_server: StartServer
) -> None:
    server, port = start_server("--requirepass", "a secret"), free_port()
    # A lookup of a name calls more of the system than an address.
    hosts = {"orders": "localhost", "elsewhere": "127.0.0.1"}
    secrets = f"/run/credentials/{UNIT.name}/secret_"
    tree = quick(
        *(
            target(name, f"redis://{host}:{server.port}", password_file=secrets + name)
            for name, host in hosts.items()
        ),
        web={"listen_address": [f"127.0.0.1:{port}"]},
    )
    files = {
        "/etc/redis-connection-exporter/exporter.yaml": yaml.safe_dump(tree),
        "/etc/redis-connection-exporter/secrets/orders": "a secret",
        "/etc/elsewhere": "a secret",
        f"/etc/systemd/system/{UNIT.name}.d/override.conf": (
            "[Service]\nLoadCredential=secret_elsewhere:/etc/elsewhere\n"
        ),
    }

    def scrape() -> str:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            return str(page.read().decode())
        return ""

    def shown(*properties: str) -> list[str]:
        wanted = f"--property={','.join(properties)}"
        return machine.control("show", UNIT.name, "--value", wanted).split()

    try:
        with booted(image.files / "app", UNIT, files) as machine:
            for name in hosts:
                eventually(lambda up=f'redis_up{{target="{name}"}} 1': up in scrape(), 60)  # type: ignore[misc]
            assert "process_start_time_seconds" in scrape()
            (pid,) = shown("MainPID")
            status = machine.runc("exec", "cat", f"/proc/{pid}/status").stdout
            assert re.search(r"^Uid:\t[1-9]", status, re.MULTILINE), "it runs as root"
            assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE), "it could get capabilities"
            assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE), "it may call what it likes"
            machine.control("reload", UNIT.name)
            eventually(lambda: 'msg="configuration loaded"' in machine.control("status", UNIT.name), 30)
            assert shown("MainPID") == [pid]
            machine.control("stop", UNIT.name)
            assert shown("Result", "ExecMainStatus") == ["success", "0"]
    except MissingError as error:
        need(None, str(error))


def test_documents_and_settings_name_the_unit_its_files_and_its_secrets() -> None:
    deploy, text = (ROOT / "docs/deploy.md").read_text(), UNIT.read_text()
    (secret, folder) = re.findall(r"^LoadCredential=(\w+):(\S+)$", text, re.MULTILINE)[0]
    (settings,) = re.findall(r"^Environment=EXPORTER_CONFIG__FILE=(\S+)$", text, re.MULTILINE)
    assert f"/run/credentials/{UNIT.name}/{secret}_" in deploy
    for path in (folder, settings, _INSTALLED):
        assert path in deploy
