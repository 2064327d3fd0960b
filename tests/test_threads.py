"""Blocking work: nothing that hangs takes the threads from others, ends the process, or holds up its end."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter import threads
from exporter.demo.servers import free_port
from exporter.limits import FILE_THREADS
from exporter.threads import Crew, NoThreadError
from tests.conftest import Certificates, StartServer
from tests.daemon import Daemon, altered, quick, running_exporter, target
from tests.dead_disk import dead_disk
from tests.names import names_of_a_test
from tests.waiting import eventually


class Hang:
    """Work that begins, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._over = threading.Event()

    def work(self, name: str) -> Callable[[], str]:
        def run() -> str:
            self.begun.append(name)
            assert self._over.wait(30)
            return name

        return run

    def let_go(self) -> None:
        self._over.set()


@contextmanager
def hanging() -> Iterator[Hang]:
    hang = Hang()
    try:
        yield hang
    finally:
        hang.let_go()


async def _begun(hang: Hang, *names: str) -> None:
    async with asyncio.timeout(10):
        while set(hang.begun) != set(names):
            await asyncio.sleep(0.01)


def _crew(monkeypatch: pytest.MonkeyPatch, most: int, of_one_place: int, spare: int) -> Crew:
    monkeypatch.setattr(threads, "_IDLE_SECONDS", 0.1)
    monkeypatch.setattr(threads, "_HANGS_SECONDS", 0.05)
    return Crew("test", most, of_one_place, spare)


def _threads_of(crew: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith(f"{crew} ")]


def test_who_asks_for_the_same_thing_shares_one_job_and_its_result_or_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = _crew(monkeypatch, 4, 2, 1)

    async def main() -> None:
        with hanging() as hang:
            both = [crew.run("a", hang.work(name)) for name in ("first", "second")]
            await _begun(hang, "first")
            hang.let_go()
            assert [await each for each in both] == ["first", "first"]
            with pytest.raises(ZeroDivisionError):
                await crew.run("a", lambda: 1 // 0)
            assert await crew.run("a", lambda: "anew") == "anew"

    asyncio.run(main())
    eventually(lambda: crew.running == 0)


def test_what_waits_and_is_given_up_never_starts_and_threads_without_work_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = _crew(monkeypatch, 2, 2, 0)

    async def main() -> None:
        with hanging() as hang:
            jobs = [crew.run(name, hang.work(name)) for name in ("a", "b", "c", "d")]
            await _begun(hang, "a", "b")
            assert (crew.running, crew.waiting) == (2, 2)
            assert crew.is_waiting("c")
            assert not crew.is_waiting("a")
            jobs[2].cancel()
            await asyncio.sleep(0)
            assert crew.waiting == 1
            hang.let_go()
            assert [await jobs[n] for n in (0, 1, 3)] == ["a", "b", "d"]
            assert "c" not in hang.begun

    asyncio.run(main())
    eventually(lambda: not _threads_of("test"))


def test_a_result_that_nobody_waits_for_any_more_is_put_away(monkeypatch: pytest.MonkeyPatch) -> None:
    crew, unwanted = _crew(monkeypatch, 2, 2, 0), list[str]()

    async def main() -> None:
        with hanging() as hang:
            job = crew.run(None, hang.work("a"), unwanted=unwanted.append)
            await _begun(hang, "a")
            job.cancel()
            await asyncio.sleep(0)

    asyncio.run(main())
    eventually(lambda: unwanted == ["a"])


def test_a_disk_that_hangs_takes_half_of_the_threads_at_most_and_the_files_of_others_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = _crew(monkeypatch, 6, 1, 3)

    async def main() -> None:
        with hanging() as hang:
            dead = [crew.run(f"{n}", hang.work(f"{n}"), ["dead"]) for n in range(16)]
            await _begun(hang, "0")
            await asyncio.sleep(0.1)  # now it hangs
            for number in range(50):
                assert await crew.run(f"good {number}", lambda: "read", ["good"]) == "read"
            assert crew.running <= 4
            assert crew.waiting >= 12
            hang.let_go()
            assert len(await asyncio.gather(*dead)) == 16

    asyncio.run(main())


def test_a_name_that_was_quick_is_looked_up_although_others_of_its_zone_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = _crew(monkeypatch, 8, 4, 2)

    async def main() -> None:
        assert await crew.run("good", lambda: "1", ["zone"]) == "1"
        with hanging() as hang:
            dead = [crew.run(f"{n}", hang.work(f"{n}"), ["zone"]) for n in range(150)]
            await _begun(hang, *"0123")
            await asyncio.sleep(0.1)  # now they hang
            assert await crew.run("good", lambda: "2", ["zone"]) == "2"
            assert await crew.run("elsewhere", lambda: "3", ["other zone"]) == "3"
            assert len(hang.begun) <= 5
            hang.let_go()
            await asyncio.gather(*dead)

    asyncio.run(main())


def test_a_thread_that_cannot_be_started_is_an_error_of_the_work_and_not_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = _crew(monkeypatch, 4, 4, 0)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        with hanging() as hang:
            first = crew.run("a", hang.work("a"))
            await _begun(hang, "a")
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refuse)
                second = crew.run("b", lambda: "b")
                assert crew.is_waiting("b"), "there is a thread that can take it later"
                hang.let_go()
                assert (await first, await second) == ("a", "b")
        async with asyncio.timeout(10):
            while _threads_of("test"):
                await asyncio.sleep(0.01)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(NoThreadError, match="no thread can be started: raise the limit of tasks"):
            await crew.run("c", lambda: "c")
        assert (crew.running, crew.waiting) == (0, 0)

    asyncio.run(main())


