"""Which servers the tests run against, and where `fetch` puts those that the system does not have."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "redis-connection-exporter" / "servers"
)
DEBIAN_13, DEBIAN_14 = CACHE / "debian-13", CACHE / "debian-14"


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One server binary: how to start it, and what it was built with."""

    name: str
    command: tuple[str, ...]
    tls: bool
    options: tuple[str, ...] = ()

    @property
    def present(self) -> bool:
        return all(Path(word).exists() for word in self.command if word.startswith("/"))


def _of_release(root: Path, program: str) -> tuple[str, ...]:
    """Run a program of an unpacked release with its own libraries, which needs neither root nor chroot."""
    loader, libraries = root / "usr/lib64/ld-linux-x86-64.so.2", root / "usr/lib/x86_64-linux-gnu"
    return str(loader), "--library-path", str(libraries), str(root / "usr/bin" / program)


KINDS = (
    ServerKind("pypi-redis-5.0", (str(CACHE / "redis-5.0" / "redis-server"),), tls=False),
    ServerKind("pypi-redis-6.2", (str(CACHE / "redis-6.2" / "redis-server"),), tls=False),
    ServerKind("system-redis", (shutil.which("redis-server") or "/not-installed/redis-server",), tls=True),
    ServerKind("debian13-redis", _of_release(DEBIAN_13, "redis-server"), tls=True),
    ServerKind("debian13-valkey", _of_release(DEBIAN_13, "valkey-server"), tls=True),
)
# Redis 8 serves its clients by several threads only where it is told to.
MATRIX = (
    *KINDS,
    ServerKind("debian13-redis-io-threads", KINDS[3].command, tls=True, options=("--io-threads", "4")),
)
OLDEST = KINDS[0]
SYSTEM = KINDS[2]
# The first with filters by idle time, name and flags; only the runbooks' commands run against it.
VALKEY_9 = ServerKind("pypi-valkey-9.1", (str(CACHE / "valkey-9.1" / "valkey-server"),), tls=False)

# The oldest and the newest Prometheus that must understand our rules.
PROMTOOLS = {
    "2.42": (shutil.which("promtool") or "/not-installed/promtool",),
    "3": _of_release(DEBIAN_14, "promtool"),
}
