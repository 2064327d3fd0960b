"""What the image takes of a container's memory limit; three minutes, as root.

`python -m tests.bench.in_container` prints it.
"""

import contextlib
import resource
import tempfile
import time
from pathlib import Path

from tests.bench.fleet import servers
from tests.bench.measure import machine
from tests.bench.one_server import clients
from tests.image import Container, Image, built_image, running_container
from tests.waiting import eventually

_GROUPS = Path("/sys/fs/cgroup")
_SERVERS = (50, 500)
_CLIENTS_OF_EACH = 20  # each with a name of its own
_RELOADS = 3


def _megabytes(container: Container, version_1: str, version_2: str) -> float:
    """A number of the memory cgroup, of either version, that runc made for the container."""
    name = f"exporter-{container.port}"
    (found,) = (path for version in (version_1, version_2) for path in _GROUPS.rglob(f"{name}/{version}"))
    return int(found.read_text()) / 1024**2


def _measure(image: Image, count: int) -> str:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        ports = stack.enter_context(servers(folder, count))
        for port in ports:
            stack.enter_context(clients(port, _CLIENTS_OF_EACH))
        config = folder / "exporter.yaml"
        targets = "".join(f"  - {{name: t{port}, url: 'redis://127.0.0.1:{port}'}}\n" for port in ports)
        config.write_text(f"web: {{enable_lifecycle: true}}\ntargets:\n{targets}")
        flags, mounts = ("--config.file=/exporter.yaml",), {"/exporter.yaml": config}
        container = stack.enter_context(running_container(image, folder, *flags, mounts=mounts))
        time.sleep(35)  # every target's second list: what it remembers is there
        usual = _megabytes(container, "memory.usage_in_bytes", "memory.current")
        for _ in range(_RELOADS):
            assert container.ask("/metrics").status == 200
            assert eventually(lambda: container.ask("/-/reload", "POST").status == 200), "once in 5 s"
            assert container.health() == 0
        most = _megabytes(container, "memory.max_usage_in_bytes", "memory.peak")
        return f"| {count} | {_CLIENTS_OF_EACH} | {usual:.0f} MB | {most:.0f} MB |"


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(machine())
    print("| servers | clients of each | memory | most, with reloads and health checks |")
    print("| --- | --- | --- | --- |")
    with built_image() as image:
        for count in _SERVERS:
            print(_measure(image, count), flush=True)


main()
