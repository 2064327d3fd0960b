"""A real Prometheus and a real Alertmanager, on free ports of the loopback interface."""

import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from exporter.demo.servers import free_port
from tests.conftest import need_program
from tests.waiting import eventually


@dataclass(frozen=True)
class Service:
    """A running program with an HTTP port."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def get(self, path: str, **query: str) -> Any:
        """Fetch a page, as JSON where it is an API's answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, f"{path}: {answer.status} {body[:500]!r}"
            return json.loads(body) if path.startswith("/api/") else body
        finally:
            connection.close()

    def ready(self) -> bool:
        assert self.process.poll() is None, f"it did not start:\n{self.log.read_text()[-2000:]}"
        with contextlib.suppress(OSError, AssertionError):
            return bool(self.get("/-/ready"))
        return False


class Prometheus(Service):
    """A running Prometheus."""

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Ask for the present values: one `{"metric": ..., "value": [time, text]}` per series."""
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["data"]["result"]
        return found

    def value(self, expression: str) -> float | None:
        """The one value of an expression, None without it."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression} is not one series: {found}"
        return float(found[0]["value"][1]) if found else None


@contextlib.contextmanager
def _running(program: type[Service], command: list[str], port: int, log: Path) -> Iterator[Any]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent
        )
    try:
        service = program(process, port, log)
        eventually(service.ready, 30)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running_prometheus(folder: Path, config: Mapping[str, Any], *flags: str) -> Iterator[Prometheus]:
    """Run Prometheus with a configuration, as a tree, until the block ends; its files stay in the folder."""
    port, file = free_port(), folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(dict(config)))
    command = [
        need_program("prometheus"),
        f"--config.file={file}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        *flags,
    ]
    with _running(Prometheus, command, port, folder / "prometheus.log") as prometheus:
        yield prometheus


@contextlib.contextmanager
def running_alertmanager(folder: Path, config: Path) -> Iterator[Service]:
    """Run Alertmanager with a configuration file until the block ends."""
    port = free_port()
    command = [
        need_program("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.path={folder / 'alertmanager'}",
        "--cluster.listen-address=",
    ]
    with _running(Service, command, port, folder / "alertmanager.log") as alertmanager:
        yield alertmanager
