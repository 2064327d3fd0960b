"""Make before break: what a reload or a new secret changes costs no slot, and is in use when it can be."""

import contextlib
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from exporter.demo.servers import Server, free_port
from tests.conftest import Certificates, StartServer
from tests.daemon import Daemon, quick, running_exporter, target
from tests.packed import Packed, Talk, ids_of_ours, rows_of_ours
from tests.series import CONNECTS, REFUSED, always_up, polled, reload, row_of_page, told
from tests.waiting import eventually

RIGHTS = ("-@all", "+info", "+client")
# What a person must read where the new settings are not in use yet.
NOT_YET = re.compile(
    r"\b(new|changed|second|another)\b.*\b(connection|user|password|credential|certificate|TLS)",
    re.IGNORECASE,
)


def users_of(control: redis.Redis) -> None:
    """Make the users that the exporter is told to be, the first of them with two passwords."""
    control.execute_command("ACL", "SETUSER", "first", "on", ">one", ">two", *RIGHTS)  # type: ignore[no-untyped-call]
    control.execute_command("ACL", "SETUSER", "second", "on", ">one", *RIGHTS)  # type: ignore[no-untyped-call]


def authentications(control: redis.Redis) -> int:
    """How many AUTH a server has run."""
    return int(control.info("commandstats")["cmdstat_auth"]["calls"])


class Changes:
    """One full server for each sort of change: the target before and after it."""

    def __init__(self, folder: Path, certificates: Certificates, stack: contextlib.ExitStack) -> None:
        self.packed: dict[str, Packed] = {}
        self.before: list[dict[str, Any]] = []
        self.after: list[dict[str, Any]] = []
        self._stack = stack
        first, second = folder / "first", folder / "second"
        first.write_text("one")
        second.write_text("two")
        again = folder / "again.pem"
        shutil.copy(certificates.ca, again)
        other = (str(certificates.client_cert), str(certificates.client_key))
        ca = str(certificates.ca)
        login = {"username": "first", "password": "one"}
        file = {"username": "first", "password_file": str(first)}
        self.sorts: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
            "renamed": ({}, {"name": "renamed-1"}),
            "relabelled": ({}, {"labels": {"team": "b"}}),
            "password": (login, login | {"password": "two"}),
            "file": (file, file | {"password_file": str(second)}),
            "user": (login, login | {"username": "second"}),
            "spelling": ({}, {"host": "localhost"}),
            "ca": ({"tls": {"ca_file": ca}}, {"tls": {"ca_file": str(again)}}),
            "certificate": (
                {"tls": {"ca_file": ca}},
                {"tls": {"ca_file": ca, "cert_file": other[0], "key_file": other[1]}},
            ),
        }

    def add(self, sort: str, server: Server, control: redis.Redis, tls_port: int) -> None:
        users_of(control)
        self.packed[sort] = self._stack.enter_context(Packed(server, control))
        for tree, settings in zip((self.before, self.after), self.sorts[sort], strict=True):
            host = settings.get("host", "127.0.0.1")
            url = f"rediss://{host}:{tls_port}" if "tls" in settings else f"redis://{host}:{server.port}"
            tree.append(target(sort, url) | {key: each for key, each in settings.items() if key != "host"})


