"""Two minutes of `make soak`; its parts are tested in test_soak_parts.py and test_soak_proxy.py."""

import os
import secrets
import shutil
from pathlib import Path

from tests.conftest import need
from tests.soak.members import CROWD_OF_THE_SUITE
from tests.soak.run import soak

SECONDS = float(os.environ.get("SOAK_SECONDS") or 120)


def test_it_lives_keeps_its_slot_and_holds_up_nobody_whatever_the_network_does(tmp_path: Path) -> None:
    need(os.geteuid() == 0 and shutil.which("unshare"), "a private /etc/hosts needs root and unshare")
    seed = int(os.environ.get("SOAK_SEED") or secrets.randbelow(2**32))
    print(f"SOAK_SEED={seed}", flush=True)
    report = soak(tmp_path, seed, SECONDS, CROWD_OF_THE_SUITE)
    text = "\n".join(report.lines())
    print(text)
    assert not report.failures, text
