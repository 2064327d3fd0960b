"""The servers of the soak, the doors in front of them, and what changes about them."""

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import yaml

from exporter.demo.servers import Server, free_port, running_server
from tests.servers.kinds import SYSTEM
from tests.soak.crowd import Crowd
from tests.soak.hungry import Hungry
from tests.soak.members import (
    CONNECT_TIMEOUT,
    FULL,
    FULL_LIMIT,
    INTERVAL,
    KEEP_WAITING,
    MEMBERS,
    MOVING,
    MOVING_NAME,
    ROTATED,
    SWITCHED_USERS,
    SWITCHING,
    TIMEOUT,
    Member,
    crowd_target,
)
from tests.soak.papers import Certificates, Password, rewrite, set_user
from tests.soak.plan import Fault
from tests.soak.proxy import Call, Door, running_loop

_SWITCHED_PASSWORD = "as good as any"
_ROOM = 3  # the exporter needs one, and one more to make before it breaks
_ADDRESSES = ("127.0.0.1", "127.0.0.2")


class Hosts:
    """A hosts file that only the exporter sees, with one name that moves between two addresses."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hosts"
        before = Path("/etc/hosts").read_text()
        # The last digit of the address is the byte that is overwritten: nobody ever reads half of a line.
        self._digit = len(f"{before}\n127.0.0.".encode())
        self.file.write_text(f"{before}\n{_ADDRESSES[0]} {MOVING_NAME}\n")
        script = f'mount --bind {self.file} /etc/hosts && exec "$@"'
        self.prefix = ("unshare", "--mount", "sh", "-c", script, "sh")

    def point_to(self, address: str) -> None:
        """Let the name lead to another address."""
        with self.file.open("r+b") as file:
            os.pwrite(file.fileno(), address[-1].encode(), self._digit)


@dataclass
class Fleet:
    """Everything that the exporter is pointed at. `call` runs a coroutine in the thread of the proxy."""

    call: Call[Any]
    hosts: Hosts
    servers: dict[str, Server]
    controls: dict[str, redis.Redis]
    doors: dict[str, tuple[Door, ...]]
    certificates: Certificates
    passwords: dict[str, Password]
    hungry: Hungry
    crowd: int
    called: dict[str, int] = field(default_factory=lambda: dict.fromkeys((each.name for each in MEMBERS), 0))
    user: int = 0
    moves: int = 0
    reloads: int = 0

    def tree(self) -> dict[str, Any]:
        """The exporter's configuration as of now."""
        return {
            "poll": {
                "interval": f"{INTERVAL:g}s",
                "timeout": f"{TIMEOUT:g}s",
                "connect_timeout": f"{CONNECT_TIMEOUT:g}s",
                "keep_waiting": f"{KEEP_WAITING:g}s",
            },
            "clients": {"interval": "4s", "top": 5},
            "targets": [*map(self._target, MEMBERS), *self._crowd()],
        }

    def configure(self, file: Path) -> None:
        """Write the configuration as of now."""
        rewrite(file, yaml.safe_dump(self.tree()))

    def rename_crowd(self) -> None:
        """Give a part of the crowd another name, from the next configuration on."""
        self.reloads += 1

    def rename(self, name: str) -> None:
        """Give a target its other name and another label, from the next configuration on."""
        self.called[name] += 1

    def switch_user(self) -> None:
        """Let one target be another user, from the next configuration on."""
        self.user += 1

    @property
    def switched_user(self) -> str:
        """Who that target is, by the newest configuration."""
        return SWITCHED_USERS[self.user % 2]

    def renew_password(self, user: str) -> None:
        """Change a user's password."""
        (server,) = (server for server, each in ROTATED if each == user)
        self.passwords[user].renew(self.controls[server])

    def renew_certificates(self) -> None:
        """Change the CA and all certificates."""
        self.certificates.renew(self.controls["secure"])

    def move(self) -> Door:
        """Let the name lead to the other server, and return the door that it leads to now."""
        self.moves += 1
        address = _ADDRESSES[self.moves % 2]
        self.hosts.point_to(address)
        return self.doors[MOVING][self.moves % 2]

    def misbehave(self, member: str, fault: Fault | None) -> None:
        """Begin a fault at all doors of a member, or end it."""
        for door in self.doors[member]:
            self.call(door.misbehave(fault))

    @property
    def is_full(self) -> bool:
        """Whether the full server, which must not be stalled, has no slot left."""
        return int(self.controls[FULL].info("clients")["connected_clients"]) >= FULL_LIMIT

    def stall(self) -> None:
        """Stop the full server."""
        self.servers[FULL].process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the full server go on."""
        self.servers[FULL].process.send_signal(signal.SIGCONT)

    def make_room(self) -> None:
        """Let some clients leave the full server until feed() is called."""
        self.call(self.hungry.make_room(_ROOM))

    def feed(self) -> None:
        """Let the clients have every slot of the full server."""
        self.call(self.hungry.eat())

    def calm_down(self) -> None:
        """End every fault, and let all clients of the full server leave."""
        self.resume()
        for member in self.doors:
            self.misbehave(member, None)
        self.call(self.hungry.stop())

    def _crowd(self) -> Iterator[dict[str, Any]]:
        port = self.servers["crowded"].port
        for number in range(self.crowd):
            yield crowd_target(number, self.crowd, self.reloads, port)

    def _target(self, member: Member) -> dict[str, Any]:
        times = self.called[member.name]
        host = MOVING_NAME if member.name == MOVING else "127.0.0.1"
        scheme = "rediss" if member.server == "secure" else "redis"
        port = self.doors[member.name][0].port
        target: dict[str, Any] = {
            "name": member.names[times % len(member.names)],
            "url": f"{scheme}://{host}:{port}",
            "labels": {"generation": str(times)},
        }
        if member.name == SWITCHING:
            target |= {"username": self.switched_user, "password": _SWITCHED_PASSWORD}
        elif member.user:
            target |= {"username": member.user, "password_file": str(self.passwords[member.user].file)}
        if member.server == "secure":
            target["tls"] = self.certificates.settings
        return target


@contextlib.contextmanager
def running_fleet(folder: Path, seed: int, crowd: int) -> Iterator[Fleet]:
    """Run all servers and doors until the block ends; as many more targets are a crowd."""
    certificates = Certificates(folder)
    tls_port = free_port()
    options = {
        "plain-a": (),
        "plain-b": (),
        "locked": (),
        "secure": ("--tls-port", str(tls_port), *certificates.server_options),
        FULL: ("--maxclients", str(FULL_LIMIT)),
        "crowded": ("--bind", "0.0.0.0", "--protected-mode", "no"),
    }
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(running_server(SYSTEM.command, folder, *words))
            for name, words in options.items()
        }
        controls = {name: stack.enter_context(_talking(server)) for name, server in servers.items()}
        passwords = {
            user: Password(user, folder / f"password-of-{user}", random.Random(f"{seed} {user}"))
            for _, user in ROTATED
        }
        for server, user in ROTATED:
            passwords[user].renew(controls[server])
        for user in SWITCHED_USERS:
            set_user(controls["locked"], user, f">{_SWITCHED_PASSWORD}")
        call = stack.enter_context(running_loop())
        ports = {name: server.port for name, server in servers.items()} | {"secure": tls_port}
        doors = {each.name: _opened(call, ports, each) for each in MEMBERS}
        for both in doors.values():
            stack.callback(_shut, call, both)
        hungry = call(Hungry(servers[FULL].port, FULL_LIMIT).start())
        stack.callback(lambda: call(hungry.stop()))
        crowded = call(Crowd(servers["crowded"].port, seed).start())
        stack.callback(lambda: call(crowded.stop()))
        yield Fleet(call, Hosts(folder), servers, controls, doors, certificates, passwords, hungry, crowd)


def _opened(call: Call[Any], ports: dict[str, int], member: Member) -> tuple[Door, ...]:
    """Open the door of a member; two at the same port of two addresses where its name moves."""
    if member.name != MOVING:
        return (call(Door(ports[member.server]).listen()),)
    while True:
        first = call(Door(ports["plain-a"]).listen(_ADDRESSES[0]))
        try:
            return first, call(Door(ports["plain-b"]).listen(_ADDRESSES[1], first.port))
        except OSError:  # somebody else has that port there
            call(first.shut())


def _shut(call: Call[Any], doors: tuple[Door, ...]) -> None:
    for door in doors:
        call(door.shut())


@contextlib.contextmanager
def _talking(server: Server) -> Iterator[redis.Redis]:
    client = redis.Redis(
        port=server.port, protocol=2, single_connection_client=True, driver_info=None, socket_timeout=10
    )
    try:
        client.ping()
        yield client
    finally:
        client.close()
