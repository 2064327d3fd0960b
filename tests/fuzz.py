"""`python -m tests.fuzz SECONDS`: hostile CLIENT LIST replies against the slow reader, for a bounded time."""

import sys
import time
from collections.abc import Callable

import hypothesis

from tests.test_client_list import (
    test_damaged_captures_read_as_the_slow_reader_reads_them,
    test_hostile_replies_read_as_the_slow_reader_reads_them,
    test_sockets_with_spaces_read_as_the_slow_reader_reads_them,
    test_whatever_names_and_users_clients_have_every_row_is_read,
)
from tests.test_groups import test_any_list_counts_as_the_slow_reader_counts_it

_EXAMPLES = 500
_PROPERTIES: tuple[Callable[[], None], ...] = (
    test_damaged_captures_read_as_the_slow_reader_reads_them,
    test_hostile_replies_read_as_the_slow_reader_reads_them,
    test_sockets_with_spaces_read_as_the_slow_reader_reads_them,
    test_whatever_names_and_users_clients_have_every_row_is_read,
    test_any_list_counts_as_the_slow_reader_counts_it,
)


def main(seconds: float) -> None:
    more = hypothesis.settings(max_examples=_EXAMPLES, deadline=None, database=None)
    properties = [more(each) for each in _PROPERTIES]
    until, done = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        properties[done % len(properties)]()
        done += 1
    print(f"{done} rounds of {_EXAMPLES} replies: the fast reader and the slow one agree on every one")


if __name__ == "__main__":
    main(float(sys.argv[1]))
