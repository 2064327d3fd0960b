"""A short share of `make fuzz`: mutated replies, in process and over sockets."""

import os

import pytest

from exporter.poll.listing.counting import Counting
from tests.fuzz import inside, sockets

_MOST_BYTES = 60_000_000


def test_mutated_replies_raise_nothing_take_no_time_and_leave_nothing_behind() -> None:
    fuzz = inside.run(int.from_bytes(os.urandom(4)), 2_000, _MOST_BYTES)
    assert fuzz.read == 2_000


def test_polls_of_a_server_that_sends_mutated_replies_end_as_readings_or_outages() -> None:
    answered = sockets.run(int.from_bytes(os.urandom(4)), 400, _MOST_BYTES)
    assert answered.readings > 40
    assert answered.lists > 5
    assert answered.longest < 10


def test_a_fuzz_finds_what_raises_and_names_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(Counting, "take", fails)
    with pytest.raises(inside.Surprise, match=r"^seed 5, reply [0-9]+: ValueError\('odd'\)$"):
        inside.run(5, 100, _MOST_BYTES)
