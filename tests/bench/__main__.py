"""`python -m tests.bench [SERVERS ...]`: run it all and write docs/benchmarks.md; some eight minutes."""

import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from exporter import __version__
from exporter.demo.servers import running_server
from tests.bench import fleet, inside, one_server
from tests.bench.measure import PEER, machine
from tests.bench.report import write

_PAGE = Path(__file__).parent.parent.parent / "docs" / "benchmarks.md"
_CLIENTS = (0, 1000, 10_000)
_SERVERS = (1, 50, 200, 500)
_NEEDED_FILES = 10_500


def _version(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = re.search(r"v?=?\s*v?(\d+\.\d+\.\d+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"


def main(counts: tuple[int, ...]) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < _NEEDED_FILES:
        sys.exit(
            f"10,000 clients need {_NEEDED_FILES} open files, and the limit is {hard}: raise it (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    about = (
        f"{machine()}; redis-connection-exporter {__version__}, redis_exporter {_version(PEER, '-version')}, "
        f"Redis {_version('redis-server', '--version')}."
    )
    print(about, flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        one = []
        for count in _CLIENTS:
            print(f"one server, {count} clients", flush=True)
            with running_server(["redis-server"], folder, "--maxclients", "20000") as server:
                one.append(one_server.measure(server, folder, count))
                if count == _CLIENTS[-1]:
                    with one_server.clients(server.port, count):
                        parts = inside.measure(server.port)
        fleets = []
        for count in counts:
            print(f"{count} servers", flush=True)
            with fleet.servers(folder, count) as ports:
                fleets.append(fleet.measure(folder, ports))
        hanging = fleet.measure_hanging(folder)
    _PAGE.write_text(write(about, one, fleets, hanging, parts))
    print(_PAGE.read_text())


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or _SERVERS)
