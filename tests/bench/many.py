"""5,000 servers in one process: whether it keeps up, and what each costs; five minutes.

`python -m tests.bench.many [SERVERS [APPS [INTERVAL]]]` prints it. The servers are fakes in a process of
their own, each at an address of its own; memory after six hours comes from hours that pass within minutes.
"""

import asyncio
import contextlib
import gc
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import uvloop

from tests.bench.measure import (
    Exporter,
    Page,
    cpu_seconds,
    machine,
    median,
    memory_megabytes,
    running_exporter_with,
)
from tests.cheap_server import CheapServer
from tests.hours import pass_hours
from tests.waiting import eventually

_START_SECONDS = 240
_WARM_UP_SECONDS = 30
_SCRAPE_SECONDS, _SCRAPES = 15, 6
_TARGETS_OF_HOURS = 100
_OWN = "redis_connection_exporter_"


async def _serve(apps: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: CheapServer(apps), "0.0.0.0", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def _fakes(apps: int) -> Iterator[int]:
    """Run the fakes, all at one port of many addresses."""
    command = [sys.executable, "-m", "tests.bench.many", "serve", str(apps)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _settings(port: int, servers: int, interval: str) -> str:
    rows = "".join(
        f"  - {{name: t{number}, url: 'redis://127.1.{number // 250}.{1 + number % 250}:{port}'}}\n"
        for number in range(servers)
    )
    timeout = "900ms" if interval == "1s" else "2s"
    return f"poll: {{interval: {interval}, timeout: {timeout}}}\ntargets:\n{rows}"


def _page(exporter: Exporter) -> Page:
    """A page, asked for again where the exporter is too busy to make it in time."""

    def ask() -> Page | None:
        with contextlib.suppress(OSError, HTTPException):
            return exporter.get()
        return None

    page = eventually(ask, _START_SECONDS)
    assert page is not None
    return page


def _tried(exporter: Exporter) -> bool:
    """Whether every server was polled once; who cannot keep up may never see all of them answer."""
    with contextlib.suppress(OSError):
        return exporter.get("/-/ready").body.endswith(b"is ready.\n")
    return False


def _measure(exporter: Exporter, servers: int) -> str:
    eventually(lambda: _tried(exporter), _START_SECONDS)
    time.sleep(_WARM_UP_SECONDS)
    before, started, polls = (
        cpu_seconds(exporter.pid),
        time.monotonic(),
        _page(exporter).value(f"{_OWN}polls_total"),
    )
    pages = []
    for _ in range(_SCRAPES):
        time.sleep(_SCRAPE_SECONDS)
        pages.append(_page(exporter))
    seconds, spent = time.monotonic() - started, cpu_seconds(exporter.pid) - before
    done = pages[-1].value(f"{_OWN}polls_total") - polls
    late = {
        name: max(page.value(_OWN + name) for page in pages)
        for name in ("poll_delay_seconds", "targets_overdue", "event_loop_lag_seconds")
    }
    failed = pages[-1].value(f"{_OWN}poll_failures_total")
    scrape = median([page.seconds for page in pages])
    cost = f"{1e6 * spent / done:.0f} us for each of {done / seconds:,.0f} polls a second"
    delay, held = late["poll_delay_seconds"], late["event_loop_lag_seconds"]
    lines = (
        f"{servers:,} targets, {pages[-1].series:,} series, {memory_megabytes(exporter.pid):.0f} MB",
        f"{spent / seconds:.2f} of a core: {cost}",
        f"{failed:.0f} polls failed; {late['targets_overdue']:.0f} targets overdue at most",
        f"polls began up to {delay:.2f} s late, the loop was held for up to {held:.2f} s",
        f"a scrape took {scrape:.2f} s",
    )
    return "\n".join(lines)


def _after_hours(folder: Path, apps: int) -> str:
    """Memory of the process per target; the fakes, which live in the same one, are in it."""

    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    after = pass_hours(folder, 6, targets=_TARGETS_OF_HOURS, apps=apps, memory=resident)
    return f"a target of {apps} apps after six hours: {after.memory / 1000:.0f} KB"


def main(servers: int, apps: int, interval: str) -> None:
    print(machine(), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch)
        with (
            _fakes(apps) as port,
            running_exporter_with(folder, _settings(port, servers, interval)) as exporter,
        ):
            print(_measure(exporter, servers), flush=True)
        print(_after_hours(folder, apps))


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(_serve(int(sys.argv[2])))
    else:
        given = dict(zip(("servers", "apps", "interval"), sys.argv[1:], strict=False))
        main(int(given.get("servers", 5000)), int(given.get("apps", 20)), given.get("interval", "5s"))
