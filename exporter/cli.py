"""The command line: subcommands, and the only place that decides exit codes."""

import signal
import sys
from collections.abc import Sequence

from exporter import NAME
from exporter.loading import Loading
from exporter.model import Config, ConfigError, Fault

# Each command imports what it alone needs: the daemon, above all, never sees pydantic.
# ruff: noqa: PLC0415

_USAGE_ERROR = 2


def _print_faults(error: ConfigError) -> int:
    for fault in error.faults:
        print(fault, file=sys.stderr)
    return _USAGE_ERROR


def _serve(arguments: Sequence[str]) -> int:
    # Until the loop catches signals: nothing to reload yet, nothing to drain yet.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with Loading(arguments) as loading:
            from exporter import app  # while the child reads the settings

            config = loading.finish()
        if isinstance(config, int):
            return config
        app.run(config, lambda: _load_again(arguments))
    except ConfigError as error:
        return _print_faults(error)
    except OSError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    return 0


def _load_again(arguments: Sequence[str]) -> Config:
    """Read the settings for a reload; what keeps them from being read is a fault like any other."""
    try:
        with Loading(arguments) as loading:
            config = loading.finish()
    except OSError as error:
        raise ConfigError([Fault("settings", f"cannot be read: {error.strerror}")]) from error
    if isinstance(config, int):
        raise ConfigError([Fault("settings", "the process that reads them ended without them")])
    return config


def _check_config(arguments: Sequence[str]) -> int:
    from exporter.commands.check_config import check_config

    return check_config(arguments)


def _healthcheck(arguments: Sequence[str]) -> int:
    import http.client

    from exporter.settings import load_web
    from exporter.settings.arguments import healthcheck_sources

    try:
        address = load_web(healthcheck_sources(arguments)).listen_address[0]
    except ConfigError as error:
        return _print_faults(error)
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
    from exporter.demo.run import DemoError, demo
    from exporter.settings.arguments import Parser
    from exporter.settings.kinds import parse_listen_address

    parser = Parser("demo", "Start Redis servers in trouble on this machine, and watch them until Ctrl-C.")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="stop by itself after so long")
    parser.add_argument(
        "--web.listen-address",
        dest="address",
        default="127.0.0.1:10051",
        metavar="ADDRESS",
        help="where to serve; default: 127.0.0.1:10051",
    )
    given = parser.read(arguments)
    duration = given["duration"]
    if isinstance(duration, float) and not duration > 0:
        parser.error("--duration: write a number of seconds above 0")
    try:
        address = parse_listen_address(given["address"])
    except ValueError as error:
        parser.error(f"--web.listen-address: {error}")
    try:
        demo(address, duration if isinstance(duration, float) else None)
    except (DemoError, OSError) as error:
        print(f"{NAME} demo: {error}", file=sys.stderr)
        return 1
    return 0


_COMMANDS = {"serve": _serve, "check-config": _check_config, "healthcheck": _healthcheck, "demo": _demo}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for a failure, 2 for faulty settings or usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = _COMMANDS.get(words[0]) if words else None
    try:
        return command(words[1:]) if command is not None else _serve(words)
    except KeyboardInterrupt:  # before there was anything to stop
        return 128 + signal.SIGINT
