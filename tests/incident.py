"""A server in trouble for the commands of docs/runbooks: one app leaks, and nobody else may be cut."""

import contextlib
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis

from exporter.demo.servers import Server, running_server
from tests.servers.kinds import ServerKind
from tests.waiting import eventually

_LIMIT = 100
_PAUSE = 0.1
_OURS = ("admin", "redis-connection-exporter")


@dataclass(frozen=True)
class Role:
    """Clients that all do the same; busy ones ask for something again and again."""

    count: int
    host: str
    says: tuple[str, ...]
    busy: bool = False


LEAK = Role(46, "127.0.0.7", ("CLIENT SETNAME orders-7c9f8d6b5-x2x9k",))
# The exporter's page, and so the runbooks, show these: the leak is one pod's more than the other's.
_ROLES = (
    LEAK,
    Role(14, "127.0.0.7", ("CLIENT SETNAME orders-7c9f8d6b5-q8w4t",)),
    Role(12, "127.0.0.8", ("CLIENT SETNAME checkout-1", "GET cart"), busy=True),
    Role(4, "127.0.0.9", ("CLIENT SETNAME worker-1", "BLPOP jobs 0")),
    Role(2, "127.0.0.9", ("CLIENT SETNAME worker-2", "BLPOP jobs 3600")),
    Role(1, "127.0.0.8", ("CLIENT SETNAME notifier", "SUBSCRIBE news")),
    Role(1, "127.0.0.1", ("CLIENT SETNAME debugging", "MONITOR")),
    Role(3, "127.0.0.6", ("AUTH reports secret",)),  # Redis 5 has no users, and refuses
)
_CLIENTS = sum(role.count for role in _ROLES)


class Incident:
    """One server of a kind with its clients and a replica."""

    def __init__(self, kind: ServerKind, server: Server) -> None:
        self.kind = kind
        self.server = server
        self.port = server.port
        self.held = redis.Redis(
            port=self.port,
            protocol=2,
            single_connection_client=True,
            driver_info=None,
            decode_responses=True,
            client_name=_OURS[0],
        )
        self._open: dict[socket.socket, Role] = {}
        self._extra: list[socket.socket] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep_busy)

    def __enter__(self) -> Self:
        self.refresh()
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._keeper.is_alive():
            self._keeper.join()
        self._drop_extra()
        for member in self._open:
            member.close()
        self.held.close()

    @property
    def version(self) -> tuple[str, tuple[int, ...]]:
        """The family and the version of the server."""
        info = self.held.info("server")
        family = "valkey" if "valkey_version" in info else "redis"
        return family, tuple(map(int, info[f"{family}_version"].split(".")))

    def refresh(self) -> None:
        """Bring back everybody who was cut, and undo what commands have set."""
        self._drop_extra()
        with contextlib.suppress(redis.ResponseError):
            self.held.script_kill()
        eventually(self._answers)
        for name, value in {"maxclients": _LIMIT, "timeout": 0, "lua-time-limit": 50}.items():
            self.held.config_set(name, value)
        if self.held.info("server")["redis_version"] >= "6":
            self.held.acl_setuser(
                "reports", enabled=True, reset=True, passwords="+secret", categories=["+@all"]
            )
            self._ask("ACL SETUSER", "exporter", "reset", "on", ">secret", "-@all", "+info")
        eventually(self._is_whole, 20)

    def _is_whole(self) -> bool:
        """Connect whoever is missing, and say whether the server sees all: with the replica, without us."""
        with self._lock:
            self._forget_closed()
            have = Counter(self._open.values())
            for role in _ROLES:
                for _ in range(role.count - have[role]):
                    member = self._connect(role)
                    member.setblocking(False)
                    self._open[member] = role
        return len(self.rows()) == _CLIENTS + 1

    def rows(self) -> list[dict[str, str]]:
        """Return CLIENT LIST without the test's own connections and the exporter's."""
        rows = [dict(word.partition("=")[::2] for word in line.split(" ")) for line in self._list()]
        return [row for row in rows if row["name"] not in _OURS]

    def names(self) -> Counter[str]:
        """How many connections have which name."""
        return Counter(row["name"] for row in self.rows())

    def wait_until_idle(self, seconds: int) -> None:
        """Wait until the leaked connections have been idle for so long."""

        def idle() -> bool:
            idle = [row["idle"] for row in self.rows() if row["name"].startswith("orders")]
            return sum(int(each) >= seconds for each in idle) >= self.leaked()

        eventually(idle, seconds + 15)

    def leaked(self) -> int:
        """How many connections the leaking app still has."""
        with self._lock:
            return sum(role.says[0].startswith("CLIENT SETNAME orders") for role in self._open.values())

    def fill(self) -> None:
        """Connect until the server refuses the next one."""
        with contextlib.suppress(OSError):
            while self._extra_client(LEAK).recv(64).startswith(b"+OK"):
                pass

    def give_back(self, slots: int) -> None:
        """Close so many of those connections that filled the server."""
        for _ in range(slots):
            self._extra.pop(0).close()

    def hang(self) -> None:
        """Let a script run that does not end."""
        self._extra_client(Role(1, "127.0.0.8", ('EVAL "while true do end" 0',)))
        eventually(lambda: not self._answers())

    def _answers(self) -> bool:
        try:
            return bool(self.held.ping())
        except redis.ResponseError:
            return False

    def _list(self) -> list[str]:
        return str(self._ask("CLIENT", "LIST")).splitlines()

    def _ask(self, *words: str) -> object:
        answer: object = self.held.execute_command(*words)  # type: ignore[no-untyped-call]
        return answer

    def _connect(self, role: Role) -> socket.socket:
        member = socket.create_connection(("127.0.0.1", self.port), timeout=5, source_address=(role.host, 0))
        with contextlib.suppress(OSError):  # a refused one is closed already
            member.sendall("".join(f"{line}\r\n" for line in role.says).encode())
        return member

    def _extra_client(self, role: Role) -> socket.socket:
        self._extra.append(self._connect(role))
        return self._extra[-1]

    def _drop_extra(self) -> None:
        while self._extra:
            self._extra.pop().close()

    def _keep_busy(self) -> None:
        while not self._over.wait(_PAUSE):
            with self._lock:
                self._forget_closed()
                for member, role in self._open.items():
                    if role.busy:
                        with contextlib.suppress(OSError):
                            member.sendall(b"GET cart\r\n")

    def _forget_closed(self) -> None:
        for member in [each for each in self._open if _is_closed(each)]:
            del self._open[member]
            member.close()


def _is_closed(member: socket.socket) -> bool:
    """Read what has come, and say whether that was the end."""
    try:
        while read := member.recv(1 << 16):
            if len(read) < 1 << 16:
                return False
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def incident(kind: ServerKind, folder: Path) -> Iterator[Incident]:
    """Start a server of a kind, its replica and its clients."""
    # As on a host where the server may not raise its limit of open files: room for 1000 clients.
    bound: tuple[str, ...] = ("prlimit", "--nofile=1032:1032")
    bound += ("setpriv", "--bounding-set", "-sys_resource") if os.geteuid() == 0 else ()
    config = folder / "redis.conf"
    config.write_text("protected-mode no\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n")
    with (
        running_server((*bound, *kind.command, config), folder, "--maxclients", str(_LIMIT)) as server,
        running_server(kind.command, folder, "--replicaof", "127.0.0.1", str(server.port)),
        Incident(kind, server) as made,
    ):
        yield made
