"""check-config: name every fault of configuration files, and try their servers where that is asked for."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from exporter.model import Config, ConfigError, State
from exporter.settings import Settings, Sources, load
from exporter.settings.arguments import Parser
from exporter.settings.plain import plain_config, plain_targets
from exporter.settings.variables import ignored_variables

_SUMMARY = "Check configuration files, each for itself, and name every fault with its file, line and path."
_CONNECT = "also connect to every server once, and print what came of it"
_EPILOG = f"""\
--connect makes one attempt for each target of each file that has no fault, at most eight at a time, and gives
it poll.connect_timeout and poll.timeout. It tries the targets of every shard, not only those of shard.index.
It takes one connection of each server for that moment. A state is one of
{", ".join(State)}.

exit status:
  0  no file has a fault, and with --connect every server was read (as redis_up 1 would say)
  1  a server could not be read
  2  a file has a fault
"""


def check_config(arguments: Sequence[str]) -> int:
    """Run the command, and return its exit code."""
    parser = Parser("check-config", _SUMMARY, _EPILOG)
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="YAML file")
    parser.add_argument("--connect", action="store_true", help=_CONNECT)
    given = parser.read(arguments)
    files = given["files"] if isinstance(given["files"], list) else []
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name may hold any letter
    good = _good_files(files)
    all_read = _connect(good, with_titles=len(files) > 1) if given["connect"] else True
    if len(good) < len(files):
        return 2
    return 0 if all_read else 1


def _good_files(files: Sequence[Path]) -> list[tuple[Path, Config]]:
    """Check each file, say what was found, and return those without a fault."""
    good: list[tuple[Path, Config]] = []
    said: set[str] = set()
    for ignored in ignored_variables(os.environ):
        print(ignored, file=sys.stderr)
    for file in files:
        try:
            settings = load(Sources(file))
        except ConfigError as error:
            for fault in map(str, error.faults):
                if fault not in said:  # the fault of a variable is found with every file
                    print(fault, file=sys.stderr)
                said.add(fault)
            continue
        count = len(settings.targets)
        print(f"{file}: ok, {count} target{'s' if count != 1 else ''}", flush=True)
        good.append((file, _with_every_shard(settings)))
    return good


def _with_every_shard(settings: Settings) -> Config:
    return replace(plain_config(settings), targets=plain_targets(settings))


def _connect(files: Sequence[tuple[Path, Config]], *, with_titles: bool) -> bool:
    """Try every server, print a table for each file, and say whether all servers were read."""
    from exporter.commands.trial_table import print_table, progress  # noqa: PLC0415  rich and redis-py: only for this
    from exporter.commands.trials import try_all  # noqa: PLC0415

    with progress(sum(len(config.targets) for _, config in files)) as advance:
        tried = try_all([config for _, config in files], advance)
    for (file, _), trials in zip(files, tried, strict=True):
        print(f"\n{file}:" if with_titles else "")
        print_table(trials)
    unread = sum(not trial.read for trials in tried for trial in trials)
    if unread:
        count = sum(map(len, tried))
        sys.stdout.flush()  # where both go into one file this comes last
        print(f"\n{unread} of {count} servers could not be read.", file=sys.stderr)
    return not unread
