"""Programs that are to be had as Go modules only, built once and kept beside the servers."""

import os
import subprocess
from pathlib import Path

from tests.conftest import need, need_program
from tests.servers.fetch import MissingError, fetch
from tests.servers.kinds import CACHE


def go_tool(package: str, version: str) -> str:
    """The path of a program, which `go install` names after the last part of its package."""
    go = need_program("go")

    def install(folder: Path) -> None:
        done = subprocess.run(
            [go, "install", f"{package}@{version}"],
            env=os.environ | {"GOBIN": str(folder), "GOFLAGS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise MissingError(f"go install {package}@{version} failed: {done.stderr[-500:]}")

    folder = CACHE.parent / "go" / f"{package.replace('/', '-')}-{version}"
    try:
        fetch(folder, install)
    except MissingError as error:
        need(None, str(error))
    return str(folder / package.rpartition("/")[2])
