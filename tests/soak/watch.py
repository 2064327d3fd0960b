"""What is seen of the exporter from outside: its page, its process, its log."""

import math
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.daemon import Daemon, children
from tests.soak.members import AGE_ALLOWED, MEMBERS
from tests.waiting import eventually

_SUCCESS = "redis_connection_exporter_last_success_timestamp_seconds"
_STATE = "redis_target_state"
_CONNECTS = "redis_connection_exporter_connects_total"
_MEMORY = "process_resident_memory_bytes"
_SAMPLE = re.compile(rf"(?m)^({_SUCCESS}|{_STATE}|{_CONNECTS}|{_MEMORY})(?:\{{(.*)\}})? (\S+)$")
_LABEL = re.compile(r'(?:^|,)(target|state)="([^"]*)"')
_MESSAGE = re.compile(r'(?m)^ts=\S+ level=(\S+) msg=("[^"]*"|\S+)')
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Glance:
    """What one page says, by the names that the targets have just then.

    `moment` is monotonic and `now` Unix time, both from before the page was asked for: a page that comes late
    makes no reading older. `took` is how long (seconds) that was, `memory` is in bytes.
    """

    moment: float
    now: float
    took: float
    success: Mapping[str, float]
    states: Mapping[str, str]
    connects: Mapping[str, float]
    memory: float


def glance(daemon: Daemon) -> Glance:
    """Ask for the page. Raises OSError when it does not come."""
    moment, now = time.monotonic(), time.time()
    return read_page(daemon.ask("/metrics").text, moment, now, time.monotonic() - moment)


def read_page(text: str, moment: float, now: float, took: float) -> Glance:
    """Read what the soak needs of a page; the real parser takes ten times as long."""
    success: dict[str, float] = {}
    states: dict[str, str] = {}
    connects: dict[str, float] = {}
    memory = math.nan
    for name, written, value in _SAMPLE.findall(text):
        labels = dict(_LABEL.findall(written))
        if name == _SUCCESS:
            success[labels["target"]] = float(value)
        elif name == _CONNECTS:
            connects[labels["target"]] = float(value)
        elif name == _MEMORY:
            memory = float(value)
        elif float(value) == 1:
            states[labels["target"]] = labels["state"]
    return Glance(moment, now, took, success, states, connects, memory)


class Ages:
    """How old the newest reading of each member is, and from when on that counts."""

    def __init__(self) -> None:
        self._newest = {member.name: 0.0 for member in MEMBERS}
        self._counts_from = {member.name: 0.0 for member in MEMBERS}
        self._late: set[str] = set()
        self.worst: tuple[float, str, float] = 0.0, "", 0.0
        self.measured = 0

    def excuse(self, member: str) -> None:
        """Expect nothing of a member from now on."""
        self._counts_from[member] = math.inf

    def expect(self, member: str, moment: float) -> None:
        """Expect a member to be fresh from some moment on (monotonic)."""
        self._counts_from[member] = moment

    def see(self, seen: Glance, at: float) -> Iterator[str]:
        """Measure each member that is healthy now, and name those that have just become too old.

        A member may change its name: what counts is the newest reading under any of its names.
        """
        for member in MEMBERS:
            found = [seen.success.get(name, 0.0) for name in member.names]
            newest = self._newest[member.name] = max(self._newest[member.name], *found)
            if seen.moment < self._counts_from[member.name]:
                continue
            self.measured += 1
            age = seen.now - newest
            self.worst = max(self.worst, (age, member.name, at))
            if age <= AGE_ALLOWED:
                self._late.discard(member.name)
            elif member.name not in self._late:
                self._late.add(member.name)
                state = next((seen.states[name] for name in member.names if name in seen.states), "absent")
                yield f"{member.name} is healthy, and its newest reading {age:.1f} s old (state {state})"


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds: threads, open files, and asyncio's tasks by name."""

    threads: int
    descriptors: int
    tasks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.descriptors} descriptors, {len(self.tasks)} tasks"

    def beyond(self, before: "Holdings", spare_threads: int) -> tuple[str, ...]:
        """What there is more of than before, but for so many threads. Descriptors and tasks have no spare."""
        more = []
        if self.threads > before.threads + spare_threads:
            more.append(f"threads {before.threads} -> {self.threads}")
        if self.descriptors > before.descriptors:
            more.append(f"descriptors {before.descriptors} -> {self.descriptors}")
        if len(self.tasks) > len(before.tasks):
            left = Counter(self.tasks) - Counter(before.tasks)
            more.append(f"tasks {len(before.tasks)} -> {len(self.tasks)}, among them {', '.join(left)}")
        return tuple(more)


def holdings(pid: int, tasks_file: Path) -> Holdings:
    """Look at a process several times between reloads, and return the least of each."""
    looks = []
    for _ in range(_LOOKS):
        eventually(lambda: not children(pid))
        looks.append(_look(pid, tasks_file))
    return Holdings(
        min(look.threads for look in looks),
        min(look.descriptors for look in looks),
        min((look.tasks for look in looks), key=len),
    )


def _look(pid: int, tasks_file: Path) -> Holdings:
    tasks_file.unlink(missing_ok=True)
    threads, descriptors = (len([*Path(f"/proc/{pid}/{kind}").iterdir()]) for kind in ("task", "fd"))
    os.kill(pid, signal.SIGUSR2)  # tests/soak/hook answers it
    eventually(tasks_file.exists, 10)
    return Holdings(threads, descriptors, tuple(tasks_file.read_text().splitlines()))


def count_messages(log: str) -> Counter[str]:
    """How often each message stands in a log, with its level."""
    return Counter(f"{level}: {message.strip(chr(34))}" for level, message in _MESSAGE.findall(log))
