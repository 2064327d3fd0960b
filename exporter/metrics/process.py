"""What the system tells of this process, under the names that every exporter has, read at little cost."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_SELF = Path("/proc/self")
_STARTED, _VIRTUAL, _RESIDENT = 19, 20, 21  # fields of /proc/PID/stat behind the name (proc(5), less 3)


class ProcessNumbers(Collector):
    """The metrics of prometheus-client's own collector, from two files of /proc instead of four.

    Where there is no /proc, what comes from it is left out.
    """

    def __init__(self) -> None:
        self._started: float | None = None
        with suppress(OSError):
            ticks, up = int(self._stat()[_STARTED]), float(Path("/proc/uptime").read_text().split()[0])
            self._started = time.time() - up + ticks / os.sysconf("SC_CLK_TCK")

    def collect(self) -> Iterator[Metric]:
        """Read them now."""
        with suppress(OSError):
            stat = self._stat()
            yield _gauge("virtual_memory_bytes", "Virtual memory size in bytes.", int(stat[_VIRTUAL]))
            resident = int(stat[_RESIDENT]) * resource.getpagesize()
            yield _gauge("resident_memory_bytes", "Resident memory size in bytes.", resident)
        if self._started is not None:
            about = "Start time of the process since unix epoch in seconds."
            yield _gauge("start_time_seconds", about, self._started)
        about = "Total user and system CPU time spent in seconds."
        yield CounterMetricFamily("process_cpu_seconds_total", about, value=time.process_time())
        with suppress(OSError):
            opened = sum(1 for _ in (_SELF / "fd").iterdir())
            yield _gauge("open_fds", "Number of open file descriptors.", opened)
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield _gauge("max_fds", "Maximum number of open file descriptors.", allowed)

    def _stat(self) -> list[bytes]:
        return (_SELF / "stat").read_bytes().rpartition(b")")[2].split()


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"process_{name}", about, value=value)
