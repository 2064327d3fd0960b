"""What the tests share: servers, certificates, a way to talk to a server."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import redis
import trustme

from exporter.demo.servers import Server, running_server
from tests.image import Image, built_image
from tests.servers.fetch import MissingError
from tests.servers.kinds import MATRIX, SYSTEM, ServerKind

hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# A bug in what runs for one target costs that one only. Here it fails the test, also in a daemon of its own.
os.environ["REDIS_CONNECTION_EXPORTER_BUGS"] = "raise"

CI = os.environ.get("CI") == "true"


def need(condition: object, reason: str) -> None:
    """Skip a test by name where something is not to be had; with CI=true that is a failure."""
    if not condition:
        if CI:
            pytest.fail(f"missing with CI=true: {reason}")
        pytest.skip(reason)


def need_program(name: str) -> str:
    found = shutil.which(name)
    need(found, f"{name} is not installed")
    return str(found)


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start servers of any kind: start_server("--maxclients", "40", kind=SYSTEM)."""
    with contextlib.ExitStack() as stack:

        def start(*options: str, kind: ServerKind = SYSTEM, port: int | None = None) -> Server:
            need(kind.present, f"{kind.name} is not there: `make test` fetches it, or says why it cannot")
            return stack.enter_context(
                running_server(kind.command, tmp_path, *kind.options, *options, port=port)
            )

        yield start


@pytest.fixture(params=MATRIX, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> ServerKind:
    """Every kind of server in turn."""
    chosen: ServerKind = request.param
    return chosen


@pytest.fixture(params=[kind for kind in MATRIX if kind.tls], ids=lambda kind: kind.name)
def tls_kind(request: pytest.FixtureRequest) -> ServerKind:
    """Every kind of server that was built with TLS."""
    chosen: ServerKind = request.param
    return chosen


@pytest.fixture
def talk() -> Iterator[Callable[[Server], redis.Redis]]:
    """Open a held connection to a server, for commands of the test's own."""
    with contextlib.ExitStack() as stack:

        def open_client(server: Server, password: str | None = None) -> redis.Redis:
            client = redis.Redis(
                port=server.port,
                password=password,
                protocol=2,
                single_connection_client=True,
                driver_info=None,
            )
            stack.callback(client.close)
            client.ping()
            return client

        yield open_client


@dataclass(frozen=True)
class Certificates:
    """A CA with a server and a client certificate, and a CA that signed neither."""

    ca: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path
    other_ca: Path

    def server_options(self, port: int, *, clients: str = "no") -> tuple[str, ...]:
        files = ("--tls-cert-file", str(self.cert), "--tls-key-file", str(self.key))
        return (
            *files,
            "--tls-ca-cert-file",
            str(self.ca),
            "--tls-port",
            str(port),
            "--tls-auth-clients",
            clients,
        )


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = trustme.CA(), trustme.CA()
    made = Certificates(*(folder / f"{name}.pem" for name in ("ca", "cert", "key", "ccert", "ckey", "other")))
    server, client = authority.issue_cert("localhost", "127.0.0.1"), authority.issue_cert("exporter")
    authority.cert_pem.write_to_path(made.ca)
    other.cert_pem.write_to_path(made.other_ca)
    server.cert_chain_pems[0].write_to_path(made.cert)
    server.private_key_pem.write_to_path(made.key)
    client.cert_chain_pems[0].write_to_path(made.client_cert)
    client.private_key_pem.write_to_path(made.client_key)
    return made


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image, built once for all tests that want it."""
    need(os.geteuid() == 0, "building and running an image needs root")
    for program in ("buildah", "runc", "debootstrap", "unshare"):
        need_program(program)
    try:
        with built_image() as built:
            yield built
    except MissingError as error:
        need(None, str(error))
