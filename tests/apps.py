"""Applications with connections of a name, that use them or forget them."""

import contextlib
import threading
from collections.abc import Iterator

from tests.crowd import Crowd


class App(Crowd):
    """An application: its connections carry its name."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(port)
        self.name = name
        self._using = threading.Lock()

    def open(self, count: int) -> None:
        """Open connections under the app's name, and use them no more."""
        with self._using:
            self.join(count)
            self.say(f"CLIENT SETNAME {self.name}", since=len(self.members) - count)

    def say(self, command: str, since: int = 0, *, answered: bool = True) -> None:
        """Send a command on the connections from the one of that index on."""
        for member in self.members[since:]:
            member.sendall(f"{command}\r\n".encode())
            if answered:
                assert member.recv(64), f"{self.name} was cut off"

    def use(self) -> None:
        with self._using:
            self.say("PING")

    def close(self) -> None:
        with self._using:
            self.leave(len(self.members))


@contextlib.contextmanager
def busy(*apps: App, pause: float = 0.3) -> Iterator[None]:
    """Use all connections of some apps again and again until the block ends."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(pause):
            for app in apps:
                app.use()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
