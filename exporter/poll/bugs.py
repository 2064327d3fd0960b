"""What a bug costs: one target for a while. Only a bug in what runs for no target ends the process."""

import os
import traceback
from collections.abc import Iterable
from pathlib import Path

from exporter.limits import LOG_TEXT_CHARACTERS

# Set to `raise` by the tests, which a bug has to fail.
_VARIABLE = "REDIS_CONNECTION_EXPORTER_BUGS"
_HIDDEN = "**********"


def are_raised() -> bool:
    """Whether a bug in what runs for a target ends the process all the same."""
    return os.environ.get(_VARIABLE) == "raise"


def explain_bug(error: BaseException) -> str:
    """Say what it is and where, and nothing of its text: that may hold a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"a bug of the exporter: {type(error).__name__}{place}"


def traceback_of(error: BaseException, secrets: Iterable[str]) -> str:
    """The whole traceback, its end where it is too long, without these secrets."""
    text = "".join(traceback.format_exception(error)).strip()
    for secret in filter(None, secrets):
        text = text.replace(secret, _HIDDEN)
    return text[-LOG_TEXT_CHARACTERS:]
