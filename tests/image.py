"""The image without a Docker daemon: built by buildah, run by runc as strictly as a cluster may ask for."""

import contextlib
import hashlib
import inspect
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.demo.servers import free_port
from tests.daemon import ROOT, Daemon
from tests.servers.fetch import MissingError, fetch
from tests.servers.kinds import CACHE
from tests.waiting import eventually

_PIP_SETTING = re.compile(r"(?:global|install|:env:)\.([a-z-]+)='(.*)'")
_PIP_WHERE = ("cert", "extra-index-url", "index-url", "proxy", "timeout", "trusted-host")


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def make_base(folder: Path) -> None:
    """Debian 13 with Python 3.13; like the default base without bytecode of the standard library."""
    include = "--include=python3,python3-venv,ca-certificates"
    # In a mount namespace of its own, so that nothing stays mounted whatever happens.
    command = ["unshare", "--mount", "debootstrap", "--variant=minbase", include, "trixie", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"debootstrap failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    for dropped in (
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
    ):
        shutil.rmtree(folder / dropped)
    for bytecode in tuple((folder / "usr").rglob("__pycache__")):
        shutil.rmtree(bytecode)


def cached(name: str, *makers: Callable[[Path], None]) -> Path:
    """Where a folder is kept that functions make: elsewhere as soon as one of them is changed."""
    source = "".join(map(inspect.getsource, makers))
    return CACHE / f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


BASE_FOLDER = cached("image-base", make_base)


@dataclass(frozen=True)
class Image:
    """A built image: what Docker would read of it, and its files."""

    config: Mapping[str, Any]
    files: Path


def _pip_mounts(folder: Path) -> Iterator[str]:
    """Let the build use the package index that this machine is set up for, without a word in the image."""
    found = dict(_PIP_SETTING.findall(_run(sys.executable, "-m", "pip", "config", "list")))
    kept = {name: value for name, value in found.items() if name in _PIP_WHERE}
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in kept.items())]))
    yield f"--volume={file}:/etc/pip.conf:ro"
    if "cert" in kept:
        yield f"--volume={kept['cert']}:{kept['cert']}:ro"


@contextlib.contextmanager
def built_image() -> Iterator[Image]:
    """Build the Dockerfile as it is, on a base of our own that has the name of the default one.

    Raises:
        MissingError: the base cannot be had here.

    """
    fetch(BASE_FOLDER, make_base)
    (base,) = re.findall("^ARG BASE=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="redis-connection-exporter-image-") as scratch:
        folder = Path(scratch)
        buildah = ("buildah", "--storage-driver=vfs", f"--root={folder}/root", f"--runroot={folder}/run")
        empty = _run(*buildah, "from", "scratch").strip()
        _run(*buildah, "add", "--quiet", empty, BASE_FOLDER, "/")
        # As the official image of Python has it: the Dockerfile must not inherit it.
        _run(*buildah, "config", '--cmd=["python3"]', empty)
        _run(*buildah, "commit", "--quiet", "--rm", empty, base)
        how = ("--isolation=chroot", "--pull-never", "--format=docker", *_pip_mounts(folder))
        labels = ("--build-arg=VERSION=1.2.3", "--build-arg=REVISION=0123abc")
        _run(*buildah, "build", *how, *labels, "--tag=exporter", ROOT)
        described = json.loads(_run(*buildah, "inspect", "--type=image", "exporter"))
        container = _run(*buildah, "from", "--pull-never", "exporter").strip()
        try:
            files = Path(_run(*buildah, "mount", container).strip())
            yield Image(described["Docker"]["config"], files)
        finally:
            _run(*buildah, "umount", container)


@dataclass(kw_only=True)
class Container(Daemon):
    """The exporter in a container that runc keeps track of in a folder."""

    image: Image
    state: Path

    def runc(self, action: str, *words: str) -> "subprocess.CompletedProcess[str]":
        command = ["runc", "--root", str(self.state), action, f"exporter-{self.port}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def health(self) -> int:
        """Run the image's own health check, and return its exit code."""
        _, *command = self.image.config["Healthcheck"]["Test"]
        return self.runc("exec", *command).returncode


def _bundle(
    image: Image, arguments: tuple[str, ...], environment: list[str], mounts: Mapping[str, Path]
) -> dict[str, Any]:
    """What runc needs to know, from the image's configuration as Docker would read it."""
    uid, gid = map(int, image.config["User"].split(":"))
    bound = [
        {"destination": inside, "source": str(outside), "type": "bind", "options": ["bind", "ro"]}
        for inside, outside in mounts.items()
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": uid, "gid": gid},
            "args": [*image.config["Entrypoint"], *arguments],
            "env": [*image.config["Env"], *environment],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "root": {"path": str(image.files), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            *bound,
        ],
        # The network is the machine's: the servers listen on its loopback interface.
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }


@contextlib.contextmanager
def running_container(
    image: Image, folder: Path, *arguments: str, mounts: Mapping[str, Path]
) -> Iterator[Container]:
    """Run the image with a read-only root, no capabilities and no new privileges, until the block ends."""
    port, log = free_port(), folder / "container.log"
    environment = [f"EXPORTER_WEB__LISTEN_ADDRESS=127.0.0.1:{port}"]
    (folder / "config.json").write_text(json.dumps(_bundle(image, arguments, environment, mounts)))
    state = folder / "runc"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["runc", "--root", state, "run", "--bundle", folder, f"exporter-{port}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    config = folder / "exporter.yaml"
    container = Container(process=process, config=config, log=log, port=port, image=image, state=state)
    try:
        eventually(lambda: "msg=listening" in container.output() or process.poll() is not None, 30)
        assert process.poll() is None, f"the container did not start:\n{container.output()}"
        yield container
    finally:
        if process.poll() is None:
            container.runc("kill", "KILL")
            process.wait(10)
