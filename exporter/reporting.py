"""From what is known of a target to what is told of it."""

from collections.abc import Iterator, Mapping

from exporter.analyse.slots import explain_limit
from exporter.analyse.verdict import steepest
from exporter.board import Watch
from exporter.denied import missing_without
from exporter.explain import explain
from exporter.model import AppClients, ListFailure, Outage, Reading, Slots, Survey
from exporter.report import (
    AppReport,
    DeniedReport,
    InstanceReport,
    LastSeenReport,
    ListReport,
    PollReport,
    SampleReport,
    SlotsReport,
    TargetReport,
    WorstReport,
)
from exporter.text import as_sentence
from exporter.verdicts import AppTrend, Instance, Window

_LIST_FAILURES = {
    ListFailure.TIMEOUT: "the last client list did not arrive within poll.timeout",
    ListFailure.CUT_OFF: "the server closed the connection while it sent the client list; its "
    "client-output-buffer-limit may be too small",
    ListFailure.REFUSED: "the server refuses CLIENT LIST",
    ListFailure.UNREADABLE: "the last client list could not be read",
}
_ID_DIGITS = 20  # of 64 bits
_MOSTLY = 0.5
_ENGINES = ("Valkey", "Redict")


def report_of(watch: Watch, at: float, now: float, *, whole: bool = True) -> TargetReport:
    """Tell what is known of a target at a moment (Unix time, monotonic seconds); `whole` with instances."""
    reading, survey = watch.reading, watch.reading.clients if watch.reading is not None else None
    server, version, role = _server(watch.last_reading)
    return TargetReport(
        name=watch.target.name,
        url=str(watch.target.access.url),
        labels=dict(watch.target.labels),
        server=server,
        server_version=version,
        role=role,
        state=watch.state,
        state_since_timestamp_seconds=watch.since[0] if watch.since is not None else None,
        state_age_seconds=max(0.0, now - watch.since[1]) if watch.since is not None else None,
        remarks=tuple(_remarks(watch)),
        slots=_slots(watch, reading.slots, survey) if reading is not None else None,
        last_seen=_last_seen(watch, at),
        blocked_clients=_count(reading, b"blocked_clients"),
        refused_total=_count(reading, b"rejected_connections"),
        refused_per_second=_refused_per_second(watch),
        poll=_poll(watch, at),
        client_list=_list(survey, at) if survey is not None else None,
        list_failure=watch.activity.list_failure,
        apps=tuple(_apps(survey, whole=whole)) if survey is not None else None,
        denied=_denied(reading) if reading is not None else None,
        connected_to=watch.activity.address or None,
    )


def bare_report(watch: Watch, bug: str) -> TargetReport:
    """Tell as good as nothing of a target of which a bug keeps us from telling more."""
    return TargetReport(
        name=watch.target.name,
        url=str(watch.target.access.url),
        labels=dict(watch.target.labels),
        server=None,
        server_version=None,
        role=None,
        state=watch.state,
        state_since_timestamp_seconds=None,
        state_age_seconds=None,
        remarks=(bug,),
        slots=None,
        last_seen=None,
        blocked_clients=None,
        refused_total=None,
        refused_per_second=None,
        poll=None,
        client_list=None,
        list_failure=None,
        apps=None,
        denied=None,
        connected_to=None,
    )


def _server(reading: Reading | None) -> tuple[str | None, str | None, str | None]:
    """What it calls itself, its version and its role."""
    if reading is None:
        return None, None, None
    texts = reading.info.texts
    engine = next((name for name in _ENGINES if f"{name.lower()}_version" in texts), "Redis")
    return engine, texts.get(f"{engine.lower()}_version"), texts.get("role")


def _remarks(watch: Watch) -> Iterator[str]:
    if watch.now is None:
        yield "not polled yet"
    elif isinstance(watch.now, Outage):
        yield watch.now.detail
    elif limit := explain_limit(watch.now):
        yield limit
    if watch.activity.note:
        yield watch.activity.note
    if watch.activity.list_failure is not None:
        yield _LIST_FAILURES[watch.activity.list_failure]
    if watch.activity.addresses > 1 and watch.activity.address:
        count = watch.activity.addresses
        yield f"connected to {watch.activity.address}, one of {count} addresses of this name"


def _slots(watch: Watch, slots: Slots, survey: Survey | None) -> SlotsReport:
    growth = _growth(survey) if survey is not None else None
    highest = watch.slots_peak
    return SlotsReport(
        used=slots.used,
        limit=slots.limit,
        utilization_ratio=slots.utilization,
        peak=int(highest) if highest is not None else None,
        reserved=slots.reserved,
        ordinary_used=slots.ordinary_used,
        ordinary_limit=slots.ordinary_limit,
        growth_per_second=growth,
        full_in_seconds=_full_in(slots, growth or {}),
    )


def _growth(survey: Survey) -> Mapping[Window, float]:
    """Growth of all apps together, by window; an app that is not known for long has none yet."""
    growth: dict[Window, float] = {}
    for trend in survey.trends.values():
        for window, slope in trend.growth.items():
            growth[window] = growth.get(window, 0.0) + slope
    return growth


