"""Hostile CLIENT LIST replies, for which the fast reader and the slow, obvious one must agree."""

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

EXAMPLES = 500
_PROPERTIES: tuple[Callable[[], None], ...] = (
    test_damaged_captures_read_as_the_slow_reader_reads_them,
    test_hostile_replies_read_as_the_slow_reader_reads_them,
    test_sockets_with_spaces_read_as_the_slow_reader_reads_them,
    test_whatever_names_and_users_clients_have_every_row_is_read,
    test_any_list_counts_as_the_slow_reader_counts_it,
)


def run(seconds: float) -> int:
    """Look for a reply on which they differ, and say how many rounds of EXAMPLES were tried."""
    more = hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None)
    properties = [more(each) for each in _PROPERTIES]
    until, done = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        properties[done % len(properties)]()
        done += 1
    return done
