"""What a connection is made of and may change under it: settings, secrets, certificates, addresses."""

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.connection.opening import Credentials, Opened, read_credentials
from exporter.connection.recurring import Recurring
from exporter.connection.resolver import Resolver
from exporter.model import Access

_SECRET_SECONDS = 10.0  # how often a password_file is read; other files until they could be read once
_NAME_SECONDS = 60.0  # how often a name is resolved
_AGAIN_SECONDS = 60.0  # after an attempt that failed
_ANSWERS = 3  # of the name, that are remembered


@dataclass(frozen=True, slots=True)
class Authenticate:
    """The held connection is to be told these credentials."""

    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Replace:
    """Another connection is needed, because of something that is named for people."""

    because: str


Need = Authenticate | Replace


class Outside:
    """Compares what a connection was made of with what there is now. Never waits: it is asked again."""

    def __init__(self, access: Access, now: float) -> None:
        self.access = access
        self.resolver = Resolver(access.url.host)
        self._answers: tuple[frozenset[str], ...] = ()
        self._begin(now + _SECRET_SECONDS, now + _NAME_SECONDS)

    def _begin(self, files_due: float, names_due: float) -> None:
        access, resolver = self.access, self.resolver
        self._file_reader = Recurring(lambda: read_credentials(access), _SECRET_SECONDS, files_due)
        self._name_reader = Recurring(resolver.addresses, _NAME_SECONDS, names_due)
        self._files: Credentials | None = None
        self._compare_ages = False
        self._moved = False
        self._asked = False
        self._again = 0.0

    def change(self, access: Access, now: float) -> None:
        """Take other settings, or the same again: everything is looked at anew, and at once."""
        self.close()
        if access.url.host != self.access.url.host:
            self.resolver.close()
            self.resolver, self._answers = Resolver(access.url.host), ()
        self.access = access
        self._begin(now, now)
        self._compare_ages = self._asked = True

    @property
    def addresses(self) -> int:
        """How many addresses the name had in the newest answer; 0 when it was not asked yet."""
        return len(self._answers[-1]) if self._answers else 0

    @property
    def secret(self) -> str | None:
        """The newest secret that was read."""
        return self._files.secret if self._files is not None else None

    def opened(self, addresses: Sequence[str]) -> None:
        """Note what the name was resolved to for a connection that is used from now on."""
        self._answers, self._moved = (frozenset(addresses),), False
        self._again = 0.0

    def may_try(self, now: float) -> bool:
        """Whether the last attempt did not fail just now."""
        return now >= self._again

    def failed(self, now: float) -> None:
        """Let a minute pass (monotonic) before the same is needed again."""
        self._again = now + _AGAIN_SECONDS

    def look(self, opened: Opened, address: str, now: float) -> Need | None:
        """What a connection that leads to an address needs at a moment (monotonic)."""
        if self.access.password_file is not None or self._files is None:
            files = self._file_reader.news(now)
            if files is not None:
                if self._files is not None and files.secret != self._files.secret:
                    self._again = 0.0
                self._files = files
        if self.resolver.looks_up and (names := self._name_reader.news(now)) is not None:
            self._answers = (*self._answers[1 - _ANSWERS :], frozenset(names))
            self._moved = moved(address, self._answers, at_once=self._asked)
            self._asked = False
        return self._need(opened) if self.may_try(now) else None

    def _need(self, opened: Opened) -> Need | None:
        if opened.access.tls != self.access.tls:
            return Replace("TLS settings")
        if self._moved:
            return Replace("address")
        files = self._files
        if files is None:
            return None
        if self._compare_ages and files.ages != opened.credentials.ages:
            return Replace("certificate files")
        if files.secret == opened.credentials.secret and _who(opened.access) == _who(self.access):
            return None
        return Authenticate(files) if files.secret is not None else Replace("credentials")

    def end(self) -> None:
        """Give up everything for good."""
        self.close()
        self.resolver.close()

    def close(self) -> None:
        """Give up what is being read."""
        self._file_reader.close()
        self._name_reader.close()


def _who(access: Access) -> tuple[object, ...]:
    return access.username, access.password, access.password_file


def moved(in_use: str, answers: Sequence[frozenset[str]], *, at_once: bool = False) -> bool:
    """Whether the address in use is gone from the newest answer for good.

    Answers come oldest first. An answer of addresses that were never seen is a failover and counts at once.
    Where they were seen before, they may just take turns, so the address must be gone from three in a row.
    """
    newest = answers[-1]
    if not in_use or not newest or in_use in newest:
        return False
    seen_before = frozenset[str]().union(*answers[:-1])
    gone_for_long = len(answers) >= _ANSWERS and all(in_use not in answer for answer in answers)
    return at_once or gone_for_long or not newest & seen_before
