"""The cell of the status page that says who holds a server's connections."""

from collections.abc import Mapping
from dataclasses import replace

from exporter.analyse.groups import Tally
from exporter.analyse.names import AppNames
from exporter.model import AppRules, ListCost, Survey
from exporter.verdicts import AppTrend, Evidence, Verdict
from exporter.web.pages.holders import render_holders
from tests.blocks import read_rows
from tests.one_page import info_of, reading_of, report_on

_ROW = b"id=%d addr=10.0.0.1:5 fd=8 name=%b age=900 idle=%d flags=%b db=0 events=r cmd=get user=default\n"
_CHEAP = ListCost(0.00123, 0.0004, 1, 1.0)
QUIET = AppTrend(0, 0, 0, 0, 0, {}, {}, Verdict.HEALTHY)


def survey_of(rows: bytes, trends: Mapping[str, AppTrend] | None = None, cost: ListCost = _CHEAP) -> Survey:
    tally = Tally(AppNames(AppRules()), 300.0)
    tally.add(*read_rows(rows))
    groups = tally.groups()
    return Survey(1.8e9, groups, dict.fromkeys(groups.apps, QUIET) | dict(trends or {}), 0, {}, cost)


def cell(rows: bytes, trends: Mapping[str, AppTrend] | None = None, cost: ListCost = _CHEAP) -> str:
    reading = replace(reading_of(info_of()), clients=survey_of(rows, trends, cost))
    return render_holders(report_on(reading, after=3.4))


def test_the_biggest_apps_come_first_with_what_they_do() -> None:
    html = cell(_ROW % (1, b"b", 5, b"N") + _ROW % (2, b"a", 400, b"N") + _ROW % (3, b"a", 0, b"b"))
    assert html.index("<b>a</b> 2") < html.index("<b>b</b> 1")
    assert "1 stale, 1 blocked" in html
    assert "1 idle" in html
    assert "listed 3 s ago, 1.2 ms of the server<" in html
    assert "healthy" not in html, "there is enough to read"


def test_a_leak_stands_out_with_what_speaks_for_it() -> None:
    leaks = replace(
        QUIET,
        suspected=1,
        verdict=Verdict.LEAKING,
        evidence={Evidence.LEFT_BEHIND: 1},
        worst=("a-<x2x9k>", 1),
    )
    html = cell(_ROW % (1, b"a", 400, b"N"), {"a": leaks})
    assert 'class="verdict bad">leaking: 1 of 1 left behind, worst a-&lt;x2x9k&gt;<' in html
    assert "leaked?" not in html


def test_connections_that_may_be_leaked_are_told_where_there_is_no_verdict() -> None:
    rows = _ROW % (1, b"a", 400, b"N")
    assert "4 leaked?" in cell(rows, {"a": replace(QUIET, suspected=4, verdict=None)})
    assert "leaked" not in cell(rows)


def test_opened_and_unused_is_unknown_and_stands_out() -> None:
    unknown = replace(
        QUIET,
        verdict=Verdict.UNKNOWN,
        evidence={Evidence.OPENED_AND_UNUSED: 149},
        opened_recently=149,
        recent=150.0,
    )
    html = cell(_ROW % (1, b"a", 4, b"N"), {"a": unknown})
    assert 'class="verdict warn">unknown: opened 149 in 150 s, in use at most 0<' in html


def test_an_app_of_which_too_little_was_seen_is_not_called_healthy() -> None:
    html = cell(_ROW % (1, b"a", 4, b"N"), {"a": replace(QUIET, verdict=Verdict.UNKNOWN)})
    assert 'class="verdict dim">unknown: too little seen so far<' in html


def test_no_more_than_five_apps_are_named_but_for_those_that_leak() -> None:
    rows = b"".join(_ROW % (number, b"app%c" % (97 + number), 1, b"N") for number in range(8))
    html = cell(rows)
    assert html.count("<b>") == 5
    assert "3 of 3 more" in html
    html = cell(rows, {"apph": replace(QUIET, verdict=Verdict.LEAKING)})
    assert "<b>apph</b>" in html
    assert "2 of 2 more" in html


def test_names_are_escaped() -> None:
    assert "<b>&lt;script&gt;</b>" in cell(_ROW % (1, b"<script>", 1, b"N"))


def test_batches_and_a_stretched_interval_are_told() -> None:
    html = cell(_ROW % (1, b"a", 1, b"N"), cost=ListCost(0.01, 0.00002, 40, 2.5))
    assert "10.0 ms of the server in 40 commands, the longest less than 0.1 ms" in html
    assert "interval 2.5 times longer for the budget" in html


def test_without_a_list_the_cell_is_empty() -> None:
    assert render_holders(report_on()) == ""
    assert render_holders(report_on(reading_of(info_of()))) == ""