def _tasks(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir()))


def test_150_names_that_no_dns_server_answers_cost_few_threads_and_no_other_target(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("--bind", "127.0.0.1", "127.0.0.2")
    with names_of_a_test() as names:
        names.silent_zones.add("dead.example")
        names.addresses["orders.good.example"] = ["127.0.0.1"]
        targets = [
            *(target(f"dead-{n}", f"redis://n{n}.dead.example:{server.port}") for n in range(150)),
            target("by-address", f"redis://127.0.0.2:{server.port}"),
            target("by-name", f"redis://orders.good.example:{server.port}"),
        ]
        with running_exporter(tmp_path, quick(*targets), prefix=names.asked_by(tmp_path, 5)) as daemon:
            daemon.wait_for({"by-address": "ok", "by-name": "ok", "dead-0": "timeout", "dead-149": "timeout"})
            assert _tasks(daemon) <= threads.MOST + 2
            assert "it waits behind names that hang" in daemon.output()
            assert daemon.ask("/-/healthy").status == 200
            asked = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - asked < 3


def test_files_on_a_disk_that_does_not_answer_hurt_their_own_targets_only(
    start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    tls_port = free_port()
    start_server(*certificates.server_options(tls_port), "--requirepass", "right")
    (tmp_path / "password").write_text("right")
    with dead_disk(tmp_path / "dead") as dead:
        tls = {"ca_file": str(certificates.ca)}
        file = str(dead / "file")

        def far(number: int) -> str:
            return f"rediss://127.0.0.{number}:{tls_port}"

        targets = [
            *(
                target(f"dead-{n}", f"redis://127.0.1.{n}:1", password_file=f"{dead}/{n}/file")
                for n in range(16)
            ),
            target("ca", far(2), tls={"ca_file": file}),
            target("cert", far(3), tls={**tls, "cert_file": file, "key_file": str(certificates.client_key)}),
            target("key", far(4), tls={**tls, "cert_file": str(certificates.client_cert), "key_file": file}),
            target("socket", f"unix://{dead}/redis.sock"),
            target(
                "good",
                f"rediss://localhost:{tls_port}",
                tls=tls,
                password_file=str(tmp_path / "password"),
            ),
        ]
        lost = [each["name"] for each in targets if each["name"] != "good"]
        with running_exporter(tmp_path, quick(*targets)) as daemon:
            daemon.wait_for({"good": "ok", **dict.fromkeys(lost, "timeout")})
            assert daemon.ask("/-/healthy").status == 200
            assert _tasks(daemon) <= FILE_THREADS + 3
            assert "they wait behind files that hang" in daemon.output()
            asked = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - asked < 3


def test_where_no_thread_can_be_started_names_do_not_resolve_and_the_others_go_on(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    poor = altered(
        tmp_path,
        "import threading\n"
        "start = threading.Thread.start\n"
        "def refuse(thread):\n"
        "    if thread.name.startswith('name'): raise RuntimeError(\"can't start new thread\")\n"
        "    start(thread)\n"
        "threading.Thread.start = refuse\n",
    )
    named, good = (f"redis://{host}:{server.port}" for host in ("localhost", "127.0.0.1"))
    config = quick(target("named", named), target("good", good))
    with running_exporter(tmp_path, config, prefix=(), **poor) as daemon:
        daemon.wait_for({"named": "dns", "good": "ok"})
        assert "no thread can be started: raise the limit of tasks" in daemon.output()
