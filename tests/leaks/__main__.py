"""`make leaks`: what the product says of labelled sequences of CLIENT LIST, and how right it is.

python -m tests.leaks FOLDER [STALE_AFTER ...]
"""

import sys
from collections import Counter
from pathlib import Path

from tests.leaks.replay import Told, replay, sequences

_DEFAULTS = ("20", "60", "300")
_HEAD = f"{'sequence':18}{'app':27}found wrong missed  worst   leaks from  first word  leaking  alert"


def main(folder: Path, stale_after: float) -> None:
    """Print what is said of each app that leaks or is suspected, and the sums of each set."""
    print(f"stale_after {stale_after:g} s; moments in seconds after the first list\n{_HEAD}")
    sums: dict[str, Counter[str]] = {}
    for name in sequences(folder):
        for app, told in sorted(replay(folder, name, stale_after).items()):
            of_set = sums.setdefault(name.partition("-")[0], Counter())
            of_set.update(found=told.found, wrong=told.wrong, missed=told.missed)
            if told.leaked_at is not None or told.worst or told.leaking is not None:
                print(_line(name, app, told))
    for name, of_set in sums.items():
        found, wrong, missed = (of_set[key] for key in ("found", "wrong", "missed"))
        precision, recall = found / max(1, found + wrong), found / max(1, found + missed)
        print(f"set {name}: precision {precision:.3f}, recall {recall:.3f}")


def _line(name: str, app: str, told: Told) -> str:
    moments = (told.leaked_at, told.first_word, told.leaking, told.alert)
    times = ("-" if moment is None else f"{moment:.0f}" for moment in moments)
    counts = f"{told.found:5} {told.wrong:5} {told.missed:6} {told.worst:6}"
    return f"{name:18}{app[:27]:27}{counts}   {'':2}{'{:>8}{:>12}{:>9}{:>7}'.format(*times)}"


if __name__ == "__main__":
    for seconds in map(float, sys.argv[2:] or _DEFAULTS):
        main(Path(sys.argv[1]), seconds)
