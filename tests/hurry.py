"""Make the shipped rules and configurations faster, to see in seconds what takes hours.

    python -m tests.hurry 60 FOLDER alerts/*.yml config/prometheus.yml config/alertmanager.*

writes each file into the folder with every duration divided by 60: intervals, `for`, `keep_firing_for`, waits
and the ranges and offsets inside queries. Nothing else is changed, thresholds and names least of all.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

_UNIT_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = r"(\d+)(ms|s|m|h|d)"
_SETTING = re.compile(rf"(?m)^(\s*(?:- )?\w+: ){_DURATION}$")
_RANGE = re.compile(rf"(\[|\boffset ){_DURATION}\b")


def hurry(text: str, factor: int) -> str:
    """Divide every duration that is a setting, or a range or an offset of a query."""

    def divided(match: re.Match[str]) -> str:
        before, count, unit = match.groups()
        return f"{before}{max(1, int(count) * _UNIT_MILLISECONDS[unit] // factor)}ms"

    return _RANGE.sub(divided, _SETTING.sub(divided, text))


def write(factor: int, folder: Path, files: Iterable[Path]) -> None:
    """Write faster copies of some files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file.name).write_text(hurry(file.read_text(), factor))


if __name__ == "__main__":
    write(int(sys.argv[1]), Path(sys.argv[2]), map(Path, sys.argv[3:]))
