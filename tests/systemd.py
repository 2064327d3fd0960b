"""A real systemd: runc starts it as the first process of a Debian 13, where it starts the exporter's unit."""

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.image import BASE_FOLDER, cached, make_base
from tests.servers.fetch import MissingError, fetch

_PROGRAM = "usr/local/bin/redis-connection-exporter"
# Where the machine still has the first version of cgroups, systemd wants to be asked to take them.
_CGROUPS = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 systemd.unified_cgroup_hierarchy=0"
# What systemd needs to drop all of it for the exporter.
_CAPABILITIES = [
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_ADMIN",
        "SYS_CHROOT",
        "SYS_PTRACE",
    ]
]


def _add_systemd(folder: Path) -> None:
    fetch(BASE_FOLDER, make_base)
    subprocess.run(["cp", "--archive", f"{BASE_FOLDER}/.", folder], check=True)
    shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
    install = (
        "apt-get update && apt-get install --yes --no-install-recommends systemd procps && apt-get clean"
    )
    done = subprocess.run(
        ["chroot", folder, "sh", "-c", install], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MissingError(f"apt-get failed: {done.stdout[-300:]}{done.stderr[-300:]}")


_ROOT = cached("systemd-root", make_base, _add_systemd)


@dataclass(frozen=True)
class Machine:
    """A running systemd."""

    folder: Path

    def runc(self, action: str, *words: str) -> "subprocess.CompletedProcess[str]":
        command = ["runc", "--root", str(self.folder / "runc"), action, self.folder.name, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def control(self, verb: str, unit: str, *words: str) -> str:
        """Run systemctl, and return what it says."""
        done = self.runc("exec", "systemctl", "--no-pager", verb, unit, *words)
        assert done.returncode == 0, f"systemctl {verb} {unit}: {done.stdout}{done.stderr}"
        return done.stdout


@contextlib.contextmanager
def booted(app: Path, unit: Path, files: Mapping[str, str]) -> Iterator[Machine]:
    """Start systemd and a unit of it, with the image's program and files that root alone can read.

    Raises:
        MissingError: a Debian with systemd cannot be had here.

    """
    fetch(_ROOT, _add_systemd)
    with tempfile.TemporaryDirectory(prefix="redis-connection-exporter-systemd-") as scratch:
        folder = Path(scratch)
        root = folder / "root"
        subprocess.run(["cp", "--archive", _ROOT, root], check=True)
        subprocess.run(["cp", "--archive", app, root / "app"], check=True)
        (root / _PROGRAM).symlink_to("/app/bin/redis-connection-exporter")
        shutil.copy(unit, root / "etc/systemd/system")
        for path, text in files.items():
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o644 if path.endswith(".yaml") else 0o600)
        (folder / "config.json").write_text(json.dumps(_bundle(unit.name)))
        machine = Machine(folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["runc", "--root", folder / "runc", "run", "--bundle", folder, folder.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield machine
        finally:
            machine.runc("kill", "KILL")
            process.wait(20)


def _bundle(unit: str) -> dict[str, object]:
    tmpfs = {"type": "tmpfs", "source": "tmpfs"}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/lib/systemd/systemd", f"--unit={unit}"],
            "env": ["PATH=/usr/sbin:/usr/bin", "container=oci", f"SYSTEMD_PROC_CMDLINE={_CGROUPS}"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
        },
        "root": {"path": "root"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]},
            {"destination": "/dev", **tmpfs, "options": ["mode=755"]},
            {"destination": "/dev/shm", **tmpfs},
            # Shared, for systemd mounts the secrets in a namespace of their own first.
            {"destination": "/run", **tmpfs, "options": ["mode=755", "rshared"]},
            {"destination": "/tmp", **tmpfs},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")],
            "resources": {"devices": [{"allow": True, "access": "rwm"}]},
        },
    }
