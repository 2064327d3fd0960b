"""The command line: subcommands, and the only place that decides exit codes."""

import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from exporter import NAME, __version__
from exporter.settings import ConfigError, Settings, Sources, load
from exporter.settings.flags import add_flags, given_flags

_USAGE_ERROR = 2
_EPILOG = f"""\
other commands:
  {NAME} check-config FILE    name every fault of a configuration file
  {NAME} demo                 start Redis servers in trouble, and watch them
  {NAME} healthcheck          exit 0 when the running exporter is healthy

Every flag is also a key of the file (web.listen_address) and a variable (EXPORTER_WEB__LISTEN_ADDRESS).
Flags win over variables, variables over the file. Passwords are given by file, variable or password_file
only, never on the command line.
"""


class _Parser(ArgumentParser):
    """Names unknown flags without their values, which may be passwords."""

    def read(self, arguments: Sequence[str]) -> dict[str, object]:
        known, unknown = self.parse_known_args(arguments)
        flags = [text.partition("=")[0] for text in unknown if text.startswith("-")]
        if any("password" in flag for flag in flags):
            self.error(
                "a password is never taken from the command line: write auth.password_file or a variable"
            )
        if unknown:
            self.error(f"unknown: {', '.join(flags) or 'an argument'}. See --help")
        return vars(known)


def _parser(command: str, summary: str, epilog: str = "") -> _Parser:
    return _Parser(
        prog=f"{NAME} {command}".strip(),
        description=summary,
        epilog=epilog,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _settings_parser(command: str, summary: str, epilog: str = "") -> _Parser:
    parser = _parser(command, summary, epilog)
    parser.add_argument("--config.file", dest="config.file", metavar="FILE", type=Path, help="YAML file.")
    add_flags(parser)
    return parser


def _sources(given: dict[str, object], urls: Sequence[str]) -> Sources:
    file = given["config.file"]
    return Sources(file if isinstance(file, Path) else None, given_flags(given), tuple(urls))


def _print_faults(error: ConfigError) -> int:
    for fault in error.faults:
        print(fault, file=sys.stderr)
    return _USAGE_ERROR


def _serve(arguments: Sequence[str]) -> int:
    parser = _settings_parser(
        "", "Prometheus exporter for the connections of Redis and Valkey servers.", _EPILOG
    )
    parser.usage = f"{NAME} [serve] [URL ...] [--config.file FILE] [flags]"
    parser.add_argument(
        "url", nargs="*", metavar="URL", help="redis://host:6379, rediss://, unix:///path ..."
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    given = parser.read(arguments)
    urls = given.pop("url")
    sources = _sources(given, urls if isinstance(urls, list) else [])

    def read_settings() -> Settings:
        return load(sources)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the loop listens, a reload must not end us
    from exporter import app  # noqa: PLC0415  the other commands start faster without it

    try:
        app.run(read_settings)
    except ConfigError as error:
        return _print_faults(error)
    except OSError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    return 0


def _check_config(arguments: Sequence[str]) -> int:
    parser = _parser("check-config", "Check a configuration file, and name every fault with its path.")
    parser.add_argument("file", metavar="FILE", type=Path)
    file = parser.read(arguments)["file"]
    try:
        settings = load(Sources(file if isinstance(file, Path) else None))
    except ConfigError as error:
        return _print_faults(error)
    print(f"{file}: ok, {len(settings.targets)} target{'s' if len(settings.targets) != 1 else ''}")
    return 0


def _healthcheck(arguments: Sequence[str]) -> int:
    import http.client  # noqa: PLC0415  for this command alone

    parser = _settings_parser("healthcheck", "Exit 0 when the exporter that these settings start is healthy.")
    given = parser.read(arguments)
    try:  # targets may be arguments of the running exporter that we do not see, and do not matter here
        web = load(_sources(given, ["redis://any.invalid"])).web
    except ConfigError as error:
        return _print_faults(error)
    address = web.listen_address[0]
    connection = http.client.HTTPConnection(address.host or "localhost", address.port, timeout=5)
    try:
        connection.request("GET", "/-/healthy")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"{NAME} does not answer on {address}: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()
    return 0 if status == http.client.OK else 1


def _demo(arguments: Sequence[str]) -> int:
    from exporter.demo.run import DemoError, demo  # noqa: PLC0415  for this command alone

    parser = _parser("demo", "Start Redis servers in trouble on this machine, and watch them until Ctrl-C.")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="stop by itself after so long")
    parser.add_argument(
        "--web.listen-address",
        dest="address",
        default="127.0.0.1:10051",
        metavar="ADDRESS",
        help="where to serve",
    )
    given = parser.read(arguments)
    duration = given["duration"]
    try:
        demo(str(given["address"]), duration if isinstance(duration, float) else None)
    except ConfigError as error:
        return _print_faults(error)
    except (DemoError, OSError) as error:
        print(f"{NAME} demo: {error}", file=sys.stderr)
        return 1
    return 0


_COMMANDS = {"serve": _serve, "check-config": _check_config, "healthcheck": _healthcheck, "demo": _demo}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for a failure, 2 for faulty settings or usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = _COMMANDS.get(words[0]) if words else None
    return command(words[1:]) if command is not None else _serve(words)
