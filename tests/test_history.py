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
from exporter.analyse.names import AppNames
from exporter.analyse.pulse import NO_PULSE, WINDOW_SECONDS, Pulse
from exporter.analyse.trends import PEAK_WINDOW_SECONDS, Moments, Sample, Trend, Trends, slope
from exporter.limits import APP_SAMPLES
from exporter.model import AppRules, ClientState, ServerInfo
from exporter.verdicts import Evidence, Window
from tests.blocks import read_rows, take

STALE_AFTER = 300.0
_ROW = (
    b"id=%d addr=10.0.0.1:5 fd=8 name=%b age=%d idle=%d flags=%b db=0 sub=1 psub=2 watch=0 omem=5 tot-mem=10 "
    b"events=r cmd=%b user=default lib-name= lib-ver= tot-net-in=0 tot-cmds=%b\n"
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
    return line if commands is not None else line.replace(b" tot-net-in=0 tot-cmds=0", b"")


def tally(*rows: bytes) -> Tally:
    counted = Tally(AppNames(AppRules()), STALE_AFTER)
    counted.add(*read_rows(b"".join(rows)))
    return counted


def info(**numbers: int) -> ServerInfo:
    return ServerInfo({name.encode(): b"%d" % number for name, number in numbers.items()}, {})


# Churn


class Lists:
    """Lists of one server, as Churn takes them; newborn clients have no app yet."""

    def __init__(self) -> None:
        self.churn = Churn()
        self._before: Mapping[int, str] | None = None

    def next(
        self,
        apps: Mapping[int, str],
        received: int | None,
        *,
        ours: int = 0,
        newborn: int = 0,
        another_server: bool = False,
    ) -> Churn:
        before = {} if self._before is None or another_server else self._before
        if another_server and self._before is not None:
            self.churn.start_anew(self._before.values(), str)
        came = [app for client, app in apps.items() if client not in before]
        gone = [app for client, app in before.items() if client not in apps]
        self.churn.update(
            [] if self._before is None else came,
            gone,
            str,
            newborn=newborn,
            received=received,
            ours=ours,
            now=0,
        )
        self._before = apps
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


def test_a_newborn_counts_when_it_has_a_name() -> None:
    lists = Lists()
    lists.next({1: "a"}, 1)
    assert lists.next({1: "a"}, 2, newborn=1).unseen == 0
    churn = lists.next({1: "a", 2: "b"}, 2)
    assert (dict(churn.opened), churn.unseen) == ({"b": 1}, 0)


def test_the_share_of_openings_that_lists_saw_is_told() -> None:
    lists = Lists()
    assert lists.next({1: "a"}, 10).share_seen is None
    assert lists.next({1: "a", 2: "a"}, 20).share_seen == pytest.approx(0.1)


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


def sample(total: int = 0, needed: int = 0, widest: int = 0, opened: int = 0) -> Sample:
    return Sample(total, needed, widest, opened)


class Alone(Trend):
    """The trend of the only app of a server."""

    __slots__ = ()

    def __init__(self) -> None:
        moments = Moments()
        moments.told.append(0.0)
        super().__init__(moments)
        moments.told.pop()

    def take(self, sample: Sample, now: float) -> None:
        self.update(sample, replaces=self._moments.take(now))


def test_growth_is_told_by_window_from_when_that_is_half_full_and_a_leak_is_told_from_traffic() -> None:
    leak = Alone()
    for minute in range(61):
        leak.take(sample(total=10 + minute, needed=5), 60.0 * minute)
        assert (Window.SHORT in leak.growth) == (minute >= 3)
        assert (Window.MIDDLE in leak.growth) == (minute >= 8)
        assert (Window.LONG in leak.growth) == (minute >= 30)
    assert leak.growth == {window: pytest.approx(1 / 60) for window in Window}
    assert leak.busy_growth == dict.fromkeys(Window, 0)


def test_the_shortest_window_is_half_full_after_two_minutes_and_a_half_whatever_the_interval() -> None:
    trend = Alone()
    for seconds in range(0, 151, 15):
        trend.take(sample(total=seconds), float(seconds))
        assert (Window.SHORT in trend.growth) == (seconds >= 150)
    assert trend.growth[Window.SHORT] == pytest.approx(1.0)


def test_a_second_leak_within_the_hour_is_seen_in_the_short_windows() -> None:
    trend, total = Alone(), 10
    for minute in range(60):
        total += 30 if minute < 10 or minute >= 54 else 0
        trend.take(sample(total=total), 60.0 * minute)
    assert trend.growth[Window.SHORT] == pytest.approx(0.5)


def test_lists_more_often_than_each_minute_make_no_more_samples() -> None:
    trend = Alone()
    for second in range(0, 7200, 15):
        trend.take(sample(total=second), float(second))
    assert trend.growth == {window: pytest.approx(1.0) for window in Window}
    assert trend.samples <= APP_SAMPLES + 1


def test_a_step_long_ago_is_no_growth() -> None:
    trend = Alone()
    for second, total in ((0, 1), (60, 50), (120, 50)):
        trend.take(sample(total=total), float(second))
        assert trend.grows == (second > 0)
    trend.take(sample(total=50), 200.0)
    assert not trend.grows


def test_the_peak_of_what_is_needed_is_kept_for_six_hours() -> None:
    trend = Alone()
    trend.take(sample(total=50, needed=40), 0)
    trend.take(sample(total=50, needed=3), PEAK_WINDOW_SECONDS - 700)
    assert trend.needed_peak == 40
    trend.take(sample(total=50, needed=2), PEAK_WINDOW_SECONDS + 700)
    assert trend.needed_peak == 3


def test_the_most_that_was_in_use_of_late_is_forgotten_after_ten_minutes() -> None:
    trend = Alone()
    trend.take(sample(needed=40), 0)
    trend.take(sample(needed=3), 310)
    assert trend.needed_recently == 40
    trend.take(sample(needed=2), 610)
    assert trend.needed_recently == 3


def test_an_app_that_came_later_has_the_moments_since_then() -> None:
    trends = Trends()
    for minute in range(90):
        told = {"a": sample(total=minute)} | ({"b": sample(total=2 * minute)} if minute >= 70 else {})
        trends.update(told, 60.0 * minute)
    assert trends["a"].growth == {window: pytest.approx(1 / 60) for window in Window}
    assert set(trends["b"].growth) == {Window.SHORT, Window.MIDDLE}
    assert trends["b"].growth[Window.MIDDLE] == pytest.approx(2 / 60)
    assert trends["b"].samples == 20


def test_what_was_opened_of_late_is_known_after_hours_too() -> None:
    trend = Alone()
    for minute in range(200):
        trend.take(sample(total=5, widest=minute, opened=10 * minute), 60.0 * minute)
    assert trend.opened_since(60.0 * 197) == 20
    assert trend.widest_growth == {Window.SHORT: pytest.approx(1 / 60)}


def test_trends_forget_labels_that_have_no_slot_any_more() -> None:
    trends = Trends()
    trends.update({"a": sample(9, 9)}, 0)
    trends.update({"b": sample(1, 1)}, 15)
    trends.update({"a": sample(1, 1)}, 30)
    assert trends["a"].needed_peak == 1


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


def test_a_history_tells_of_each_app_what_came_went_is_held_and_is_needed() -> None:
    history = History(STALE_AFTER, 2)
    lists = (
        (info(uptime_in_seconds=100, total_connections_received=4), [row(1, b"a"), row(2, b"b", idle=99)]),
        (
            info(uptime_in_seconds=115, total_connections_received=6),
            [
                row(2, b"b", idle=9, commands=8),
                row(3, b"a", idle=400, age=400, flags=b"x"),
                row(4, b"a", flags=b"b"),
            ],
        ),
    )
    for number, (told, rows) in enumerate(lists):
        take(history, tally(*rows), told, now=number * 15.0)
    trends = history.trends
    assert history.groups.apps["a"].states == {ClientState.IDLE: 1, ClientState.BLOCKED: 1}
    assert (trends["a"].opened, trends["a"].closed, trends["a"].suspected) == (2, 1, 1)
    assert (trends["a"].needed_peak, trends["b"].needed_peak) == (1, 1)
    assert trends["b"].growth == {}
    assert history.churn.unseen == 0


def test_a_history_sees_a_restart_by_the_uptime() -> None:
    history = History(STALE_AFTER, 2)
    for uptime in (100, 5):
        take(history, tally(row(1, b"a")), info(uptime_in_seconds=uptime, total_connections_received=1))
    assert (history.trends["a"].opened, history.trends["a"].closed) == (1, 1)


def test_a_history_sees_a_failover_behind_one_address_by_the_run_id() -> None:
    history = History(STALE_AFTER, 2)
    for run_id, received in (("a", 5), ("b", 90_000)):
        told = info(uptime_in_seconds=9, total_connections_received=received)
        take(history, tally(row(1, b"a")), replace(told, texts={"run_id": run_id}))
    trend = history.trends["a"]
    assert (trend.opened, trend.closed, history.churn.unseen) == (1, 1, 0)


@pytest.mark.parametrize(("run_id", "pinged_only"), [("a", 6), ("b", None)])
def test_clients_of_another_server_are_not_compared_with_those_of_the_same_ids(
    run_id: str, pinged_only: int | None
) -> None:
    """Only who saw them work before knows that the pings of these clients are no work."""
    history = History(STALE_AFTER, 2)
    rows = [(number, 100 - 10 * number) for number in range(7)]
    # A clock that is set back makes the uptime smaller, and no other server.
    for now, cmd, each in ((0.0, b"get", "a"), (100.0, b"ping", run_id)):
        lost = [
            row(number, age=int(age + now), idle=age - 1 if cmd == b"get" else 9, cmd=cmd)
            for number, age in rows[:-1]
        ]
        working = row(6, age=int(rows[-1][1] + now))
        told = replace(info(uptime_in_seconds=900 - int(now)), texts={"run_id": each})
        take(history, tally(*lost, working), told, now=now)
    assert history.trends["app"].evidence.get(Evidence.PINGED_ONLY) == pinged_only


def test_a_list_tells_the_app_of_every_client_and_what_it_does() -> None:
    counted = tally(row(1, b"a"), row(2, b"b", idle=5), row(3, b"b", flags=b"b", idle=5))
    counted.groups()
    members = counted.members()
    assert members.ids == [b"1", b"2", b"3"]
    assert [origin.app.name for origin in members.origins] == ["a", "b", "b"]
    assert [members.may_work(position) for position in range(3)] == [True, True, True]
    assert members.needed == {"a": 1, "b": 2}
