"""The slot is sacred: resets, stalls and late replies cost no connection that the server did not end."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from exporter.demo.servers import free_port
from tests.conftest import Certificates, StartServer
from tests.crowd import crowd
from tests.daemon import Daemon, Scrape, quick, running_exporter, target
from tests.packed import Packed, Talk, ids_of_ours
from tests.series import CONNECTS, FAILURES, polls
from tests.servers.kinds import KINDS, MATRIX, OLDEST, ServerKind
from tests.tcp import Wire, wire
from tests.waiting import eventually

STALL_SECONDS = 5
KEEP_WAITING_SECONDS = 2
RESETS = ("idle", "idle over TLS", "in a row", "with a reply awaited", "half-closed")

# Redis 7.2 and later freeze TIME in a script, older ones have no os.clock.
SCRIPT = (
    "local os = rawget(_G, 'os') "
    "local now = os and os.clock or function() return tonumber(redis.call('TIME')[1]) end "
    f"local from = now() while now() - from < {STALL_SECONDS} do end"
)


@contextlib.contextmanager
def _wires(
    start_server: StartServer, certificates: Certificates
) -> Iterator[tuple[dict[str, Wire], list[dict[str, object]]]]:
    """A wire to one server for each sort of reset, and the targets at their ends."""
    tls_port = free_port()
    server = start_server(*certificates.server_options(tls_port))
    with contextlib.ExitStack() as stack:
        wires, targets = {}, []
        for name in RESETS:
            tls = "TLS" in name
            wires[name] = stack.enter_context(wire(tls_port if tls else server.port))
            scheme, options = ("redis", {})
            if tls:
                scheme, options = "rediss", {"tls": {"ca_file": str(certificates.ca)}}
            targets.append(target(name, f"{scheme}://localhost:{wires[name].port}", **options))
        targets.append(target("bystander", f"redis://127.0.0.1:{server.port}"))
        yield wires, targets


def _cut(how: str, through: Wire, daemon: Daemon) -> None:
    """Take the exporter's connection through a wire away."""
    if how == "half-closed":
        assert through.finish() == 1
        return
    if how == "with a reply awaited":
        through.hold()
        eventually(lambda: through.unanswered)
    assert through.reset() == 1
    through.release()
    for _ in range(4 if how == "in a row" else 0):
        seen = polls(daemon, how)
        eventually(lambda seen=seen: polls(daemon, how) > seen)  # type: ignore[misc]
        eventually(through.reset)


def test_a_reset_costs_two_polls_of_one_target_and_nothing_of_the_others(
    start_server: StartServer, certificates: Certificates, tmp_path: Path
) -> None:
    with _wires(start_server, certificates) as (wires, targets):
        names = [str(each["name"]) for each in targets]
        with running_exporter(tmp_path, quick(*targets)) as daemon:
            daemon.wait_for(dict.fromkeys(names, "ok"))
            cut: dict[str, float] = {}
            for how, through in wires.items():
                _cut(how, through, daemon)
                cut[how] = polls(daemon, how)
            eventually(lambda: all(polls(daemon, how) >= before + 2 for how, before in cut.items()))
            assert daemon.states() == dict.fromkeys(names, "ok"), "ok again in two polls"
            for _, labels, value in filter(lambda row: row[0] == FAILURES, daemon.scrape().samples):
                assert labels["target"] != "bystander" or not value


def _words(kind: ServerKind, stall: str) -> str:
    """The command that stalls a server of some kind."""
    whom = "" if kind is OLDEST else " ALL"  # before 6.2 a pause is for all
    return {
        "sleep": f"DEBUG SLEEP {STALL_SECONDS}",
        "pause": f"CLIENT PAUSE {1000 * STALL_SECONDS}{whom}",
        "script": f'EVAL "{SCRIPT}" 0',
    }[stall]


def _stalls(stall: str, kind: ServerKind) -> bool:
    """Whether to try a stall on a kind: a script eats a core, so only the oldest and the newest run one."""
    return stall != "script" or kind in (OLDEST, KINDS[-1])


def _full_servers(
    stack: contextlib.ExitStack, start_server: StartServer, talk: Talk, stalls: tuple[str, ...]
) -> dict[str, tuple[Packed, ServerKind, str]]:
    servers = {}
    for kind in MATRIX:
        debug = ("--enable-debug-command", "yes") if kind.tls else ()  # from 7.0 on
        for stall in (each for each in stalls if _stalls(each, kind)):
            options = ("--maxclients", "12", "--lua-time-limit", "60000", *debug)
            server = start_server(*options, kind=kind)
            packed = stack.enter_context(Packed(server, talk(server)))
            servers[f"{kind.name} {stall}".replace(".", "")] = packed, kind, stall
    return servers


def _stall(packed: Packed, kind: ServerKind, stall: str) -> None:
    if stall == "stop":
        packed.server.process.send_signal(signal.SIGSTOP)
    else:
        packed.crowd.members[0].sendall(_words(kind, stall).encode() + b"\r\n")


