"""The exporter as a user runs it: a process of its own, asked over HTTP."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.waiting import eventually

ROOT = Path(__file__).parent.parent
_ADDRESS = re.compile(r"msg=listening address=127\.0\.0\.1:([0-9]+)|\"address\": \"127\.0\.0\.1:([0-9]+)\"")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Scrape:
    """One metrics page: values by name and labels."""

    def __init__(self, text: str) -> None:
        self.samples = [
            (sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def get(self, name: str, target: str | None = None, **labels: str) -> float | None:
        """The one value of a series, None without it."""
        wanted = labels | ({"target": target} if target is not None else {})
        found = [
            value for each, have, value in self.samples if each == name and wanted.items() <= have.items()
        ]
        assert len(found) <= 1, f"{name}{wanted} is not one series: {found}"
        return found[0] if found else None

    def sum(self, name: str, target: str, **labels: str) -> float:
        """All series of a target with these labels together."""
        wanted = labels | {"target": target}
        return sum(
            value for each, have, value in self.samples if each == name and wanted.items() <= have.items()
        )

    def names(self, target: str) -> set[str]:
        return {name for name, labels, _ in self.samples if labels.get("target") == target}

    def state(self, target: str) -> str:
        """The one state of a target."""
        (state,) = (
            labels["state"]
            for name, labels, value in self.samples
            if name == "redis_target_state" and labels["target"] == target and value == 1
        )
        return state


@dataclass
class Daemon:
    process: "subprocess.Popen[bytes]"
    config: Path
    log: Path
    port: int = 0
    started: float = field(default_factory=time.monotonic)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def scrape(self) -> Scrape:
        answer = self.ask("/metrics")
        assert answer.status == 200
        return Scrape(answer.text)

    def states(self) -> dict[str, str]:
        scrape = self.scrape()
        return {
            labels["target"]: labels["state"]
            for name, labels, value in scrape.samples
            if name == "redis_target_state" and value == 1
        }

    def wait_for(self, wanted: Mapping[str, str], within: float = 15.0) -> Scrape:
        """Wait until the named targets are in the given states."""

        def reached() -> bool:
            now = self.states()
            return all(now.get(name) == state for name, state in wanted.items())

        try:
            eventually(reached, within)
        except AssertionError as error:
            raise AssertionError(f"wanted {wanted}, have {self.states()}\n{self.output()[-2000:]}") from error
        return self.scrape()

    def configure(self, tree: Mapping[str, Any]) -> None:
        self.config.write_text(yaml.safe_dump(dict(tree)))

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def post_reload(self) -> Answer:
        """Ask for a reload over HTTP, as soon as another one is allowed."""
        return eventually(lambda: answer if (answer := self.ask("/-/reload", "POST")).status != 429 else None)

    def stop(self, within: float = 5.0) -> int:
        """End it as an init system does, and return its exit code."""
        self.process.terminate()
        return self.process.wait(within)


def children(pid: int) -> list[int]:
    """The processes that any thread of a process has started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "exporter", *arguments]


def environment(**added: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EXPORTER_")}
    return kept | {"PYTHONWARNINGS": "error::ResourceWarning"} | added


def altered(folder: Path, source: str) -> dict[str, str]:
    """The environment of a daemon that runs some Python first, for faults that cannot be had otherwise."""
    (folder / "sitecustomize.py").write_text(source)
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


def run_cli(*arguments: str, **added: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        env=environment(**added),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def running_exporter(
    folder: Path, tree: Mapping[str, Any], *flags: str, prefix: tuple[str, ...] = (), **added: str
) -> Iterator[Daemon]:
    """Run the exporter with a configuration file until the block ends; it must not have crashed by then."""
    config, log = folder / "exporter.yaml", folder / "exporter.log"
    config.write_text(yaml.safe_dump(dict(tree)))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *prefix,
                *command("--config.file", str(config), "--web.listen-address", "127.0.0.1:0", *flags),
            ],
            env=environment(**added),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    daemon = Daemon(process, config, log)
    try:
        found = eventually(lambda: _ADDRESS.search(daemon.output()) or process.poll() is not None, 30)
        assert isinstance(found, re.Match), f"the exporter did not start:\n{daemon.output()}"
        daemon.port = int(found[1] or found[2])
        yield daemon
        if process.poll() is None:
            assert daemon.stop() == 0, daemon.output()
        assert "Traceback" not in daemon.output(), daemon.output()
        assert "ResourceWarning" not in daemon.output(), daemon.output()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def target(name: str, url: str, **settings: object) -> dict[str, Any]:
    return {"name": name, "url": url, **settings}


def quick(*targets: Mapping[str, Any], **sections: object) -> dict[str, Any]:
    """A configuration that polls as often as it may, and reloads when asked over HTTP."""
    pace = {"interval": "1s", "timeout": "900ms"}
    return {"poll": pace, "web": {"enable_lifecycle": True}, "targets": [*targets], **sections}


def log_events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
