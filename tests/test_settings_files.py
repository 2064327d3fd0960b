"""Files that are no settings at all: each is a sentence, soon, and none costs memory or a signal."""

import os
import time
from pathlib import Path

import pytest

import exporter.settings.file
from exporter.limits import (
    SETTINGS_FAULTS,
    SETTINGS_FILE_BYTES,
    SETTINGS_LEVELS,
    SETTINGS_VALUE_CHARACTERS,
    SETTINGS_VALUES,
)
from exporter.model import ConfigError
from exporter.settings import Sources, load
from exporter.settings.growth import GrowthError, refuse_what_grows
from tests.daemon import run_cli
from tests.leases import not_answering

DEEP = 200_000
NO_FILE = "is not a regular file: a pipe or a device cannot be read again at a reload"
TOO_DEEP = f"nested more than {SETTINGS_LEVELS} levels deep"
TOO_MANY = f"more than {SETTINGS_VALUES} keys and values, with each alias written out"


def _fault(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(Sources(path))
    (fault,) = caught.value.faults
    return str(fault)


def _bomb(level: str, levels: int = 40) -> str:
    """Each level stands for the one before it ten times."""
    lines = ["l0: &l0 {k: v}" if "<<" in level else "l0: &l0 [x]"]
    lines += [level.format(number, ", ".join([f"*l{number - 1}"] * 10)) for number in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[" * DEEP, TOO_DEEP, id="lists"),
        pytest.param("[" * DEEP + "]" * DEEP, TOO_DEEP, id="closed lists"),
        pytest.param("{a: " * DEEP, TOO_DEEP, id="groups"),
        pytest.param("- " * DEEP, TOO_DEEP, id="dashes"),
        pytest.param("? " * DEEP, TOO_DEEP, id="keys"),
        pytest.param("targets:\n  - " + "[{a: " * DEEP, TOO_DEEP, id="mixed"),
        pytest.param(_bomb("l{0}: &l{0} [{1}]"), TOO_MANY, id="lists of aliases"),
        pytest.param(_bomb("l{0}: &l{0} {{<<: [{1}]}}"), TOO_MANY, id="merged aliases"),
        pytest.param("a: &a [x, *a]", "an alias stands for a group that it is in", id="itself"),
        pytest.param("a: &a {b: {<<: *a}}", "an alias stands for a group that it is in", id="merges itself"),
        pytest.param("a: " + "1:" * DEEP + "1", f"more than {SETTINGS_VALUE_CHARACTERS} char", id="long"),
        pytest.param("a: [" + "x," * (SETTINGS_VALUES + 1) + "]", TOO_MANY, id="many"),
    ],
)
def test_a_text_that_grows_is_refused_before_anything_is_built_of_it(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(text)
    began = time.process_time()
    fault = _fault(file)
    assert time.process_time() - began < 5
    assert fault.startswith(f"{file}:")
    assert said in fault


def test_what_is_refused_for_its_growth_is_exit_code_2_and_one_line(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("{a: " * DEEP)
    ended = run_cli("--config.file", str(file))
    assert (ended.returncode, ended.stderr) == (2, f"{file}:1: {TOO_DEEP}\n")


def test_aliases_that_stand_for_little_are_what_they_always_were(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    targets = "".join(f"  - {{url: redis://h:{port}, tls: *none, labels: *team}}\n" for port in range(1, 500))
    head = "targets:\n  - {url: redis://h:1000, tls: &none {}, labels: &team {team: a}}\n"
    file.write_text(head + targets)
    assert load(Sources(file)).targets[-1].labels == {"team": "a"}


def test_an_anchor_may_be_used_again_within_its_own_group() -> None:
    refuse_what_grows("a: &a [&a x, *a]")
    with pytest.raises(GrowthError):
        refuse_what_grows("a: &a x\nb: &a [*a]")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = {"pipe": tmp_path / "pipe", "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    expected = "is a directory: write the path of a file in it" if kind == "folder" else NO_FILE
    assert _fault(path) == f"{path}: {expected}"
    ended = run_cli("--config.file", str(path))
    assert (ended.returncode, ended.stderr) == (2, f"{path}: {expected}\n")


def test_a_file_may_have_10_mib_and_no_byte_more(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    text = "targets: [{url: redis://h}]\n"
    file.write_text(text + "#" * (SETTINGS_FILE_BYTES - len(text)))
    assert len(load(Sources(file)).targets) == 1
    with file.open("a") as more:
        more.write("#")
    assert _fault(file) == f"{file}: is larger than 10 MiB: is it the right file?"


def test_a_file_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter.settings.file, "SETTINGS_FILE_SECONDS", 0.2)
    file = tmp_path / "exporter.yaml"
    with not_answering(file):
        assert _fault(file) == (
            f"{file}: does not answer within 0.2 s: is the disk or the mount under it gone?"
        )


def test_of_very_many_faults_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text("targets:\n" + "- {ulr: redis://h}\n" * 1000)
    with pytest.raises(ConfigError) as caught:
        load(Sources(file))
    faults = [str(fault) for fault in caught.value.faults]
    assert len(faults) == SETTINGS_FAULTS + 1
    assert faults[-1] == f"settings: {2000 - SETTINGS_FAULTS} faults more"
