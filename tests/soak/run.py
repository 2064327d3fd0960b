"""One soak from start to end: what the plan says is done, and all that must hold is looked at meanwhile."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path

from tests.daemon import Daemon, running_exporter
from tests.soak.fleet import Fleet, running_fleet
from tests.soak.members import FULL, LONG_GRACE, MEMBERS, MOVE_ALLOWED, SHORT_GRACE, SWITCHED_USERS
from tests.soak.plan import WARM_UP, Event, Fault, Kind, What, draw_plan
from tests.soak.proxy import Door
from tests.soak.report import Report
from tests.soak.slot import Slot
from tests.soak.watch import Ages, Glance, count_messages, glance, holdings
from tests.waiting import eventually

_TURN = 0.25
_START_ALLOWED = 30.0
_END_ALLOWED = LONG_GRACE + 5.0
_NORMAL_ALLOWED = 20.0
_MEASURE_BEFORE_TROUBLE = 3.0  # the reload at 10 s is over then, and that at 15 s has not begun
# Each thread ends with its work. Where a pool keeps some, this is its size.
_SPARE_THREADS = 0
_TAIL = 2000  # characters of a log that a report shows
_HOOK = Path(__file__).parent / "hook"


class Soak:
    """Does what the plan says to a fleet, and looks at the exporter four times a second."""

    def __init__(self, fleet: Fleet, daemon: Daemon, report: Report, tasks_file: Path) -> None:
        self._fleet = fleet
        self._daemon = daemon
        self._report = report
        self._tasks_file = tasks_file
        self._ages = Ages()
        self._slot = Slot(fleet.controls[FULL])
        self._stalled_at: float | None = None
        self._faults: dict[str, Fault] = {}
        self._moved: tuple[Door, float] | None = None
        self._log_read = 0
        self._started = time.monotonic()
        self._acts: Mapping[What, Callable[[Event, float], None]] = {
            What.RELOAD: self._reload,
            What.FAULT: self._begin_fault,
            What.HEAL: self._end_fault,
            What.STALL: self._stall,
            What.RESUME: self._resume,
            What.MOVE: self._move,
            What.RENAME: lambda event, _: fleet.rename(event.subject),
            What.PASSWORD: lambda event, _: fleet.renew_password(event.subject),
            What.USER: lambda _event, _now: fleet.switch_user(),
            What.CERTIFICATES: lambda _event, _now: fleet.renew_certificates(),
        }

    @property
    def at(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def run(self, plan: tuple[Event, ...]) -> None:
        """Go through the plan, then wait for calm. Ends early when the process is dead."""
        if not self._comes_true("every target is ok before anything happens", self._all_ok, _START_ALLOWED):
            return
        self._fleet.feed()
        self._started = time.monotonic()
        left = deque(plan)
        while self.at < self._report.seconds and self._lives():
            began = time.monotonic()
            while left and left[0].at <= self.at:
                self._do(left.popleft())
            self._look()
            if self._report.before is None and self.at > WARM_UP - _MEASURE_BEFORE_TROUBLE:
                self._report.before = holdings(self._daemon.process.pid, self._tasks_file)
            late = time.monotonic() - began - _TURN
            self._report.slowest_turn = max(self._report.slowest_turn, late)
            time.sleep(max(0.0, -late))
        if self._lives():
            self._calm_down()

    def _all_ok(self) -> bool:
        states = self._daemon.states()
        return len(states) == len(MEMBERS) + self._fleet.crowd and set(states.values()) == {"ok"}

    def _lives(self) -> bool:
        return self._daemon.process.poll() is None

    def _fail(self, text: str) -> None:
        self._report.fail(self.at, text)

    def _look(self) -> None:
        try:
            seen = glance(self._daemon)
        except (OSError, HTTPException) as error:
            self._fail(f"no page: {error!r}")
            return
        self._report.memory.append((self.at, seen.memory))
        self._report.slowest_page = max(self._report.slowest_page, seen.took)
        for failure in self._ages.see(seen, self.at):
            self._fail(failure)
        self._look_at_slot(seen)
        self._look_for_move()
        self._read_log()

    def _look_at_slot(self, seen: Glance) -> None:
        if self._stalled_at is not None:
            return
        was_vacant = self._slot.vacant
        for failure in self._slot.look(seen):
            self._fail(failure)
        if self._slot.vacant and not was_vacant:  # lost; it shall get another, so that the soak can go on
            self._ages.excuse(FULL)
            self._fleet.make_room()
        elif was_vacant and not self._slot.vacant:
            self._fleet.feed()
            self._expect_full(SHORT_GRACE)

    def _look_for_move(self) -> None:
        if self._moved is None:
            return
        door, since = self._moved
        waited = time.monotonic() - since
        if door.connections:
            self._moved = None
            self._report.moves_followed += 1
            self._report.slowest_move = max(self._report.slowest_move, waited)
        elif waited > MOVE_ALLOWED:
            self._moved = None
            self._fail(f"{waited:.0f} s after its name moved, nobody has connected to the other server")

    def _read_log(self) -> None:
        with self._daemon.log.open("rb") as file:
            file.seek(self._log_read)
            if b"Traceback" in (new := file.read()):
                self._fail(f"a traceback in the log: {new.decode(errors='replace')[-_TAIL:]}")
            self._log_read += len(new)

    def _expect_full(self, grace: float) -> None:
        """Expect the full server's numbers after some grace, unless the exporter is without a slot there."""
        if not self._slot.vacant:
            self._ages.expect(FULL, time.monotonic() + grace)

    def _do(self, event: Event) -> None:
        if event.what not in (What.HEAL, What.RESUME):
            kind = f"{event.fault.kind} (fault)" if event.fault is not None else str(event.what)
            self._report.happened[kind] += 1
        self._acts[event.what](event, time.monotonic())

    def _reload(self, _event: Event, _now: float) -> None:
        self._fleet.rename_crowd()
        self._fleet.configure(self._daemon.config)
        self._daemon.hang_up()

    def _stall(self, _event: Event, now: float) -> None:
        self._ages.excuse(FULL)
        self._stalled_at = now
        self._report.full_stalls += self._fleet.is_full
        self._fleet.stall()

    def _resume(self, _event: Event, now: float) -> None:
        self._fleet.resume()
        self._report.stalls.append(now - (self._stalled_at or now))
        self._stalled_at = None
        self._expect_full(SHORT_GRACE)

    def _move(self, _event: Event, now: float) -> None:
        door = self._fleet.move()
        if door.connections:
            self._fail("the name moves to a server to which the exporter is still connected from before")
        self._moved = door, now

    def _begin_fault(self, event: Event, now: float) -> None:
        fault, member = event.fault, event.subject
        assert fault is not None
        if member == FULL and fault.kind is Kind.RESET:
            self._fleet.make_room()
            self._slot.was_reset(now)
        self._ages.excuse(member)
        self._faults[member] = fault
        self._fleet.misbehave(member, fault)

    def _end_fault(self, event: Event, now: float) -> None:
        member = event.subject
        self._fleet.misbehave(member, None)
        grace = self._faults.pop(member).grace
        if member == FULL:
            self._expect_full(grace)
        else:
            self._ages.expect(member, now + grace)

    def _calm_down(self) -> None:
        """End all trouble, and hold what the exporter comes back to against what it had after the warm-up."""
        self._report.judge()
        began = time.monotonic()
        self._fleet.calm_down()
        self._fleet.configure(self._daemon.config)
        self._daemon.hang_up()
        if self._comes_true("every target is ok again", self._all_ok, _END_ALLOWED):
            self._report.recovery = time.monotonic() - began
        self._comes_true("one connection for each target", self._no_connection_too_many, _NORMAL_ALLOWED)
        self._comes_true("the user that is configured now", self._the_right_user, _NORMAL_ALLOWED)
        self._comes_true("nothing is left over", self._nothing_left, _NORMAL_ALLOWED)
        before, after = self._report.before, self._report.after
        if before is not None and after is not None:
            for more in after.beyond(before, _SPARE_THREADS):
                self._fail(f"left over: {more}")

    def _comes_true(self, what: str, check: Callable[[], bool], within: float) -> bool:
        try:
            eventually(check, within)
        except (AssertionError, OSError) as error:
            states = Counter(self._daemon.states().values()) if self._lives() else "the process is dead"
            self._fail(f"not so within {within:g} s: {what} ({type(error).__name__}; states now: {states})")
            return False
        return True

    def _no_connection_too_many(self) -> bool:
        return all(sum(door.connections for door in doors) == 1 for doors in self._fleet.doors.values())

    def _the_right_user(self) -> bool:
        rows = self._fleet.controls["locked"].client_list()
        return [row["user"] for row in rows if row["user"] in SWITCHED_USERS] == [self._fleet.switched_user]

    def _nothing_left(self) -> bool:
        self._report.after = holdings(self._daemon.process.pid, self._tasks_file)
        assert self._report.before is not None
        return not self._report.after.beyond(self._report.before, _SPARE_THREADS)

    def tell(self) -> None:
        """Write into the report what was measured all through."""
        report = self._report
        report.worst_age, report.ages_measured = self._ages.worst, self._ages.measured
        report.resets, report.losses = self._slot.resets, self._slot.losses
        report.slowest_return = self._slot.slowest_return
        report.refused = self._fleet.hungry.refused
        report.messages = count_messages(self._daemon.output())


def soak(folder: Path, seed: int, seconds: float, crowd: int) -> Report:
    """Soak the exporter for so many seconds, with a warm-up at their begin; calming down takes longer.

    The folder gets everything that the servers and the exporter write. `crowd` is the number of targets more.
    """
    report, tasks_file = Report(seed, seconds, len(MEMBERS) + crowd), folder / "tasks"
    with running_fleet(folder, seed, crowd) as fleet:
        try:
            with running_exporter(
                folder,
                fleet.tree(),
                prefix=fleet.hosts.prefix,
                PYTHONPATH=str(_HOOK),
                SOAK_TASKS_FILE=str(tasks_file),
            ) as daemon:
                run = Soak(fleet, daemon, report, tasks_file)
                try:
                    run.run(draw_plan(seed, seconds))
                finally:
                    run.tell()
                    if daemon.process.poll() is not None:
                        report.fail(
                            run.at, f"the process ended by itself: exit code {daemon.process.returncode}"
                        )
        except AssertionError as error:  # it did not start, or did not end as it should
            report.fail(seconds, str(error)[-_TAIL:])
    return report
