"""The command line as a person at a terminal meets it."""

from pathlib import Path

import pytest

from exporter import __version__
from exporter.settings.flags import leaves
from tests.daemon import run_cli


def test_version_is_one_line_on_stdout() -> None:
    ended = run_cli("--version")
    assert (ended.returncode, ended.stdout) == (0, f"redis-connection-exporter {__version__}\n")


def test_help_names_every_flag_with_its_default_and_every_command() -> None:
    ended = run_cli("serve", "--help")
    assert ended.returncode == 0
    text = " ".join(ended.stdout.split())
    for leaf in leaves():
        assert (f"{leaf.flag} " in text) != leaf.secret, leaf.key
    for said in (
        "Default: 5s",
        "Default: :10051",
        "check-config FILE",
        "demo",
        "healthcheck",
        "never on the",
    ):
        assert said in text
    assert ended.stdout == run_cli("--help").stdout


@pytest.mark.parametrize("command", ["check-config", "healthcheck", "demo"])
def test_every_command_has_help(command: str) -> None:
    ended = run_cli(command, "--help")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"usage: redis-connection-exporter {command}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no server to watch: write targets: in the file, or a URL on the command line"),
        (("--bogus", "x", "redis://h"), "unknown: --bogus"),
        (("redis://h", "--poll.interval", "0s"), "--poll.interval: too short: write 1s or more"),
        (("http://h",), "URL 1 on the command line: not a URL of a Redis server"),
        (("--config.file", "/nothing.yaml"), "/nothing.yaml: cannot be read: No such file or directory"),
        (("--poll.int", "5s", "redis://h"), "unknown: --poll.int"),
        (("check-config",), "the following arguments are required: FILE"),
        (("check-config", "--conect", "a"), "unknown: --conect"),
        (("demo", "--web.listen-address", "nonsense"), "write :10051, 127.0.0.1:10051 or [::1]:10051"),
        (("demo", "--duration", "long"), "--duration"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence_and_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    ended = run_cli(*arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_check_config_names_the_targets_it_found_or_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("targets: [{url: redis://h}]")
    assert run_cli("check-config", str(file)).stdout == f"{file}: ok, 1 target\n"
    file.write_text("targets: [{url: redis://h}]\npoll: {interval: 5}\nlog: {format: xml}")
    faults = run_cli("check-config", str(file)).stderr.splitlines()
    assert len(faults) == 2
    assert all(fault.startswith(f"{file}:") for fault in faults)