def _full_in(slots: Slots, growth: Mapping[Window, float]) -> float | None:
    if slots.ordinary_limit is None:
        return None
    if slots.full:
        return 0.0
    window = steepest(growth)
    return (slots.ordinary_limit - slots.ordinary_used) / growth[window] if window is not None else None


def _last_seen(watch: Watch, at: float) -> LastSeenReport | None:
    last = watch.last_reading
    if watch.reading is not None or last is None:
        return None
    return LastSeenReport(
        age_seconds=max(0.0, at - last.at),
        used=last.slots.used,
        limit=last.slots.limit,
        utilization_ratio=last.slots.utilization,
    )


def _count(reading: Reading | None, field: bytes) -> int | None:
    return reading.info.count(field) if reading is not None else None


def _refused_per_second(watch: Watch) -> float | None:
    told = _count(watch.reading, b"rejected_connections") is not None
    return watch.pulse.refused_per_second if told else None


def _poll(watch: Watch, at: float) -> PollReport | None:
    if watch.now is None:
        return None
    return PollReport(
        at_timestamp_seconds=watch.now.at,
        age_seconds=max(0.0, at - watch.now.at),
        took_seconds=watch.now.took,
        total=watch.polls,
        failed_total=sum(watch.failures.values()),
    )


def _list(survey: Survey, at: float) -> ListReport:
    groups, cost = survey.groups, survey.cost
    return ListReport(
        at_timestamp_seconds=survey.at,
        age_seconds=max(0.0, at - survey.at),
        connections=groups.total,
        nameless_connections=groups.nameless,
        unreadable_rows=groups.unreadable,
        unseen_total=survey.unseen,
        seen_ratio=survey.share_seen,
        server_seconds=cost.total,
        longest_command_seconds=cost.longest,
        commands=cost.commands,
        interval_factor=cost.stretch,
        hints=tuple(_hints(survey)),
    )


def _hints(survey: Survey) -> Iterator[str]:
    groups = survey.groups
    if groups.nameless > _MOSTLY * groups.total:
        yield (
            f"{groups.nameless} of {groups.total} connections have no name, so apps may be mixed up; "
            "docs/app-names.md says how to set one"
        )
    if survey.share_seen is not None and survey.share_seen < _MOSTLY:
        yield (
            f"the lists saw {survey.share_seen:.0%} of the connections opened in the last 5 minutes, so no "
            "app is blamed for churn"
        )


def _denied(reading: Reading) -> tuple[DeniedReport, ...]:
    missing = missing_without(reading.denied, limit_known=reading.slots.limit is not None)
    return tuple(DeniedReport(command=name, missing=text or None) for name, text in missing)


def _apps(survey: Survey, *, whole: bool) -> Iterator[AppReport]:
    apps = sorted(survey.groups.apps.items(), key=lambda item: (-item[1].total, item[0]))
    for name, app in apps:
        yield _app(name, app, survey.trends[name], whole=whole)


def _app(name: str, app: AppClients, trend: AppTrend, *, whole: bool) -> AppReport:
    return AppReport(
        name=name,
        connections=app.total,
        states=app.states,
        verdict=trend.verdict,
        explanation=explain(name, app, trend) or None,
        suspected=trend.suspected,
        evidence=trend.evidence,
        needed=trend.needed,
        needed_peak=trend.needed_peak,
        needed_recently=trend.needed_recently,
        opened_recently=trend.opened_recently,
        recent_seconds=trend.recent,
        growth_per_second=trend.growth,
        needed_growth_per_second=trend.busy_growth,
        opened_total=trend.opened,
        closed_total=trend.closed,
        pool_max_connections=trend.pool,
        oldest_idle_seconds=app.oldest_idle_seconds,
        memory_bytes=app.memory_bytes,
        output_buffer_bytes=app.output_buffer_bytes,
        subscriptions=app.subscriptions,
        worst=WorstReport(*trend.worst) if trend.worst is not None else None,
        instances=tuple(map(_instance, trend.instances)) if whole and trend.instances else None,
    )


def _instance(instance: Instance) -> InstanceReport:
    return InstanceReport(
        name=instance.name or None,
        host=instance.host,
        user=instance.user,
        library=instance.library,
        open=instance.open,
        suspected=instance.suspected,
        opened_per_second=instance.opened,
        closed_per_second=instance.closed,
        oldest_seconds=instance.oldest,
        newest_seconds=instance.newest,
        commands=instance.commands,
        databases=instance.databases,
        samples=tuple(map(_sample, instance.samples)),
    )


def _sample(packed: bytes) -> SampleReport:
    number, age, idle, command, address = packed.split(b" ", 4)
    return SampleReport(
        id=int(number) if number.isdigit() and len(number) <= _ID_DIGITS else None,
        age_seconds=int(age),
        idle_seconds=int(idle),
        command=None if command == b"-" else command.decode(errors="replace"),
        address=as_sentence(address.decode(errors="replace")),
    )
