"""`python -m tests.soak SECONDS [SEED]`: print a report, and end with 1 when something did not hold."""

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.members import CROWD_OF_A_SOAK
from tests.soak.run import soak

_LEAST_SECONDS = 60  # a warm-up, two stalls, a fault or two for each target


def main(seconds: float, seed: int) -> int:
    if seconds < _LEAST_SECONDS:
        print(f"too short: write {_LEAST_SECONDS} or more seconds", file=sys.stderr)
        return 2
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        print("the soak needs root and unshare, for an /etc/hosts of its own", file=sys.stderr)
        return 2
    print(f"soaking for {seconds:g} s, SOAK_SEED={seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    report = soak(folder, seed, seconds, CROWD_OF_A_SOAK)
    print("\n".join(report.lines()))
    if report.failures:
        print(f"the logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    given = sys.argv[2] if sys.argv[2:] else secrets.randbelow(2**32)
    sys.exit(main(float(sys.argv[1]), int(given)))
