"""The composition root: builds everything, runs it in one TaskGroup, handles signals and reloads."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import uvloop

from exporter import NAME, __version__, capacity, descriptors, log, threads
from exporter.analyse.worst import Worst
from exporter.board import Board
from exporter.metrics.exposition import Pages
from exporter.metrics.own import OwnMetrics
from exporter.model import ClientPlan, Config, ConfigError, Fault, Observation, Pace, Target
from exporter.poll.poller import Poller
from exporter.threads import Kind, NoThreadError
from exporter.web.routes import Site
from exporter.web.server import bind, serve_http

# The first polls are spread by so much, so that hundreds of handshakes do not meet in one loop turn.
_START_SPACING_SECONDS = 0.002
_LAG_INTERVAL_SECONDS = 1.0
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 128 * 1024  # malloc.h, and its own first value

_MORE_DESCRIPTORS = (
    "each target takes one: the others are unreachable; raise the limit (ulimit -n, LimitNOFILE=), or shard"
)

logger = logging.getLogger(NAME)


class _Shutdown(Exception):  # noqa: N818  it is a way to stop, not an error
    """Raised inside the TaskGroup to cancel and await everything in it."""


class Fleet:
    """One poller task per target; a reload starts, stops and adjusts them."""

    def __init__(self, tasks: asyncio.TaskGroup, board: Board, pages: Pages) -> None:
        self._tasks = tasks
        self._board = board
        self._pages = pages
        self._running: list[tuple[Poller, asyncio.Task[None]]] = []
        self._delays = Worst()

    @property
    def poll_delay(self) -> float:
        """The worst delay of a poll's start against the moment it was due, in the last minute (seconds)."""
        return self._delays.of_last_minute(time.monotonic())

    @property
    def overdue(self) -> int:
        """How many targets are polled late."""
        now = time.monotonic()
        return sum(poller.is_overdue(now) for poller, _ in self._running)

    def watch(self, targets: tuple[Target, ...], pace: Pace, plan: ClientPlan) -> None:
        """Poll exactly these targets from now on; whatever else changes, a server's connection is kept."""
        self._board.set_targets(targets)
        not_written = self._pages.set_targets()
        kept = _heirs([poller.target for poller, _ in self._running], targets)
        running: list[tuple[Poller, asyncio.Task[None]]] = []
        for (poller, task), heir in zip(self._running, kept, strict=True):
            if heir is None:
                task.cancel()
            else:
                running.append((poller, task))
                try:
                    poller.change(heir, pace, plan)
                except Exception as error:  # noqa: BLE001  it is the business of one target
                    poller.crashed(error)
        inherited = {heir.name for heir in kept if heir is not None}
        for index, target in enumerate(target for target in targets if target.name not in inherited):
            poller = Poller(target, pace, plan, self._report)
            task = self._tasks.create_task(poller.run(index * _START_SPACING_SECONDS), name=target.name)
            running.append((poller, task))
        self._running = running
        for name, bug in not_written.items():
            self._crashed(name, bug)

    def expire(self, pace: Pace) -> None:
        """Stop showing readings that should long have been replaced."""
        for name in self._board.expire(time.monotonic(), pace.patience):
            try:
                self._pages.update(name)
            except Exception as error:  # noqa: BLE001  it is the business of one target
                self._crashed(name, error)

    def _crashed(self, name: str, error: Exception) -> None:
        """Tell the poller of a target of a bug in what else is done for it."""
        for poller, _ in self._running:
            if poller.target.name == name:
                poller.crashed(error)

    def _report(self, poller: Poller, observation: Observation) -> None:
        name, now = poller.target.name, time.monotonic()
        self._board.record(name, observation, poller.activity, now=now, patience=poller.pace.patience)
        self._delays.note(now, poller.late)
        self._pages.update(name)


def _heirs(polled: Sequence[Target], targets: Sequence[Target]) -> list[Target | None]:
    """Find for each polled target which one takes its connection over: of the same server, else name."""
    by_place = {target.access.url.place: target for target in targets}
    heirs = [by_place.get(old.access.url.place) for old in polled]
    taken = {heir.name for heir in heirs if heir is not None}
    by_name = {target.name: target for target in targets if target.name not in taken}
    return [
        heir if heir is not None else by_name.get(old.name) for old, heir in zip(polled, heirs, strict=True)
    ]


