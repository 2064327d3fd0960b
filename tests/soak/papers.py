"""Certificates and passwords in files that are rewritten while they are in use, always whole."""

import os
import random
from pathlib import Path

import redis
import trustme

RIGHTS = (
    "-@all",
    "+info",
    "+client|list",
    "+client|id",
    "+client|setname",
    "+client|no-evict",
)


def rewrite(file: Path, content: str | bytes) -> None:
    """Replace a file in one step, so that nobody reads half of it."""
    whole = file.with_name(f"{file.name}.new")
    whole.write_bytes(content.encode() if isinstance(content, str) else content)
    whole.replace(file)


class Certificates:
    """A CA, a server's and a client's certificate: `renew` replaces all three, and the old CA stays trusted.

    Certificate and key of one side lie in one file: two could be read one old and one new.
    """

    def __init__(self, folder: Path) -> None:
        self.ca, self.server, self.client = (folder / f"{name}.pem" for name in ("ca", "server", "client"))
        self._trusted = b""
        self.renewed = -1
        self.renew(None)

    @property
    def server_options(self) -> tuple[str, ...]:
        """Options of a server, but for its port."""
        files = (("cert", self.server), ("key", self.server), ("ca-cert", self.ca))
        options = [(f"--tls-{name}-file", str(file)) for name, file in files]
        return (*(word for option in options for word in option), "--tls-auth-clients", "yes")

    @property
    def settings(self) -> dict[str, str]:
        """The section `tls` of a target."""
        client = str(self.client)
        return {"ca_file": str(self.ca), "cert_file": client, "key_file": client}

    def renew(self, server: redis.Redis | None) -> None:
        """Write a new CA and new certificates, and have the server load them."""
        authority = trustme.CA()
        ca = authority.cert_pem.bytes()
        rewrite(self.ca, ca + self._trusted)
        self._trusted = ca
        if server is not None:
            server.config_set("tls-ca-cert-file", str(self.ca))
        rewrite(self.client, authority.issue_cert("exporter").private_key_and_cert_chain_pem.bytes())
        names = ("localhost", "127.0.0.1")
        rewrite(self.server, authority.issue_cert(*names).private_key_and_cert_chain_pem.bytes())
        if server is not None:
            server.config_set("tls-cert-file", str(self.server))
        self.renewed += 1


class Password:
    """One ACL user's password in a file: `renew` sets another one, and the one before it goes on to work."""

    def __init__(self, user: str, file: Path, chance: random.Random) -> None:
        self.user, self.file = user, file
        self._chance = chance
        self._former = ""
        self._now = ""
        self.renewed = -1

    def renew(self, server: redis.Redis) -> None:
        """Let the server accept a new password too, then write it into the file."""
        outdated, self._former = self._former, self._now
        self._now = f"{self._chance.getrandbits(64):016x}"
        gone = [f"<{outdated}"] if outdated else []
        set_user(server, self.user, f">{self._now}", *gone)
        rewrite(self.file, f"{self._now}{os.linesep}")
        self.renewed += 1


def set_user(server: redis.Redis, user: str, *rules: str) -> None:
    """Create or change a user with the rights that the exporter wants."""
    server.execute_command("ACL", "SETUSER", user, "on", *rules, *RIGHTS)  # type: ignore[no-untyped-call]