def _wait_until(daemon: Daemon, true: Callable[[Scrape], bool], within: float) -> Scrape:
    eventually(lambda: true(daemon.scrape()), within)
    return daemon.scrape()


def _show_no_number(page: Scrape, names: Mapping[str, object]) -> None:
    for name in names:
        assert page.get("redis_up", name) == 0, name
        for number in ("redis_connected_clients", "redis_connection_slots_used", "redis_max_clients"):
            assert page.get(number, name) is None, f"{name}: an old number"


def test_a_stall_of_a_full_server_is_a_timeout_without_numbers_and_costs_no_slot(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        servers = _full_servers(stack, start_server, talk, ("sleep", "stop", "pause", "script"))
        targets = [target(name, packed.url) for name, (packed, *_) in servers.items()]
        daemon = stack.enter_context(running_exporter(tmp_path, quick(*targets)))
        daemon.wait_for(dict.fromkeys(servers, "ok"))
        for packed, *_ in servers.values():
            packed.fill()
        daemon.wait_for(dict.fromkeys(servers, "at_limit"))

        for packed, kind, stall in servers.values():
            _stall(packed, kind, stall)
        stalled = time.monotonic()
        _show_no_number(daemon.wait_for(dict.fromkeys(servers, "timeout"), STALL_SECONDS), servers)
        eventually(lambda: time.monotonic() > stalled + STALL_SECONDS, STALL_SECONDS + 1)
        for packed, *_ in servers.values():
            packed.server.process.send_signal(signal.SIGCONT)

        page = daemon.wait_for(dict.fromkeys(servers, "at_limit"), 20)
        lost = [name for name, (packed, *_) in servers.items() if not packed.kept_its_slot()]
        assert not lost
        for name in servers:
            assert page.get("redis_up", name) == 1, name
            assert page.get("redis_connected_clients", name) == 12, name
            assert page.get(CONNECTS, name) == 1, name


def test_only_far_from_the_limit_is_a_silent_connection_given_up_after_keep_waiting(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    roomy = start_server("--maxclients", "1000")
    server = start_server("--maxclients", "12")
    config = quick(
        target("roomy", f"redis://127.0.0.1:{roomy.port}"), target("full", f"redis://127.0.0.1:{server.port}")
    )
    config["poll"]["keep_waiting"] = f"{KEEP_WAITING_SECONDS}s"
    with Packed(server, talk(server)) as full, running_exporter(tmp_path, config) as daemon:
        control = talk(roomy)
        daemon.wait_for({"roomy": "ok", "full": "ok"})
        first = eventually(lambda: ids_of_ours(control))
        full.fill()
        daemon.wait_for({"full": "at_limit"})

        stopped = time.monotonic()
        for each in (roomy, server):
            each.process.send_signal(signal.SIGSTOP)
        _wait_until(daemon, lambda page: (page.get(CONNECTS, "roomy") or 0) >= 2, 15)
        waited = time.monotonic() - stopped
        assert waited >= KEEP_WAITING_SECONDS, "it was given up before it had been silent for so long"
        eventually(lambda: time.monotonic() > stopped + 3 * KEEP_WAITING_SECONDS)
        _show_no_number(daemon.wait_for({"roomy": "timeout", "full": "timeout"}), {"roomy": 0, "full": 0})
        for each in (roomy, server):
            each.process.send_signal(signal.SIGCONT)

        page = daemon.wait_for({"roomy": "ok", "full": "at_limit"})
        assert page.get(CONNECTS, "full") == 1
        assert full.kept_its_slot()
        eventually(lambda: len(ids_of_ours(control)) == 1)
        assert ids_of_ours(control) != first


def test_a_late_reply_is_dropped_and_never_shown(start_server: StartServer, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        wires, crowds = {}, {}
        for name, kind in (("oldest", OLDEST), ("newest", KINDS[-1])):
            server = start_server(kind=kind)
            wires[name] = stack.enter_context(wire(server.port))
            crowds[name] = stack.enter_context(crowd(server.port))
            crowds[name].join(3)
        targets = [target(name, f"redis://127.0.0.1:{each.port}") for name, each in wires.items()]
        daemon = stack.enter_context(running_exporter(tmp_path, quick(*targets)))
        page = daemon.wait_for(dict.fromkeys(wires, "ok"))
        assert {page.get("redis_connected_clients", name) for name in wires} == {4}
        for each in wires.values():
            each.hold()
        _show_no_number(daemon.wait_for(dict.fromkeys(wires, "timeout")), wires)
        for clients in crowds.values():
            clients.join(5)
        for each in wires.values():
            each.release()

        for name, through in wires.items():
            page = _wait_until(daemon, lambda page, name=name: page.get("redis_up", name) == 1, 5)  # type: ignore[misc]
            assert page.get("redis_connected_clients", name) == 9, "the reply to an earlier question"
            assert page.get(CONNECTS, name) == 1
            assert through.accepted == 1
