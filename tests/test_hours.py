"""What hours of watching leave behind."""

from pathlib import Path

import pytest

from tests.hours import pass_hours_alone

_KB = 1000


@pytest.mark.parametrize(("apps", "most"), [(20, 150 * _KB), (0, 75 * _KB)])
def test_a_target_costs_no_more_than_this_after_six_hours(apps: int, most: int, tmp_path: Path) -> None:
    after = pass_hours_alone(tmp_path, 6, apps=apps)
    assert (after.failures, after.named) == (0, apps)
    assert after.polls > 350
    assert after.delay < 0.01  # also where a shorter interval makes polls due that were not
    assert after.memory < most, f"{after.memory / _KB:.0f} KB"
