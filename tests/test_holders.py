"""The cell of the status page that says who holds a server's connections."""

from exporter.analyse.groups import Tally
from exporter.analyse.names import AppNames
from exporter.model import AppRules, ListCost, Reading, ServerInfo, Slots, Survey
from exporter.verdicts import AppTrend
from exporter.web.pages.holders import render_holders
from tests.blocks import read_rows

_ROW = b"id=%d addr=10.0.0.1:5 fd=8 name=%b age=900 idle=%d flags=%b db=0 events=r cmd=get user=default\n"


_CHEAP = ListCost(0.00123, 0.0004, 1, 1.0)


def cell(rows: bytes, cost: ListCost = _CHEAP, suspected: int = 0) -> str:
    tally = Tally(AppNames(AppRules()), 300.0)
    tally.add(*read_rows(rows))
    groups = tally.groups()
    trends = {name: AppTrend(0, 0, suspected, 0, 0, {}, {}) for name in groups.apps}
    survey = Survey(100.0, groups, trends, 0, {}, cost)
    return render_holders(Reading(0.0, 0.0, ServerInfo({}, {}), Slots(1, 2), frozenset(), survey), 103.4)


def test_the_biggest_apps_come_first_with_what_they_do() -> None:
    html = cell(_ROW % (1, b"b", 5, b"N") + _ROW % (2, b"a", 400, b"N") + _ROW % (3, b"a", 0, b"b"))
    assert html.index("<b>a</b> 2") < html.index("<b>b</b> 1")
    assert "1 stale, 1 blocked" in html
    assert "1 idle" in html
    assert "listed 3 s ago, 1.2 ms of the server<" in html


def test_suspected_leaks_stand_out() -> None:
    assert "4 leaked?" in cell(_ROW % (1, b"a", 400, b"N"), suspected=4)
    assert "leaked" not in cell(_ROW % (1, b"a", 400, b"N"))


def test_no_more_than_five_apps_are_named() -> None:
    html = cell(b"".join(_ROW % (number, b"app%c" % (97 + number), 1, b"N") for number in range(8)))
    assert html.count("<b>") == 5
    assert "3 of 3 more" in html


def test_names_are_escaped() -> None:
    assert "<b>&lt;script&gt;</b>" in cell(_ROW % (1, b"<script>", 1, b"N"))


def test_batches_and_a_stretched_interval_are_told() -> None:
    html = cell(_ROW % (1, b"a", 1, b"N"), ListCost(0.01, 0.00002, 40, 2.5))
    assert "10.0 ms of the server in 40 commands, the longest less than 0.1 ms" in html
    assert "interval 2.5 times longer for the budget" in html


def test_without_a_list_the_cell_is_empty() -> None:
    assert render_holders(None, 0) == ""
    assert render_holders(Reading(0.0, 0.0, ServerInfo({}, {}), Slots(1, 2)), 0) == ""
