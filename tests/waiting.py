"""Wait for a condition with a deadline, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T | None], within: float = 15.0) -> T:
    """Return the first truthy answer of a check; fail with the last one when the time is over."""
    deadline = time.monotonic() + within
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {within} s; last seen: {answer!r}"
        time.sleep(0.05)
    return answer
