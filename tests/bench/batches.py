"""`python -m tests.bench.batches`: server time of a list of 5,000 clients, and of a batch of its ids."""

import resource
import tempfile
from pathlib import Path

from exporter.demo.servers import running_server
from tests.bench.measure import Asker, spent
from tests.crowd import crowd
from tests.servers.kinds import MATRIX

CLIENTS, BATCH = 5000, 250
_LIST = "client|list"


def _milliseconds(asker: Asker, commands: list[str]) -> float:
    """Server time of one of some commands, by its own account."""
    before = asker.usec()
    for command in commands:
        asker.ask(command)
    calls, microseconds = spent(before, asker.usec())[_LIST]
    return microseconds / calls / 1000


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for kind in MATRIX[2:]:  # from 7.0 on each subcommand has an account
        with (
            tempfile.TemporaryDirectory() as scratch,
            running_server(kind.command, Path(scratch), *kind.options) as server,
            crowd(server.port) as clients,
            Asker(server.port) as asker,
        ):
            clients.join(CLIENTS)
            ids = [row.split(b" ")[0][3:].decode() for row in asker.ask("CLIENT LIST").splitlines()]
            batches = [" ".join(ids[start : start + BATCH]) for start in range(0, CLIENTS, BATCH)]
            whole = _milliseconds(asker, 20 * ["CLIENT LIST"])
            batch = _milliseconds(asker, 4 * [f"CLIENT LIST ID {each}" for each in batches])
            print(f"{kind.name}: list of {CLIENTS} {whole:.2f} ms, batch of {BATCH} {batch:.2f} ms")


if __name__ == "__main__":
    main()
