"""The command line as a person at a terminal meets it."""

from pathlib import Path

import pytest

from exporter import __version__
from exporter.cli import _COMMANDS
from exporter.settings.arguments import COMMANDS, serve_sources
from exporter.settings.flags import leaves
from tests.daemon import run_cli


def test_version_is_one_line_on_stdout() -> None:
    ended = run_cli("--version")
    assert (ended.returncode, ended.stdout) == (0, f"redis-connection-exporter {__version__}\n")


def test_the_words_that_are_commands_are_known_where_urls_are_read() -> None:
    assert tuple(_COMMANDS) == COMMANDS


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
        (("help",), "help is no URL: did you mean --help?"),
        (("inspect.yaml",), "inspect.yaml is a file and no URL: did you mean --config.file inspect.yaml?"),
        (("hunter2",), "URL 1 on the command line: the scheme, or the // behind it, is missing"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Version"], "version is no URL: did you mean --version?"),
        (["redis://h", "./a/b.YML"], "./a/b.YML is a file and no URL: did you mean --config.file ./a/b.YML?"),
        (["--log.level", "warn", "demo"], "demo is a command and stands first"),
        (["chekc-config", "a.yaml"], "there is no such command: did you mean check-config?"),
    ],
)
def test_a_word_in_the_place_of_a_url_is_answered_with_what_was_meant(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        serve_sources(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["redis://help", "h:6379", "demo:6379", "localhost", "s3cret", "/run/redis.sock"]
)
def test_any_other_word_is_left_to_the_reader_of_urls(url: str) -> None:
    assert serve_sources([url]).urls == (url,)


def test_check_config_names_the_targets_it_found_or_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("targets: [{url: redis://h}]")
    assert run_cli("check-config", str(file)).stdout == f"{file}: ok, 1 target\n"
    file.write_text("targets: [{url: redis://h}]\npoll: {interval: 5}\nlog: {format: xml}")
    faults = run_cli("check-config", str(file)).stderr.splitlines()
    assert len(faults) == 2
    assert all(fault.startswith(f"{file}:") for fault in faults)
