"""`python -m tests.leaks.record FOLDER` records CLIENT LIST of real clients, some of which leak.

README.md tells what they do. With --seed N, chance decides about sizes, rates, and who does what.
"""

import argparse
import contextlib
import gzip
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from exporter.demo.servers import Server, running_server
from tests.leaks.plan import SECONDS, Plan
from tests.servers.kinds import KINDS, SYSTEM, VALKEY_9

_HERE = Path(__file__).parent / "clients"
# Redis 7.0, 8.0; Valkey 9.1, 8.1: only Valkey counts the commands and the bytes of each connection here.
_KINDS = {"R": SYSTEM, "D": KINDS[3], "V": VALKEY_9, "W": KINDS[4]}
# Lists are taken beside the full seconds at which the clients act.
_INTERVAL, _FIRST, _SETTLE = 5.0, 1.3, 8.0
_KILL_EVERY = 4  # lists
_INFO = (
    *("redis_version", "valkey_version", "run_id", "uptime_in_seconds", "connected_clients", "maxclients"),
    *("blocked_clients", "pubsub_clients", "clients_in_timeout_table", "total_connections_received"),
    *("total_commands_processed", "total_net_input_bytes", "total_net_output_bytes", "rejected_connections"),
)


class Recording:
    """The lists of one server, and which of its connections are leaked since when."""

    def __init__(self, server: Server, path: Path) -> None:
        connection: Any = redis.Connection
        self._connection = connection(host="127.0.0.1", port=server.port, client_name="capture")
        self._file = gzip.open(path / f"{server.folder.name}.list.gz", "wb", compresslevel=9)  # noqa: SIM115
        self._path = path / f"{server.folder.name}.leaked.json.gz"
        self.name = server.folder.name
        self.leaked: dict[int, float] = {}

    def _ask(self, *words: str) -> bytes:
        self._connection.send_command(*words)
        reply = self._connection.read_response(disable_decoding=True)
        assert isinstance(reply, bytes)
        return reply

    def take(self, *, kill: bool) -> None:
        info = dict(re.findall(r"(\w+):(.*)\r", self._ask("INFO").decode()))
        at = round(time.time(), 3)
        rows = self._ask("CLIENT", "LIST")
        told = " ".join(f"{field}:{info[field]}" for field in _INFO if field in info)
        self._file.write(f"#T {at:.3f} {told}\n".encode() + rows)
        breakable = []
        for row in rows.splitlines():
            fields = dict(re.findall(r"(\S+?)=(\S*)", row.decode()))
            client, command = int(fields["id"]), fields["cmd"]
            if command in ("get", "multi"):
                self.leaked.setdefault(client, at)
            elif client in self.leaked and command != "ping":
                print(f"{self.name}: {client} was labelled as leaked, and then ran {command}")
            if fields["name"].endswith("-breaks"):
                breakable.append(fields["id"])
        if kill and breakable:
            self._connection.send_command("CLIENT", "KILL", "ID", random.choice(breakable))
            self._connection.read_response()

    def close(self) -> None:
        self._file.close()
        self._path.write_bytes(gzip.compress(json.dumps(self.leaked).encode(), mtime=0))
        statistics = self._ask("INFO", "commandstats").decode()
        calls = sum(map(int, re.findall(r"cmdstat_(?:get|multi):calls=(\d+)", statistics)))
        print(f"{self.name}: {len(self.leaked)} labels, {calls} leaked")


def _jars(folder: Path) -> str:
    """Have Maven copy the jars of jars.txt, and return the class path."""
    for line in (_HERE / "java" / "jars.txt").read_text().splitlines():
        coordinates, sha256 = line.split()
        _, artifact, version = coordinates.split(":")
        jar = folder / f"{artifact}-{version}.jar"
        if not jar.exists():
            command = [
                "mvn",
                "-q",
                "-B",
                "dependency:copy",
                f"-Dartifact={coordinates}",
                f"-DoutputDirectory={folder}",
            ]
            subprocess.run(command, check=True)
        assert hashlib.sha256(jar.read_bytes()).hexdigest() == sha256, f"{jar.name} is not the file it was"
    return f"{folder}/*"


def _commands(folder: Path) -> dict[str, list[str]]:
    """Build the client programs in a folder, and tell how to start each."""
    program, jars = folder / "goredis", folder / "jars"
    subprocess.run(["go", "build", "-o", program, "."], cwd=_HERE / "go", check=True)
    node = folder / "node"
    node.mkdir(exist_ok=True)
    for file in (_HERE / "node").iterdir():
        (node / file.name).write_bytes(file.read_bytes())
    subprocess.run(
        ["npm", "install", "--no-package-lock", "--ignore-scripts", "--silent"], cwd=node, check=True
    )
    return {
        "redispy": [sys.executable, str(_HERE / "python" / "redispy.py")],
        "redispyaio": [sys.executable, str(_HERE / "python" / "redispyaio.py")],
        "goredis": [str(program)],
        "ioredis": ["node", str(node / "clients.mjs")],
        "jedis": ["java", "-cp", _jars(jars), str(_HERE / "java" / "Clients.java")],
    }


@contextlib.contextmanager
def _running_clients(
    commands: dict[str, list[str]], plan: Plan, ports: dict[str, int], t0: float
) -> Iterator[None]:
    apps = defaultdict(list)
    for server, library, app in plan.apps:
        apps[library].append(app | {"port": ports[server]})
    started = []
    for library, theirs in apps.items():
        client = subprocess.Popen(commands[library], stdin=subprocess.PIPE)
        started.append(client)
        assert client.stdin
        client.stdin.write(json.dumps({"t0": t0, "seconds": SECONDS + 60, "apps": theirs}).encode())
        client.stdin.close()
    try:
        yield
    finally:
        for client in started:
            client.kill()
            client.wait()


def main(target: Path, kinds: str, seed: int | None) -> None:
    plan = Plan(kinds, seed)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        commands = _commands(Path(folder))
        recordings, ports = [], {}
        for name in sorted({server for server, _, _ in plan.apps}):
            place = Path(folder) / name
            place.mkdir()
            options = ("--timeout", "60") if name.endswith("timeout") else ()
            server = stack.enter_context(running_server(_KINDS[name[0]].command, place, *options))
            ports[name] = server.port
            recordings.append(Recording(server, target))
        t0 = time.time() + _SETTLE
        stack.enter_context(_running_clients(commands, plan, ports, t0))
        for number in range(int(SECONDS / _INTERVAL)):
            time.sleep(max(0.0, t0 + _FIRST + number * _INTERVAL - time.time()))
            for recording in recordings:
                recording.take(kill=number % _KILL_EVERY == _KILL_EVERY - 1)
        for recording in recordings:
            recording.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--servers", default="RV", help="letters of _KINDS")
    parser.add_argument("--seed", type=int)
    told = parser.parse_args()
    main(told.folder, told.servers, told.seed)
