"""The image is built from the unmodified Dockerfile, and runs where hardly anything is allowed."""

import re
import stat
import subprocess
from pathlib import Path

import yaml

from tests.conftest import StartServer
from tests.daemon import ROOT, quick, target
from tests.image import Image, running_container

# What the image adds to its base; docs/deploy.md says so.
_MOST_BYTES = 55_000_000
_CHECK_CONFIG = "from exporter.cli import main; main(['check-config', '--connect', '/etc/exporter.yaml'])"

_MODULES_WITHOUT_BYTECODE = """
import os, sys
import exporter.app, exporter.settings.arguments, http.client
import exporter.commands.check_config, exporter.commands.trials, exporter.commands.trial_table
print([name for name, module in sys.modules.items()
       if getattr(module, "__cached__", None) and not os.path.exists(module.__cached__)])
"""


def test_it_says_what_docker_and_kubernetes_want_to_know(image: Image) -> None:
    config = image.config
    assert config["User"] == "65532:65532"  # a number: Kubernetes cannot tell whether a name is root
    assert config["Entrypoint"] == ["redis-connection-exporter"]
    assert not config.get("Cmd")
    assert config["ExposedPorts"] == {"10051/tcp": {}}
    assert config["Healthcheck"]["Test"] == ["CMD", "redis-connection-exporter", "healthcheck"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels["title"] == "redis-connection-exporter"
    assert labels["licenses"] == "Apache-2.0"
    assert (labels["version"], labels["revision"]) == ("1.2.3", "0123abc")


def test_make_builds_it_under_the_name_that_compose_and_the_documents_run() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "image"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    tags = re.findall(r"--tag (\S+)", done.stdout)
    (run,) = re.findall(r"(?s)\$ docker run .*? (\S+)\n```", (ROOT / "docs/deploy.md").read_text())
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert {run, compose["services"]["exporter"]["image"]} <= set(tags)


def test_it_holds_the_program_and_nothing_that_built_it(image: Image) -> None:
    added = [path for path in (image.files / "app").rglob("*") if not path.is_symlink()]
    assert sum(path.stat().st_size for path in added if path.is_file()) < _MOST_BYTES
    names = {path.name for path in added}
    assert not names & {"pip", "hatchling", "tests", "source", "pip.conf"}
    assert not (image.files / "tools").exists()
    assert not (image.files / "source").exists()
    assert all(path.stat().st_uid == 0 for path in added), "the program could be changed by its own user"
    assert not any(path.stat().st_mode & (stat.S_IWOTH | stat.S_ISUID) for path in added)


def test_it_watches_a_server_from_a_read_only_root_without_capabilities_and_without_a_shell(
    image: Image, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server("--requirepass", "a secret")
    (tmp_path / "password").write_text("a secret\n")
    shells = {f"/usr/bin/{name}": Path("/dev/null") for name in ("bash", "dash")}
    tree = quick(target("orders", f"redis://127.0.0.1:{server.port}", password_file="/run/password"))
    (tmp_path / "exporter.yaml").write_text(yaml.safe_dump(tree))
    files = {"/etc/exporter.yaml": tmp_path / "exporter.yaml", "/run/password": tmp_path / "password"}
    with running_container(
        image, tmp_path, "--config.file=/etc/exporter.yaml", mounts=files | shells
    ) as container:
        scrape = container.wait_for({"orders": "ok"})
        assert scrape.get("redis_up", "orders") == 1
        assert container.health() == 0
        status = container.runc(
            "exec", "/app/bin/python", "-c", "print(open('/proc/1/status').read())"
        ).stdout
        for line in (
            "Uid:\t65532",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
        ):
            assert line in status
        writing = container.runc("exec", "/app/bin/python", "-c", "open('/app/x', 'w')")
        assert "Read-only file system" in writing.stderr
        checked = container.runc("exec", "/app/bin/python", "-c", _CHECK_CONFIG)
        assert "orders" in checked.stdout, checked.stderr
        uncompiled = container.runc("exec", "/app/bin/python", "-c", _MODULES_WITHOUT_BYTECODE)
        assert uncompiled.stdout.strip() == "[]", uncompiled.stderr
        assert container.stop() == 0
        assert "msg=stopped" in container.output()
        assert "Traceback" not in container.output()


def test_its_health_check_fails_when_the_exporter_does_not_answer(
    image: Image, start_server: StartServer, tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{start_server().port}"
    with running_container(image, tmp_path, url, mounts={}) as container:
        assert container.health() == 0
        container.runc("kill", "STOP")
        assert container.health() == 1
