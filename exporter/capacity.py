"""A rule of thumb for how many targets one core can watch on this machine."""

import logging
import time
from functools import cache
from statistics import median

from exporter.board import Watch
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.exposition import Writer
from exporter.metrics.spec import Field
from exporter.model import Access, Activity, Config, Reading, RedisUrl, Slots, Target
from exporter.parse.info import parse_info

log = logging.getLogger(__name__)

_RUNS = 15
# A poll's whole CPU time by that of parsing and writing alone: of sockets, the loop, timers and cold caches.
_WHOLE = 6.0
_WORTH_A_LOOK = 100  # polls a second: fewer are no load for any machine
_MOST = 0.7  # of a core: above it polls meet, and wait for each other


def warn(config: Config) -> None:
    """Say in the log what the targets will take of a core where that is too much, and what to do."""
    if advice := _advice(config):
        log.warning("one core may not be enough", extra={"fields": {"detail": advice}})


def _advice(config: Config) -> str:
    polls = len(config.targets) / config.pace.interval
    if config.clients.enabled:  # a list of few clients costs about as much as a poll
        polls += len(config.targets) / max(config.clients.interval, config.pace.interval)
    if polls < _WORTH_A_LOOK:
        return ""
    return explain(len(config.targets), config.pace.interval, polls * seconds_per_poll())


def explain(targets: int, interval: float, cores: float) -> str:
    """Put into words what targets take of a core, polled each so many seconds; empty where they may."""
    if cores <= _MOST:
        return ""
    return (
        f"{targets:,} targets every {interval:g}s need about {cores:.1f} of a core, and one is used: "
        "set a longer poll.interval, or share them among several exporters (shard.count)"
    )


@cache
def seconds_per_poll() -> float:
    """CPU time of one poll without clients, estimated from a few runs of its part that needs no server."""
    watch = Watch(Target("sample", Access(RedisUrl("127.0.0.1", 1))))
    writer, taken = Writer(watch.target), []
    for run in range(_RUNS):
        reply, started = _reply(run), time.thread_time()
        reading = Reading(0.0, 0.0, parse_info(reply), Slots(run, None))
        watch = watch.after(reading, Activity(), now=float(run), patience=1.0)
        writer.cells(watch)
        taken.append(time.thread_time() - started)
    return _WHOLE * median(taken)


def _reply(run: int) -> bytes:
    """INFO as far as it is read, with numbers that differ from run to run."""
    copied = {family.source.name for family in CATALOGUE if isinstance(family.source, Field)}
    lines = [b"%b:%d\r\n" % (name, 1_000_000 + run) for name in sorted(copied | {b"connected_clients"})]
    return b"# Sample\r\n" + b"".join(lines)
