"""Blocking work beside the event loop, in a bounded pool of daemon threads.

A file on a dead disk or a name on a dead DNS server can hold a thread for ever. So each kind of work has
threads of its own, what hangs together takes few of them, and the end of the process waits for none.
"""

import asyncio
import contextlib
import errno
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from exporter.limits import FILE_THREADS, NAME_THREADS, OTHER_THREADS, PACES_REMEMBERED

T = TypeVar("T")

_HANGS_SECONDS = 1.0  # what is under way for longer may never end
_IDLE_SECONDS = 5.0  # then a thread ends


class Kind(Enum):
    """A kind of work, with the four numbers of its Crew."""

    NAME = ("name", NAME_THREADS, NAME_THREADS // 2, 2)  # one name hangs, and others of its zone do not
    FILE = ("file", FILE_THREADS, 1, FILE_THREADS // 2)  # a mount hangs with all its files
    OTHER = ("other", OTHER_THREADS, 1, 1)


class NoThreadError(OSError):
    """The system starts no more threads for this process."""

    def __init__(self) -> None:
        super().__init__(
            errno.EAGAIN,
            "no thread can be started: raise the limit of tasks (ulimit -u, pids.max, TasksMax=)",
        )


@dataclass(eq=False, slots=True)
class _Job:
    """Some work, and who waits for it. `places` are what it may hang on, together with others."""

    thing: Hashable
    places: frozenset[Hashable]
    work: Callable[[], Any]
    unwanted: Callable[[Any], None]
    waiters: list["asyncio.Future[Any]"] = field(default_factory=list)
    started: float = 0.0

    def settle(
        self, waiters: "Sequence[asyncio.Future[Any]]", result: object, error: BaseException | None
    ) -> None:
        """Tell those who wait, each in its own loop."""
        for future in waiters:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                future.get_loop().call_soon_threadsafe(self._settle, future, result, error)
        if not waiters and error is None:
            self.unwanted(result)

    def _settle(self, future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
        if future.done():  # given up meanwhile
            if error is None:
                self.unwanted(result)
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def _keep(_result: object) -> None: ...


class Crew:
    """The threads for one kind of work: `most` of them, `of_one_place` for the jobs of a place that is quick.

    Where another job of a place hangs, or the last one was slow, the next may hang too. It starts only while
    at least half of the threads are free, or leaves `spare` of them free where its own thing was quick the
    last time. So one dead disk or DNS server never takes all threads, and no healthy thing waits behind it.
    """

    def __init__(self, name: str, most: int, of_one_place: int, spare: int) -> None:
        self._name, self._most, self._of_one_place, self._spare = name, most, of_one_place, spare
        self._changed = threading.Condition()
        self._jobs: dict[Hashable, _Job] = {}  # waiting or running, by what they are for
        self._waiting: OrderedDict[_Job, None] = OrderedDict()
        self._running: set[_Job] = set()
        self._ready: deque[_Job] = deque()  # running, as soon as a thread has taken it
        self._slow: OrderedDict[Hashable, None] = OrderedDict()  # places
        self._quick: OrderedDict[Hashable, None] = OrderedDict()  # things
        self._threads = self._idle = 0

    @property
    def running(self) -> int:
        """Jobs that hold a thread."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs that wait for one."""
        return len(self._waiting)

    def is_waiting(self, thing: Hashable) -> bool:
        """Whether the job of a thing waits for others to end."""
        job = self._jobs.get(thing)
        return job is not None and job in self._waiting

    def run(
        self,
        thing: Hashable,
        work: Callable[[], T],
        places: Iterable[Hashable] = (),
        unwanted: Callable[[T], None] = _keep,
    ) -> "asyncio.Future[T]":
        """Begin a job, or share the one that is under way for the same thing; None shares nothing.

        The future gets its result, its exception, or NoThreadError. Who cancels it waits no more; a job that
        runs then goes on, and `unwanted` is given its result; one that nobody waits for does not start.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._changed:
            job = self._jobs.get(thing)
            if job is None:
                job = _Job(thing, frozenset(places), work, unwanted)
                self._waiting[job] = None
                if thing is not None:
                    self._jobs[thing] = job
            job.waiters.append(future)
            self._start()
        future.add_done_callback(lambda done: self._leave(job, done))
        return future

    def _leave(self, job: _Job, done: "asyncio.Future[Any]") -> None:
        if not done.cancelled():
            return
        with self._changed:
            with contextlib.suppress(ValueError):  # it is being settled just now
                job.waiters.remove(done)
            if not job.waiters and job in self._waiting:
                self._forget(job)

    def _forget(self, job: _Job) -> None:
        self._waiting.pop(job, None)
        self._running.discard(job)
        if self._jobs.get(job.thing) is job:
            del self._jobs[job.thing]

    def _start(self) -> None:
        """Start as many jobs as may be; the lock is held."""
        while (job := self._next()) is not None:
            if len(self._ready) >= self._idle and not self._add_thread():
                if not self._threads:  # else one of those takes it later
                    self._forget(job)
                    job.settle(job.waiters, None, NoThreadError())
                return
            del self._waiting[job]
            job.started = time.monotonic()
            self._running.add(job)
            self._ready.append(job)
            self._changed.notify()

    def _next(self) -> _Job | None:
        """The first job that may start, those first that will not hang."""
        free = self._most - len(self._running)
        if not free or not self._waiting:
            return None
        hangs_since = time.monotonic() - _HANGS_SECONDS
        held = Counter(place for job in self._running for place in job.places)
        bad = {place for job in self._running if job.started < hangs_since for place in job.places}
        bad.update(self._slow)
        doubtful: _Job | None = None
        for job in self._waiting:
            if job.places & bad:
                if job.thing in self._quick and free > self._spare:
                    return job
                doubtful = doubtful or job
            elif all(held[place] < self._of_one_place for place in job.places):
                return job
        return doubtful if 2 * free >= self._most else None

    def _add_thread(self) -> bool:
        name = f"{self._name} {self._threads}"
        try:
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        except RuntimeError:  # can't start new thread
            return False
        self._threads += 1
        return True

    def _serve(self) -> None:
        while (job := self._take()) is not None:
            result: object = None
            failure: BaseException | None = None
            try:
                result = job.work()
            except BaseException as error:  # noqa: BLE001  it is raised again where it is awaited
                failure = error
            with self._changed:
                self._note_pace(job)
                self._forget(job)
                waiters = tuple(job.waiters)  # those who leave from now on are told, and do not listen
            job.settle(waiters, result, failure)
            del job, waiters, result, failure  # while it waits for the next, it holds nothing

    def _take(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            self._start()
            self._changed.wait_for(lambda: self._ready, _IDLE_SECONDS)
            self._idle -= 1
            if self._ready:
                return self._ready.popleft()
            self._threads -= 1
            return None

    def _note_pace(self, job: _Job) -> None:
        """Remember which places are slow and which things are quick."""
        slow = time.monotonic() - job.started >= _HANGS_SECONDS
        for place in job.places:
            _remember(self._slow, place, holds=slow)
        if job.thing is not None:
            _remember(self._quick, job.thing, holds=not slow)


def _remember(known: OrderedDict[Hashable, None], what: Hashable, *, holds: bool) -> None:
    known.pop(what, None)
    if holds:
        known[what] = None
    if len(known) > PACES_REMEMBERED:
        known.popitem(last=False)


_CREWS = {kind: Crew(*kind.value) for kind in Kind}
MOST = NAME_THREADS + FILE_THREADS + OTHER_THREADS


def run(
    kind: Kind,
    thing: Hashable,
    work: Callable[[], T],
    places: Iterable[Hashable] = (),
    unwanted: Callable[[T], None] = _keep,
) -> "asyncio.Future[T]":
    """Do blocking work of a kind for a thing (a name, a file) in a thread; for more see Crew.run."""
    return _CREWS[kind].run(thing, work, places, unwanted)


def is_waiting(kind: Kind, thing: Hashable) -> bool:
    """Whether the work for a thing waits for other work of its kind to end."""
    return _CREWS[kind].is_waiting(thing)


def running() -> int:
    """How many threads of the pool are at work; MOST is their bound."""
    return sum(crew.running for crew in _CREWS.values())


def waiting() -> int:
    """How much work waits for a thread."""
    return sum(crew.waiting for crew in _CREWS.values())
