"""What an exporter needs as it runs by default: the table of docs/deploy.md. Ten minutes.

`python -m tests.bench.sizing` prints it.
"""

import contextlib
import http.client
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.bench.fleet import ready, servers
from tests.bench.measure import Exporter, cpu_seconds, machine, memory_megabytes, running_as_set
from tests.bench.one_server import clients
from tests.daemon import children
from tests.waiting import eventually

_CASES = ((10, 100), (100, 0), (100, 100), (500, 0), (500, 20))
_SCRAPE_SECONDS = 15
_SCRAPES = 4


def _memory(exporter: Exporter) -> float:
    """Of the exporter and of the process that reads its settings, while there is one."""
    megabytes = memory_megabytes(exporter.pid)
    for child in children(exporter.pid):
        with contextlib.suppress(OSError, AssertionError):  # it has ended
            megabytes += memory_megabytes(child)
    return megabytes


def _most_memory_of_a_reload(exporter: Exporter) -> float:
    def reload() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=60)
        connection.request("POST", "/-/reload")
        connection.getresponse().read()
        connection.close()

    reloading = threading.Thread(target=reload)
    reloading.start()
    most = 0.0
    while reloading.is_alive():
        most = max(most, _memory(exporter))
        time.sleep(0.001)
    return most


def _measure(folder: Path, count: int, each: int) -> str:
    with contextlib.ExitStack() as stack:
        ports = stack.enter_context(servers(folder, count))
        for port in ports:
            stack.enter_context(clients(port, each))
        exporter = stack.enter_context(running_as_set(folder, ports))
        eventually(lambda: ready(exporter, count), 60)
        time.sleep(2 * _SCRAPE_SECONDS)  # every target's second list: what it remembers is there
        before, started = cpu_seconds(exporter.pid), time.monotonic()
        for _ in range(_SCRAPES):
            time.sleep(_SCRAPE_SECONDS)
            page = exporter.get()
        share = (cpu_seconds(exporter.pid) - before) / (time.monotonic() - started)
        usual, most = _memory(exporter), _most_memory_of_a_reload(exporter)
        return f"| {count} | {each} | {page.series:,} | {share:.1%} | {usual:.0f} MB | {most:.0f} MB |"


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(machine(), file=sys.stderr)
    print("| servers | clients of each | series | CPU of one core | memory | during a reload |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for count, each in _CASES:
            print(_measure(Path(scratch), count, each), flush=True)


main()