def test_no_change_of_a_target_costs_the_slot_of_a_full_server(
    start_server: StartServer, certificates: Certificates, talk: Talk, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        changes = Changes(tmp_path, certificates, stack)
        for sort in changes.sorts:
            port = free_port()
            server = start_server(
                "--maxclients", "12", *certificates.server_options(port, clients="optional")
            )
            changes.add(sort, server, talk(server), port)
        log = {"format": "json"}
        daemon = stack.enter_context(running_exporter(tmp_path, quick(*changes.before, log=log)))
        daemon.wait_for(dict.fromkeys(changes.sorts, "ok"))
        for packed in changes.packed.values():
            packed.fill()
        daemon.wait_for(dict.fromkeys(changes.sorts, "at_limit"))

        logins = {sort: changes.packed[sort].control for sort in ("password", "file", "user")}
        asked = {sort: authentications(control) for sort, control in logins.items()}
        daemon.configure(quick(*changes.after, log=log))
        reload(daemon)
        polled(daemon, "spelling", 4)

        assert [sort for sort, packed in changes.packed.items() if not packed.kept_its_slot()] == []
        page = daemon.scrape()
        for each in changes.after:
            assert page.get("redis_up", each["name"]) == 1, each["name"]
        assert page.get("redis_up", "renamed") is None
        assert page.get("redis_up", "relabelled", team="b") == 1
        for name in ("renamed-1", "relabelled"):
            assert (page.get(CONNECTS, name) or 0) <= 1, f"{name}: nothing about its connection has changed"
        refused = [sort for sort in changes.sorts if page.get(REFUSED, sort)]
        for name, control in logins.items():
            tried = name in refused or authentications(control) > asked[name]
            assert tried, f"{name}: nobody tried what is new"
        for name in {*refused, "ca", "certificate"}:
            assert told(daemon, name), f"{name}: no log line"
            assert NOT_YET.search(row_of_page(daemon, name)), row_of_page(daemon, name)


class Roomy:
    """A server with room, the exporter's target there, and what a test changes about it."""

    def __init__(self, start_server: StartServer, talk: Talk, name: str, **login: str) -> None:
        self.server = start_server()
        self.control = talk(self.server)
        users_of(self.control)
        self.name = name
        self.login = login

    def target(self) -> dict[str, Any]:
        return target(self.name, f"redis://127.0.0.1:{self.server.port}", **self.login)


def _never_down(daemon: Daemon, names: list[str], until: Callable[[], object], within: float = 15) -> None:
    """Wait for something, and look all the while that no target goes down."""

    def look() -> object:
        always_up(daemon, *names)
        return until()

    eventually(look, within)


def test_with_room_new_credentials_are_used_and_wrong_ones_are_not(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("one\n")
    user = Roomy(start_server, talk, "user", username="first", password="one")
    password = Roomy(start_server, talk, "password", username="first", password="one")
    wrong = Roomy(start_server, talk, "wrong", username="first", password="one")
    rotated = Roomy(start_server, talk, "rotated", username="first", password_file=str(file))
    servers = [user, password, wrong, rotated]
    names = [each.name for each in servers]
    log = {"format": "json"}
    with running_exporter(tmp_path, quick(*(each.target() for each in servers), log=log)) as daemon:
        daemon.wait_for(dict.fromkeys(names, "ok"))
        (first,) = eventually(lambda: ids_of_ours(wrong.control))
        (held,) = eventually(lambda: ids_of_ours(rotated.control))
        asked = authentications(password.control)

        user.login["username"], password.login["password"], wrong.login["password"] = "second", "two", "three"
        daemon.configure(quick(*(each.target() for each in servers), log=log))
        reload(daemon)
        polled(daemon, "wrong", 2)

        def as_second() -> bool:
            """Whether there is one connection of ours, and it is the new user's."""
            return [row["user"] for row in rows_of_ours(user.control)] == ["second"]

        _never_down(daemon, names, as_second)
        _never_down(daemon, names, lambda: authentications(password.control) > asked)
        _never_down(daemon, names, lambda: NOT_YET.search(row_of_page(daemon, "wrong")))
        assert told(daemon, "wrong"), "no log line about a password that is wrong"
        eventually(lambda: ids_of_ours(wrong.control) == [first])
        eventually(lambda: len(ids_of_ours(password.control)) == 1)

        asked = authentications(rotated.control)
        file.write_text("two\n")  # nobody says so: it is found out
        _never_down(daemon, names, lambda: authentications(rotated.control) > asked, 20)
        assert ids_of_ours(rotated.control) == [held], "AUTH on the held connection is enough"
        page = daemon.wait_for(dict.fromkeys(names, "ok"))
        assert page.get(CONNECTS, "rotated") == 1
        assert (page.get(CONNECTS, "user") or 0) <= 2


def test_with_room_a_new_certificate_is_used_and_one_that_fails_is_not(
    start_server: StartServer, certificates: Certificates, talk: Talk, tmp_path: Path
) -> None:
    names = ["shows", "distrusts"]
    ports = {name: free_port() for name in names}
    controls = {
        name: talk(start_server(*certificates.server_options(port, clients="optional")))
        for name, port in ports.items()
    }
    trust = {"ca_file": str(certificates.ca)}
    shown = {"cert_file": str(certificates.client_cert), "key_file": str(certificates.client_key)}
    log = {"format": "json"}

    def tree(**tls: dict[str, str]) -> dict[str, Any]:
        return quick(*(target(n, f"rediss://localhost:{ports[n]}", tls=tls[n]) for n in names), log=log)

    with running_exporter(tmp_path, tree(shows=trust, distrusts=trust)) as daemon:
        daemon.wait_for(dict.fromkeys(names, "ok"))
        held = {name: eventually(lambda name=name: ids_of_ours(controls[name])) for name in names}  # type: ignore[misc]
        daemon.configure(tree(shows=trust | shown, distrusts={"ca_file": str(certificates.other_ca)}))
        reload(daemon)

        def replaced() -> bool:
            now = ids_of_ours(controls["shows"])
            return len(now) == 1 and now != held["shows"]

        _never_down(daemon, names, replaced)
        _never_down(daemon, names, lambda: NOT_YET.search(row_of_page(daemon, "distrusts")))
        assert ids_of_ours(controls["distrusts"]) == held["distrusts"]
        assert told(daemon, "distrusts"), "no log line about a certificate that cannot be verified"


def test_a_target_that_was_dropped_leaves_no_connection_though_a_reply_is_owed(
    start_server: StartServer, talk: Talk, tmp_path: Path
) -> None:
    kept, dropped = start_server(), start_server("--maxclients", "12")
    control = talk(dropped)
    both = [
        target("kept", f"redis://127.0.0.1:{kept.port}"),
        target("dropped", f"redis://127.0.0.1:{dropped.port}"),
    ]
    with Packed(dropped, control) as full, running_exporter(tmp_path, quick(*both)) as daemon:
        daemon.wait_for({"kept": "ok", "dropped": "ok"})
        full.fill()
        daemon.wait_for({"dropped": "at_limit"})
        dropped.process.send_signal(signal.SIGSTOP)
        daemon.wait_for({"dropped": "timeout"})
        daemon.configure(quick(both[0]))
        reload(daemon)
        dropped.process.send_signal(signal.SIGCONT)
        eventually(lambda: not ids_of_ours(control))
        assert daemon.states() == {"kept": "ok"}
