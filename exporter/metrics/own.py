"""The exporter's own metrics, which belong to no target: prometheus-client keeps and writes these."""

import time
from collections.abc import Iterator
from functools import lru_cache

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.openmetrics.exposition import generate_latest as generate_latest_openmetrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from exporter import __version__, log, threads
from exporter.analyse.names import names_remembered
from exporter.metrics.process import ProcessNumbers
from exporter.metrics.spec import label

_PREFIX = "redis_connection_exporter_"


class _LogLines(Collector):
    """What was not written to the log, counted there."""

    def collect(self) -> Iterator[Metric]:
        """Write the family as it is now."""
        family = CounterMetricFamily(
            f"{_PREFIX}log_lines_dropped",
            "Log lines that were not written by reason: stalled (nobody read standard error), repeated (too "
            "many of one kind).",
            labels=["reason"],
        )
        for reason, lines in log.not_written().items():
            family.add_metric([reason], lines)
        yield family


class OwnMetrics:
    """Build, configuration and health of this process, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        build = Gauge(
            f"{_PREFIX}build_info",
            "Version of the exporter, always 1.",
            ["version"],
            registry=self.registry,
        )
        build.labels(__version__).set(1)
        self.targets = Gauge(
            f"{_PREFIX}targets", "Configured targets, those of this shard.", registry=self.registry
        )
        self._reload_ok = Gauge(
            f"{_PREFIX}config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded (1) or the old one stays (0).",
            registry=self.registry,
        )
        self._reload_time = Gauge(
            f"{_PREFIX}config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful load of the configuration.",
            registry=self.registry,
        )
        self.loop_lag = Gauge(
            f"{_PREFIX}event_loop_lag_seconds",
            "Longest delay of a timer that fires every second, in the last minute.",
            registry=self.registry,
        )
        names = Gauge(
            f"{_PREFIX}names_remembered",
            "Names, identities and hosts of clients of which is remembered what they mean, for all targets "
            "together. Bounded: docs/limits.md.",
            registry=self.registry,
        )
        names.set_function(names_remembered)
        self.registry.register(_LogLines())
        self.http_connections = Gauge(
            f"{_PREFIX}http_connections",
            "HTTP connections that are held now, of scrapers, browsers and all others.",
            registry=self.registry,
        )
        self.poll_delay = Gauge(
            f"{_PREFIX}poll_delay_seconds",
            "Worst delay of a poll's start against the moment it was due, in the last minute.",
            registry=self.registry,
        )
        self.overdue = Gauge(
            f"{_PREFIX}targets_overdue",
            "Targets whose poll began, or still waits, more than a tenth of poll.interval after it was due.",
            registry=self.registry,
        )
        work = Gauge(
            f"{_PREFIX}threads",
            "Threads that read files and resolve names (running), and work that waits for one (waiting).",
            ["state"],
            registry=self.registry,
        )
        work.labels("running").set_function(threads.running)
        work.labels("waiting").set_function(threads.waiting)
        PlatformCollector(registry=self.registry)
        self.registry.register(ProcessNumbers())
        GCCollector(registry=self.registry)

    def loaded(self, *, successfully: bool) -> None:
        """Note an attempt to load the configuration."""
        self._reload_ok.set(int(successfully))
        if successfully:
            self._reload_time.set(time.time())

    def text(self) -> bytes:
        """Write them in the Prometheus text format."""
        return b"".join(map(_text_of, self.registry.collect()))

    def openmetrics(self) -> bytes:
        """Write them in OpenMetrics, without the closing # EOF."""
        text: bytes = generate_latest_openmetrics(self.registry)  # type: ignore[no-untyped-call]
        return text.removesuffix(b"# EOF\n")


def _text_of(metric: Metric) -> bytes:
    """A gauge or counter as prometheus-client writes it, in a third of its time."""
    name = metric.name if metric.type == "gauge" else f"{metric.name}_total"
    lines = [
        f"{name}{_labels(tuple(sorted(labels.items())))} {floatToGoString(value)}\n"  # type: ignore[no-untyped-call]
        for _, labels, value, *_ in metric.samples
    ]
    return f"# HELP {name} {metric.documentation}\n# TYPE {name} {metric.type}\n{''.join(lines)}".encode()


@lru_cache(256)
def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return f"{{{','.join(label(*each) for each in labels)}}}" if labels else ""
