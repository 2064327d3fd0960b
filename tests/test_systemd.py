"""The unit of config/systemd is one that systemd accepts, and calls safe."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need, need_program
from tests.daemon import ROOT

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


def test_documents_and_settings_name_the_unit_its_files_and_its_secrets() -> None:
    deploy, text = (ROOT / "docs/deploy.md").read_text(), UNIT.read_text()
    (secret, folder) = re.findall(r"^LoadCredential=(\w+):(\S+)$", text, re.MULTILINE)[0]
    (settings,) = re.findall(r"^Environment=EXPORTER_CONFIG__FILE=(\S+)$", text, re.MULTILINE)
    assert f"/run/credentials/{UNIT.name}/{secret}_" in deploy
    for path in (folder, settings, _INSTALLED):
        assert path in deploy
