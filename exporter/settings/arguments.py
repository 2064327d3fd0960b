"""The command lines that settings are read from."""

import re
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from exporter import NAME, __version__
from exporter.settings.flags import add_flags, given_flags
from exporter.settings.load import Sources

COMMANDS = ("serve", "check-config", "healthcheck", "demo")

# Words where a URL belongs, and the flag that was meant.
_FLAGS = {"help": "--help", "h": "--help", "?": "--help", "version": "--version", "v": "--version"}
_FILE = re.compile(r"[\w./~-]+\.(?:ya?ml|json|toml|conf|cfg|ini)", re.IGNORECASE)
_RESEMBLES = 0.75

_EPILOG = f"""\
other commands:
  {NAME} check-config FILE...  name every fault of files; --connect tries their servers
  {NAME} demo                  start Redis servers in trouble, and watch them
  {NAME} healthcheck           exit 0 when the running exporter is healthy

Every setting is a flag, a key of the file (web.listen_address) and a variable (EXPORTER_WEB__LISTEN_ADDRESS).
Flags win over variables, variables over the file. Passwords are given by file, variable or password_file
only, never on the command line.
"""


class Parser(ArgumentParser):
    """Names unknown flags without their values, which may be passwords."""

    def __init__(self, command: str, summary: str, epilog: str = "") -> None:
        super().__init__(
            prog=f"{NAME} {command}".strip(),
            description=summary,
            epilog=epilog,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def read(self, arguments: Sequence[str]) -> dict[str, object]:
        """Parse, or exit with 2 and a sentence."""
        known, unknown = self.parse_known_args(arguments)
        flags = [text.partition("=")[0] for text in unknown if text.startswith("-")]
        if any("password" in flag for flag in flags):
            self.error(
                "a password is never taken from the command line: write auth.password_file or a variable"
            )
        if unknown:
            self.error(f"unknown: {', '.join(flags) or 'an argument'}. See --help")
        return vars(known)


def serve_sources(arguments: Sequence[str]) -> Sources:
    """Read the command line of the daemon."""
    parser = Parser("", "Prometheus exporter for the connections of Redis and Valkey servers.", _EPILOG)
    parser.usage = f"{NAME} [serve] [URL ...] [--config.file FILE] [flags]"
    parser.add_argument("url", nargs="*", metavar="URL", help="redis://host:6379, rediss:// or unix:///path")
    parser.add_argument(
        "--version", action="version", version=f"{NAME} {__version__}", help="print the version, and end"
    )
    given = _with_settings(parser, arguments)
    urls = given["url"] if isinstance(given["url"], list) else []
    for word in urls:
        meant = _instead_of(word)
        if meant is not None:
            parser.error(meant)
    return _sources(given, urls)


def _instead_of(word: str) -> str | None:
    """What to write instead of a word that is no URL; any other is not repeated, as it may be a password."""
    flag = _FLAGS.get(word.lower())
    if flag is not None:
        return f"{word.lower()} is no URL: did you mean {flag}?"
    if word in COMMANDS:
        return f"{word} is a command and stands first: {NAME} {word} ..."
    if _FILE.fullmatch(word):
        return f"{word} is a file and no URL: did you mean --config.file {word}?"
    close = get_close_matches(word.lower()[:50], COMMANDS, n=1, cutoff=_RESEMBLES)
    return f"there is no such command: did you mean {close[0]}?" if close else None


def healthcheck_sources(arguments: Sequence[str]) -> Sources:
    """Read the command line of the health check: the daemon's, without targets."""
    parser = Parser("healthcheck", "Exit 0 when the exporter that these settings start is healthy.")
    return _sources(_with_settings(parser, arguments), [])


def _with_settings(parser: Parser, arguments: Sequence[str]) -> dict[str, object]:
    parser.add_argument("--config.file", dest="config.file", metavar="FILE", type=Path, help="YAML file.")
    add_flags(parser)
    return parser.read(arguments)


def _sources(given: dict[str, object], urls: Sequence[str]) -> Sources:
    file = given["config.file"]
    return Sources(file if isinstance(file, Path) else None, given_flags(given), tuple(urls))
