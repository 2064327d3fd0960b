"""Programs that are to be had as Go modules only, built once and kept beside the servers."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.conftest import need
from tests.servers.fetch import MissingError, fetch
from tests.servers.kinds import CACHE

# A Go that is too old for a module gets a newer one, from 1.21 on, wherever the machine was told not to.
_SETTINGS = {"GOFLAGS": "", "GOTOOLCHAIN": "auto"}


def go(*arguments: str, within: str | Path = "/", **variables: str) -> str:
    """Run Go, and return what it prints.

    Raises:
        MissingError: Go is not there, or has failed.

    """
    if shutil.which("go") is None:
        raise MissingError("Go is not installed")
    done = subprocess.run(
        ["go", *arguments],
        cwd=within,
        env=os.environ | _SETTINGS | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MissingError(f"go {' '.join(arguments)} failed: {done.stdout[-300:]}{done.stderr[-500:]}")
    return done.stdout


def install(folder: Path, package: str, version: str) -> None:
    """Build a program into a folder, where it is called by the last part of its package."""
    go("install", f"{package}@{version}", GOBIN=str(folder))


def go_tool(package: str, version: str) -> str:
    """The path of a program, which is built where it is not there yet."""
    folder = CACHE.parent / "go" / f"{package.replace('/', '-')}-{version}"
    try:
        fetch(folder, lambda made: install(made, package, version))
    except MissingError as error:
        need(None, str(error))
    return str(folder / package.rpartition("/")[2])
