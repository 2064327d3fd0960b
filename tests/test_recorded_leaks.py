"""The product beside the truth: labelled lists of real clients (tests/leaks), judged as they came."""

from functools import cache
from pathlib import Path

import pytest

from exporter.verdicts import Verdict
from tests.leaks.replay import Told, replay, sequences

DATA = Path(__file__).parent / "leaks" / "data"
STALE_AFTER = (20.0, 60.0)
# While clients are made one by one, and hardly used, they look like a leak of one command each.
_LOOKS_LIKE_A_LEAK = "-lazy"


@cache
def told_of(kind: str, stale_after: float) -> dict[str, Told]:
    """What is said of each app of Redis 7.0 (`R`) or Valkey 9.1 (`V`), under sequence and name."""
    return {
        f"{name} {app}": told
        for name in sequences(DATA)
        if name.startswith(f"{kind}-")
        for app, told in replay(DATA, name, stale_after).items()
    }


@pytest.mark.parametrize("stale_after", STALE_AFTER)
@pytest.mark.parametrize("kind", ["R", "V"])
def test_who_leaked_is_found_and_nobody_else(kind: str, stale_after: float) -> None:
    told = told_of(kind, stale_after).values()
    found, wrong, missed = (
        sum(getattr(each, name) for each in told) for name in ("found", "wrong", "missed")
    )
    assert found > 600
    assert found / (found + wrong) >= 0.98
    assert found / (found + missed) >= 0.90


@pytest.mark.parametrize("stale_after", STALE_AFTER)
@pytest.mark.parametrize("kind", ["R", "V"])
def test_no_healthy_app_is_called_leaking_in_any_list(kind: str, stale_after: float) -> None:
    called = {
        app
        for app, told in told_of(kind, stale_after).items()
        if told.leaked_at is None and told.verdicts[Verdict.LEAKING] and not app.endswith(_LOOKS_LIKE_A_LEAK)
    }
    assert not called


@pytest.mark.parametrize("stale_after", STALE_AFTER)
@pytest.mark.parametrize("kind", ["R", "V"])
@pytest.mark.parametrize("behaviour", ["-pinged", "-timeout", "-multi", "-restart", "-leak", "-quick"])
def test_leaks_that_hide_are_found(kind: str, behaviour: str, stale_after: float) -> None:
    leaks = {
        app: told
        for app, told in told_of(kind, stale_after).items()
        if app.endswith(behaviour) and told.leaked_at is not None
    }
    assert leaks
    assert all(told.leaking is not None for told in leaks.values())


@pytest.mark.parametrize("kind", ["R", "V"])
def test_the_first_word_of_a_leak_of_one_a_second_comes_within_a_minute(kind: str) -> None:
    (leak,) = (told for app, told in told_of(kind, 60.0).items() if app.endswith("-leak-quick"))
    assert leak.leaked_at is not None
    assert leak.first_word is not None
    assert leak.first_word - leak.leaked_at <= 60