class Exporter:
    """The running daemon. `load` reads the configuration anew; it may block, and runs in a thread.

    Its ConfigError at a reload leaves the old configuration in force.
    """

    def __init__(self, config: Config, load: Callable[[], Config]) -> None:
        self._config = config
        self._load = load
        self._own = OwnMetrics()
        self._own.loaded(successfully=True)
        self._board = Board()
        self._pages = Pages(self._board, self._own)
        self._reloading = asyncio.Lock()
        self._reloads = 0
        self._stopping = False
        self._refused: ConfigError | None = None
        self._fleet: Fleet

    async def run(self) -> None:
        """Poll and serve until SIGTERM or SIGINT; a bug anywhere ends it with an exception."""
        signals = _signals()
        log.configure(self._config.log_level, self._config.log_format)
        sockets = bind(self._config.listen)
        logger.info(
            "listening",
            extra={"fields": {"address": " ".join(map(_shown, sockets)), "version": __version__}},
        )
        for ignored in self._config.ignored:
            logger.warning(
                "variable ignored", extra={"fields": {"variable": ignored.where, "reason": ignored.message}}
            )
        try:
            async with asyncio.TaskGroup() as tasks:
                self._fleet = Fleet(tasks, self._board, self._pages)
                self._own.poll_delay.set_function(lambda: self._fleet.poll_delay)
                self._own.overdue.set_function(lambda: self._fleet.overdue)
                self._apply()
                site = Site(self._board, self._pages, lambda: self._config, self.reload, self._expire)
                tasks.create_task(serve_http(site, sockets, self._own.http_connections.set), name="http")
                tasks.create_task(self._measure_lag(), name="lag")
                tasks.create_task(self._obey(signals, tasks), name="signals")
                gc.freeze()  # what start-up made stays for ever: no collection looks at it again
        except* _Shutdown:
            logger.info("stopped")

    async def reload(self) -> None:
        """Read the configuration again and follow it; connections of unchanged targets stay.

        Those who ask while it is being read share the one reading that begins after that.

        Raises:
            ConfigError: it is faulty; the old one stays in force.

        """
        begun = self._reloads
        async with self._reloading:
            if self._reloads == begun:
                self._reloads += 1
                self._refused = await self._load_and_follow()
            if self._refused is not None:
                raise self._refused

    async def _load_and_follow(self) -> ConfigError | None:
        try:
            config = await threads.run(Kind.OTHER, "reload", self._load, ["settings"])
        except NoThreadError as error:
            return self._refuse(ConfigError([Fault("settings", f"not read: {error.strerror}")]))
        except ConfigError as error:
            return self._refuse(error)
        if self._stopping:  # a request that asked for it is answered, and no poller begins any more
            return None
        if config.listen != self._config.listen:
            logger.warning("web.listen_address changes at the next start only")
        self._config = config
        self._own.loaded(successfully=True)
        log.configure(config.log_level, config.log_format)
        self._apply()
        logger.info("configuration loaded", extra={"fields": {"targets": len(config.targets)}})
        return None

    def _refuse(self, error: ConfigError) -> ConfigError:
        self._own.loaded(successfully=False)
        for fault in error.faults:
            logger.error("configuration refused", extra={"fields": {"fault": fault}})
        return error

    async def _reload_for_a_signal(self) -> None:
        with contextlib.suppress(ConfigError):  # logged where it was found
            await self.reload()

    def _apply(self) -> None:
        self._own.targets.set(len(self._config.targets))
        self._warn_of_targets_that_do_not_fit()
        capacity.warn(self._config)
        self._fleet.watch(self._config.targets, self._config.pace, self._config.clients)

    def _warn_of_targets_that_do_not_fit(self) -> None:
        targets = len(self._config.targets)
        connected = sum(1 for watch in self._board if watch.reading is not None)
        fit = descriptors.targets_that_fit(connected)
        if targets > fit:
            fields = {
                "targets": targets,
                "fit": fit,
                "limit": descriptors.limit(),
                "detail": _MORE_DESCRIPTORS,
            }
            logger.warning("too few file descriptors", extra={"fields": fields})

    def _expire(self) -> None:
        self._fleet.expire(self._config.pace)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        lags = Worst()
        while True:
            due = loop.time() + _LAG_INTERVAL_SECONDS
            await asyncio.sleep(_LAG_INTERVAL_SECONDS)
            now = loop.time()
            lags.note(now, max(0.0, now - due))
            self._own.loop_lag.set(lags.of_last_minute(now))

    async def _obey(self, signals: "asyncio.Queue[signal.Signals]", tasks: asyncio.TaskGroup) -> None:
        while True:
            received = await signals.get()
            if received is not signal.SIGHUP:
                self._stopping = True
                raise _Shutdown(received.name)
            tasks.create_task(self._reload_for_a_signal(), name="reload")  # SIGTERM need not wait for it


def _signals() -> "asyncio.Queue[signal.Signals]":
    """Catch the signals that we obey from now on, before anything is open that they would cut."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loop_error)
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(each, signals.put_nowait, each)
    return signals


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no task was there to catch; a connection that ends badly is the business of its link alone."""
    if isinstance(context.get("exception"), OSError):  # an SSLError is one too
        logger.debug("connection ended badly", extra={"fields": {"detail": context.get("message")}})
    else:
        loop.default_exception_handler(context)


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def run(config: Config, load: Callable[[], Config]) -> None:
    """Run the exporter on uvloop until it is told to stop.

    Raises:
        OSError: an address to listen on is not to be had.

    """

    async def main() -> None:
        await Exporter(config, load).run()

    _give_large_buffers_back()
    descriptors.raise_limit()
    try:
        uvloop.run(main())
    finally:
        log.finish()


def _give_large_buffers_back() -> None:
    """Have glibc return large blocks to the system: it learns to keep them, and then its heap fragments."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
