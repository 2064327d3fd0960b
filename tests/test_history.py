"""One list after the other: churn, leaks, trends and what INFO's counters say beside them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.analyse.bounds import Bounds, fold
from exporter.analyse.churn import Churn
from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.leaks import Leaks
from exporter.analyse.names import AppNames
from exporter.analyse.pulse import NO_PULSE, WINDOW_SECONDS, Pulse
from exporter.analyse.states import is_quiet
from exporter.analyse.trends import PEAK_WINDOW_SECONDS, Trend, Trends, count_moved, slope
from exporter.model import AppRules, ClientState, ServerInfo
from tests.blocks import read_rows

STALE_AFTER = 300.0
_ROW = (
    b"id=%d addr=10.0.0.1:5 fd=8 name=%b age=%d idle=%d flags=%b db=0 sub=1 psub=2 watch=0 omem=5 tot-mem=10 "
    b"events=r cmd=%b user=default lib-name= lib-ver= tot-cmds=%b\n"
)


def row(  # noqa: PLR0913  a client has that many fields
    client: int,
    app: bytes = b"app",
    *,
    age: int = 1000,
    idle: int = 0,
    flags: bytes = b"N",
    cmd: bytes = b"get",
    commands: int | None = 7,
) -> bytes:
    digits = b"%d" % commands if commands is not None else b"0"
    line = _ROW % (client, app, age, idle, flags, cmd, digits)
    return line if commands is not None else line.replace(b" tot-cmds=0", b"")


def tally(*rows: bytes) -> Tally:
    counted = Tally(AppNames(AppRules()), STALE_AFTER)
    counted.add(*read_rows(b"".join(rows)))
    return counted


def info(**numbers: int) -> ServerInfo:
    return ServerInfo({name.encode(): b"%d" % number for name, number in numbers.items()}, {})


# Churn


class Lists:
    """Lists of one server, as Churn takes them."""

    def __init__(self) -> None:
        self.churn = Churn()

    def next(
        self, apps: Mapping[int, str], received: int | None, *, ours: int = 0, another_server: bool = False
    ) -> Churn:
        by_id = {b"%d" % client: app for client, app in apps.items()}
        self.churn.update(by_id, str, received=received, ours=ours, another_server=another_server)
        return self.churn


def test_the_first_list_only_sets_the_start() -> None:
    churn = Lists().next({1: "a", 2: "b"}, 2)
    assert (dict(churn.opened), dict(churn.closed), churn.unseen) == ({}, {}, 0)


def test_connections_that_came_and_went_count_for_their_app() -> None:
    lists = Lists()
    lists.next({1: "a", 2: "b"}, 2)
    churn = lists.next({2: "b", 3: "a", 4: "a"}, 4)
    assert (dict(churn.opened), dict(churn.closed), churn.unseen) == ({"a": 2}, {"a": 1}, 0)


def test_connections_that_no_list_saw_are_unseen_and_ours_are_not_among_them() -> None:
    lists = Lists()
    lists.next({1: "a"}, 10)
    assert lists.next({1: "a", 9: "a"}, 20, ours=2).unseen == 7


def test_a_connection_that_came_between_info_and_the_list_is_counted_once() -> None:
    lists = Lists()
    lists.next({1: "a"}, 1)
    lists.next({1: "a", 2: "a"}, 1)
    churn = lists.next({1: "a", 2: "a"}, 2)
    assert (churn.opened["a"], churn.unseen) == (1, 0)


def test_a_restart_or_failover_closes_all_that_was_and_opens_all_that_is() -> None:
    lists = Lists()
    lists.next({1: "a", 2: "b"}, 50)
    churn = lists.next({1: "b"}, 3, another_server=True)
    assert (dict(churn.opened), dict(churn.closed), churn.unseen) == ({"b": 1}, {"a": 1, "b": 1}, 0)


@pytest.mark.parametrize("received", [None, 3])
def test_a_counter_that_was_reset_or_is_not_told_makes_nothing_unseen(received: int | None) -> None:
    lists = Lists()
    lists.next({1: "a"}, 50)
    assert lists.next({2: "a"}, received).unseen == 0


@given(st.lists(st.dictionaries(st.integers(1, 40), st.just("a")), min_size=1), st.data())
def test_what_is_open_is_what_was_there_and_opened_less_what_closed(
    members: list[dict[int, str]], data: st.DataObject
) -> None:
    lists, received = Lists(), 0
    for apps in members:
        received += data.draw(st.integers(0, 100))
        churn = lists.next(apps, received)
    assert len(members[0]) + churn.opened["a"] - churn.closed["a"] == len(members[-1])


def test_a_label_without_a_slot_is_forgotten() -> None:
    lists = Lists()
    lists.next({}, 0)
    churn = lists.next({1: "a", 2: "b"}, 2)
    churn.forget(frozenset(["b"]))
    assert dict(churn.opened) == {"b": 1}


# Leaks


def suspects(*lists: tuple[float, Tally]) -> Mapping[str, int]:
    leaks, found = Leaks(STALE_AFTER), {}
    for now, counted in lists:
        found = dict(leaks.update(counted.members(), now))
    return found


@pytest.mark.parametrize(
    ("line", "suspected"),
    [
        (row(1, idle=301, age=9000, cmd=b"NULL"), 1),
        (row(1, idle=301, age=302), 1),
        (row(1, idle=301, age=303), 0),
        (row(1, idle=301, age=9000), 0),
        (row(1, idle=300, age=300), 0),
        (row(1, idle=301, age=301, flags=b"b"), 0),
        (row(1, idle=301, age=301, flags=b"P"), 0),
        (row(1, idle=301, age=301, flags=b"S"), 0),
        (row(1, idle=301, age=9000, flags=b"x"), 1),
        (row(1, idle=301, age=9000, flags=b"d"), 1),
        (row(1, idle=301, age=9000).replace(b"watch=0", b"watch=2"), 1),
        (row(1, idle=30, age=9000, flags=b"x"), 0),
        (row(1, idle=301, age=302, commands=None), 1),
    ],
)
def test_one_list_is_evidence_of_a_connection_that_was_never_used_or_is_held_open(
    line: bytes, suspected: int
) -> None:
    assert sum(suspects((0, tally(line))).values()) == suspected


def test_a_commands_counter_that_stands_still_for_another_stale_after_is_evidence() -> None:
    still = tally(row(1, idle=301, age=9000))
    assert suspects((0, still), (299, still)) == {}
    assert suspects((0, still), (300, still)) == {"app": 1}


def test_a_commands_counter_that_moves_begins_the_wait_anew() -> None:
    before, moved = tally(row(1, idle=301, age=9000)), tally(row(1, idle=301, age=9000, commands=8))
    assert suspects((0, before), (200, moved), (400, moved)) == {}
    assert suspects((0, before), (200, moved), (500, moved)) == {"app": 1}


def test_a_connection_that_was_busy_in_between_begins_the_wait_anew() -> None:
    still, busy = tally(row(1, idle=301, age=9000)), tally(row(1, idle=0, age=9000))
    assert suspects((0, still), (100, busy), (310, still)) == {}


# Trends


def test_the_slope_of_a_line_is_its_slope_and_outliers_do_not_bend_it() -> None:
    times = [60.0 * minute for minute in range(60)]
    line = [100 + time / 60 for time in times]
    assert slope(times, line) == pytest.approx(1 / 60)
    disturbed = [1000.0 if 20 <= minute < 33 else value for minute, value in enumerate(line)]
    assert slope(times, disturbed) == pytest.approx(1 / 60, rel=0.05)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60))
def test_a_slope_lies_between_the_steepest_ones(values: list[int]) -> None:
    times = [60.0 * minute for minute in range(len(values))]
    spread = (max(values) - min(values)) / 60
    assert -spread <= slope(times, values) <= spread


def test_growth_is_told_after_ten_minutes_and_a_leak_is_told_from_traffic() -> None:
    leak = Trend()
    for minute in range(61):
        leak.update(total=10 + minute, needed=5, now=60.0 * minute)
        assert (leak.growth is None) == (minute < 10)
    assert leak.growth == pytest.approx(1 / 60)
    assert leak.busy_growth == 0


def test_lists_more_often_than_each_minute_make_no_more_samples() -> None:
    trend = Trend()
    for second in range(0, 1200, 15):
        trend.update(total=second, needed=0, now=float(second))
    assert trend.growth == pytest.approx(1.0)


def test_the_peak_of_what_is_needed_is_kept_for_six_hours() -> None:
    trend = Trend()
    trend.update(total=50, needed=40, now=0)
    trend.update(total=50, needed=3, now=PEAK_WINDOW_SECONDS - 700)
    assert trend.needed_peak == 40
    trend.update(total=50, needed=2, now=PEAK_WINDOW_SECONDS + 700)
    assert trend.needed_peak == 3


def test_trends_forget_labels_that_have_no_slot_any_more() -> None:
    trends = Trends()
    trends.update(["a"], {"a": 9}, {"a": 9}, 0)
    trends.update(["b"], {"b": 1}, {"b": 1}, 15)
    trends.update(["a"], {"a": 1}, {"a": 1}, 30)
    assert trends["a"].needed_peak == 1


def test_quiet_connections_whose_counter_moved_are_in_use() -> None:
    members = tally(
        row(1, b"a", idle=5, commands=8),
        row(2, b"a", idle=5, commands=7),
        row(3, b"b", idle=5, commands=1),  # it is new
        row(4, b"a", idle=400, commands=8),
        row(5, b"b", idle=400, flags=b"x", commands=8),
        # These are in use anyhow.
        row(6, b"b", idle=0, commands=8),
        row(7, b"b", idle=5, flags=b"b", commands=8),
        row(8, b"b", idle=5, flags=b"P", commands=8),
    ).members()
    assert count_moved(members, {b"%d" % client: b"7" for client in (1, 2, 4, 5, 6, 7, 8)}) == {
        "a": 2,
        "b": 1,
    }


def test_without_commands_counters_nothing_is_seen_to_move() -> None:
    members = tally(row(1, b"a", idle=5, commands=None)).members()
    assert count_moved(members, {b"1": b"7"}) == {}


# Pulse


def beats(*samples: tuple[float, int, int, int]) -> Pulse:
    pulse = NO_PULSE
    for now, received, commands, clients in samples:
        numbers = {"total_connections_received": received, "total_commands_processed": commands}
        pulse = pulse.after(info(connected_clients=clients, **numbers), now)
    return pulse


def test_connections_per_command_show_a_client_that_connects_anew_each_time() -> None:
    assert beats((0, 10, 100, 5), (10, 110, 200, 5)).opened_per_command == 1.0
    assert beats((0, 10, 100, 5), (10, 10, 200, 5)).opened_per_command == 0.0
    assert beats((0, 10, 100, 5), (10, 11, 100, 5)).opened_per_command is None


def test_the_mean_lifetime_follows_from_littles_law() -> None:
    assert beats((0, 0, 0, 20), (10, 40, 50, 20)).mean_lifetime == pytest.approx(5.0)
    assert beats((0, 7, 0, 20), (10, 7, 50, 20)).mean_lifetime is None


def test_one_poll_alone_tells_nothing() -> None:
    assert (beats((0, 9, 9, 9)).opened_per_command, beats((0, 9, 9, 9)).mean_lifetime) == (None, None)


def test_a_restart_begins_the_window_anew() -> None:
    assert beats((0, 500, 900, 9), (5, 2, 3, 1), (10, 4, 5, 1)).opened_per_command == 1.0


def test_another_server_behind_the_address_begins_the_window_anew() -> None:
    told = info(total_connections_received=10, total_commands_processed=10, connected_clients=1)
    more = info(total_connections_received=99, total_commands_processed=99, connected_clients=1)
    pulse = NO_PULSE.after(replace(told, texts={"run_id": "a"}), 0)
    assert pulse.after(replace(more, texts={"run_id": "a"}), 5).opened_per_command == 1.0
    assert pulse.after(replace(more, texts={"run_id": "b"}), 5).opened_per_command is None


def test_a_pulse_forgets_what_is_older_than_its_window() -> None:
    pulse = beats((0, 0, 0, 1), (WINDOW_SECONDS + 1, 10, 100, 1), (WINDOW_SECONDS + 2, 20, 110, 1))
    assert pulse.opened_per_command == 1.0


def test_a_server_that_counts_beyond_any_number_has_a_pulse_like_another() -> None:
    assert beats((0, 10**30, 10**30, 10**30), (10, 10**31, 10**31, 1)).opened_per_command is None


def test_a_server_without_the_counters_has_no_pulse() -> None:
    assert NO_PULSE.after(info(connected_clients=3), 0) == NO_PULSE


# Bounds


_COUNTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(1, 50))


@given(_COUNTS, st.frozensets(st.text("abcdefgh", min_size=1, max_size=2)))
def test_folding_loses_nobody(counts: dict[str, int], kept: frozenset[str]) -> None:
    folded = fold(counts, kept, "other")
    assert sum(folded.values()) == sum(counts.values())
    assert set(folded) <= kept | {"other"}


def test_every_cut_adds_up_to_the_total_whatever_is_folded() -> None:
    names = [b"app%c" % (97 + number % 9) for number in range(40)]
    rows = (row(number, name, flags=b"b", cmd=b"cmd%d" % (number % 7)) for number, name in enumerate(names))
    groups, folded = Bounds(3).bound(tally(*rows).groups(), 0)
    assert sum(app.total for app in groups.apps.values()) == 40
    assert sum(app.memory_bytes or 0 for app in groups.apps.values()) == 400
    assert sum(app.subscriptions or 0 for app in groups.apps.values()) == 120
    assert sum(app.output_buffer_bytes or 0 for app in groups.apps.values()) == 200
    assert folded["apps"] == groups.apps["other"].total > 0
    for cut in (
        groups.hosts,
        groups.users,
        groups.libraries,
        groups.commands,
        groups.databases,
        groups.blocked,
    ):
        assert sum(cut.values()) == 40
        assert len(cut) <= 4


def test_what_a_server_does_not_tell_of_its_clients_is_not_told_of_the_folded_ones() -> None:
    rows = (
        b"id=%d addr=1.2.3.4:5 name=a%d age=9 idle=1 flags=N db=0 events=r cmd=get\n" % (number, number)
        for number in range(5)
    )
    groups, _ = Bounds(2).bound(tally(*rows).groups(), 0)
    assert groups.apps["other"].total == 3
    for app in groups.apps.values():
        assert (app.memory_bytes, app.subscriptions, app.output_buffer_bytes) == (None, None, None)


def test_an_app_that_is_called_other_is_counted_with_the_others() -> None:
    bounds = Bounds(2)
    groups, folded = bounds.bound(tally(row(1, b"other"), row(2, b"a")).groups(), 0)
    assert groups.apps["other"].total == folded["apps"] == 1
    assert (bounds.label("other"), bounds.label("a"), bounds.label("z")) == ("other", "a", "other")


# All together


def test_a_history_tells_of_each_app_what_came_went_leaks_and_is_needed() -> None:
    history = History(STALE_AFTER, 2)
    lists = (
        (info(uptime_in_seconds=100, total_connections_received=4), [row(1, b"a"), row(2, b"b", idle=9)]),
        (
            info(uptime_in_seconds=115, total_connections_received=6),
            [
                row(2, b"b", idle=9, commands=8),
                row(3, b"a", idle=400, age=400),
                row(4, b"a", flags=b"b"),
            ],
        ),
    )
    for number, (told, rows) in enumerate(lists):
        counted = tally(*rows)
        groups, _ = history.bounds.bound(counted.groups(), number * 15.0)
        history.compare(counted.members(), told, ours=0)
        trends = history.judge(groups, counted.members(), number * 15.0)
    assert groups.apps["a"].states == {ClientState.STALE: 1, ClientState.BLOCKED: 1}
    assert (trends["a"].opened, trends["a"].closed, trends["a"].suspected) == (2, 1, 1)
    assert (trends["a"].needed_peak, trends["b"].needed_peak) == (1, 1)
    assert trends["b"].growth is None
    assert history.churn.unseen == 0


def test_a_history_sees_a_restart_by_the_uptime() -> None:
    history = History(STALE_AFTER, 2)
    for uptime in (100, 5):
        counted = tally(row(1, b"a"))
        groups, _ = history.bounds.bound(counted.groups(), 0)
        history.compare(
            counted.members(), info(uptime_in_seconds=uptime, total_connections_received=1), ours=0
        )
        trends = history.judge(groups, counted.members(), 0)
    assert (trends["a"].opened, trends["a"].closed) == (1, 1)


def test_a_history_sees_a_failover_behind_one_address_by_the_run_id() -> None:
    history = History(STALE_AFTER, 2)
    for run_id, received in (("a", 5), ("b", 90_000)):
        counted = tally(row(1, b"a"))
        groups, _ = history.bounds.bound(counted.groups(), 0)
        told = replace(
            info(uptime_in_seconds=9, total_connections_received=received), texts={"run_id": run_id}
        )
        history.compare(counted.members(), told, ours=0)
        trends = history.judge(groups, counted.members(), 0)
    assert (trends["a"].opened, trends["a"].closed, history.churn.unseen) == (1, 1, 0)


@pytest.mark.parametrize(("run_id", "suspected"), [("a", 1), ("b", 0)])
def test_clients_of_another_server_are_not_compared_with_those_of_the_same_ids(
    run_id: str, suspected: int
) -> None:
    history = History(STALE_AFTER, 2)
    for now, each in ((0.0, "a"), (STALE_AFTER, run_id)):
        counted = tally(row(1, b"a", age=9000, idle=400))
        groups, _ = history.bounds.bound(counted.groups(), now)
        # A clock that is set back makes the uptime smaller, and no other server.
        told = replace(info(uptime_in_seconds=900 - int(now)), texts={"run_id": each})
        history.compare(counted.members(), told, ours=0)
        trends = history.judge(groups, counted.members(), now)
    assert trends["a"].suspected == suspected


def test_a_list_tells_the_app_of_every_client_and_what_it_does() -> None:
    members = tally(row(1, b"a"), row(2, b"b", idle=5), row(3, b"b", flags=b"b", idle=5)).members()
    assert members.apps == {b"1": "a", b"2": "b", b"3": "b"}
    assert {client: is_quiet(doing[0]) for client, doing in members.doing.items()} == {
        b"1": False,
        b"2": True,
        b"3": False,
    }
