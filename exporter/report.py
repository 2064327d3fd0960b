"""What is told of targets: the values that the status page, the API and commands show.

docs/api.md is made of these classes, so a field says what it means, in which unit where its name does not end
in one, and when it is null. Not known is null, and never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.model import ClientState, ListFailure, State
from exporter.verdicts import Evidence, Verdict, Window

API_VERSION = 1

_NO_LIST = "there is no client list"
_NO_NUMBERS = "the last poll failed, or there was none"
_NOT_TOLD = f"{_NO_NUMBERS}, or the server does not tell"


def _told(meaning: str, *, unit: str = "", null: str = "") -> Any:  # noqa: ANN401  as dataclasses.field
    """Describe a field for docs/api.md."""
    return field(metadata={"meaning": meaning, "unit": unit, "null": null})


@dataclass(frozen=True, slots=True)
class SampleReport:
    """A connection, as the last list had it."""

    id: int | None = _told(
        "Id of the client, for CLIENT KILL ID", null="the server tells none that can be read"
    )
    age_seconds: int = _told("Age of the connection")
    idle_seconds: int = _told("Time since its last command")
    command: str | None = _told("Its last command", null="it ran none")
    address: str = _told("Its address and port, as the server sees them")


@dataclass(frozen=True, slots=True)
class InstanceReport:
    """Connections of an app with the same name, address, user and library: mostly one process."""

    name: str | None = _told("Name that the client set, mostly with the pod in it", null="it set none")
    host: str = _told("Its address")
    user: str = _told("Its ACL user")
    library: str = _told("Its library and version; empty where the client did not say")
    open: int = _told("Open connections", unit="connections")
    suspected: int = _told("Those of them that are probably leaked", unit="connections")
    opened_per_second: float = _told("Connections opened, average of the last minutes")
    closed_per_second: float = _told("Connections closed, average of the last minutes")
    oldest_seconds: int = _told("Age of its oldest connection")
    newest_seconds: int = _told("Age of its newest connection")
    commands: tuple[str, ...] = _told("The most frequent last commands")
    databases: tuple[str, ...] = _told("The most used databases")
    samples: tuple[SampleReport, ...] = _told("Up to 5 of its connections, the suspected first")


@dataclass(frozen=True, slots=True)
class WorstReport:
    """The instance of a leaking app that has lost most."""

    instance: str = _told("Its name, or its address where it has no name")
    connections: int = _told("Its open connections", unit="connections")


@dataclass(frozen=True, slots=True)
class AppReport:
    """The connections of one app. The app `other` is all those together that have no place of their own."""

    name: str = _told("Name of the app")
    connections: int = _told("Its connections", unit="connections")
    states: Mapping[ClientState, int] = _told(
        "Connections by state; each is in one state, absent states have none", unit="connections"
    )
    verdict: Verdict | None = _told(
        "healthy, oversized, leaking, growing, churning, waiting or unknown", null="the app is `other`"
    )
    explanation: str | None = _told("The verdict as a sentence", null="the app is `other`")
    suspected: int = _told("Connections that are probably leaked", unit="connections")
    evidence: Mapping[Evidence, int] = _told(
        "What speaks for a leak: left_behind, never_used, held_transaction, pinged_only, opened_and_unused, "
        "reaped_by_timeout, growth_without_need; absent evidence is none",
        unit="connections",
    )
    needed: int = _told("In use since the list before", unit="connections")
    needed_peak: int = _told("Most in use in one list of the last 6 hours", unit="connections")
    needed_recently: int = _told("Most in use in one list of the last `recent_seconds`", unit="connections")
    opened_recently: int = _told("Opened in the last `recent_seconds` and still open", unit="connections")
    recent_seconds: float = _told("The time that the two above speak of")
    growth_per_second: Mapping[Window, float] = _told(
        "Growth of its connections by window (5m, 15m, 1h); a window that is not half full is absent"
    )
    needed_growth_per_second: Mapping[Window, float] = _told(
        "Growth of its connections in use, by the same windows"
    )
    opened_total: int = _told("Connections that lists saw coming", unit="connections")
    closed_total: int = _told("Connections that lists saw going", unit="connections")
    pool_max_connections: int | None = _told(
        "Size of its pools together",
        unit="connections",
        null="its clients' names do not tell (orders@pool=20)",
    )
    oldest_idle_seconds: int = _told("Longest idle time of its connections")
    memory_bytes: int | None = _told(
        "Memory of the server for its connections", null="the server does not tell (before Redis 6.0.9)"
    )
    output_buffer_bytes: int | None = _told(
        "Memory of replies that it has not read", null="the server does not tell"
    )
    subscriptions: int | None = _told(
        "Its subscriptions", unit="subscriptions", null="the server does not tell"
    )
    worst: WorstReport | None = _told(
        "The instance that has lost most", null="the app is not among the 5 worst leaks"
    )
    instances: tuple[InstanceReport, ...] | None = _told(
        "Up to 10 of its instances, the largest first",
        null="in the list of all targets, and for apps that are not among the 5 largest or the 5 worst leaks",
    )


@dataclass(frozen=True, slots=True)
class ListReport:
    """The newest client list that may still be shown."""

    at_timestamp_seconds: float = _told("When it was made")
    age_seconds: float = _told("Its age")
    connections: int = _told("Connections in it, without the exporter's own", unit="connections")
    nameless_connections: int = _told("Those of them whose client set no name", unit="connections")
    unreadable_rows: int = _told("Rows that could not be read", unit="rows")
    unseen_total: int = _told(
        "Connections that no list saw: they came and went in between", unit="connections"
    )
    seen_ratio: float | None = _told(
        "Share of the connections opened in the last 5 minutes that a list saw; below 0.5 no app is blamed "
        "for churn",
        null="none was opened",
    )
    server_seconds: float = _told("Time of the server's main thread that the list took")
    longest_command_seconds: float = _told("Time of its longest command, in which other clients waited")
    commands: int = _told("Commands that it took", unit="commands")
    interval_factor: float = _told(
        "How many times longer than clients.interval the interval is, to keep to the budget", unit="times"
    )
    hints: tuple[str, ...] = _told("Sentences about what the list cannot tell")


@dataclass(frozen=True, slots=True)
class SlotsReport:
    """Connections as the server itself counts them against its limit."""

    used: int = _told("Used slots", unit="connections")
    limit: int | None = _told("maxclients", unit="connections", null="nobody tells it")
    utilization_ratio: float | None = _told(
        "How full it is for ordinary clients", null="the limit is not known"
    )
    peak: int | None = _told(
        "Most used slots of the polls of the last minute", unit="connections", null="there was no poll"
    )
    reserved: int | None = _told(
        "Slots that are kept for priority clients (Valkey 9.2)",
        unit="connections",
        null="no reserve is known",
    )
    ordinary_used: int = _told("Slots used by ordinary clients", unit="connections")
    ordinary_limit: int | None = _told(
        "Limit for ordinary clients", unit="connections", null="the limit is not known"
    )
    growth_per_second: Mapping[Window, float] | None = _told(
        "Growth of all apps together by window (5m, 15m, 1h); a window that is not half full is absent",
        null=_NO_LIST,
    )
    full_in_seconds: float | None = _told(
        "Time until no slot is free, if the connections grow on as in the shortest window in which they gain "
        "at least 0.01 per second and 5 in all; 0 where it is full",
        null="they do not grow so fast, or the limit is not known",
    )


@dataclass(frozen=True, slots=True)
class LastSeenReport:
    """What was last known of a server whose last poll failed."""

    age_seconds: float = _told("Age of these numbers")
    used: int = _told("Used slots then", unit="connections")
    limit: int | None = _told("maxclients then", unit="connections", null="nobody told it")
    utilization_ratio: float | None = _told("How full it was then", null="the limit was not known")


@dataclass(frozen=True, slots=True)
class PollReport:
    """The last poll."""

    at_timestamp_seconds: float = _told("When it began")
    age_seconds: float = _told("Time since then")
    took_seconds: float = _told("How long it took")
    total: int = _told("Polls so far", unit="polls")
    failed_total: int = _told("Those of them that failed", unit="polls")


@dataclass(frozen=True, slots=True)
class DeniedReport:
    """A command that the exporter's user may not run there, or that the server does not know."""

    command: str = _told("The command, as ACL rules write it")
    missing: str | None = _told("What is missing because of that", null="nothing is")


@dataclass(frozen=True, slots=True)
class TargetReport:
    """Everything about one target."""

    name: str = _told("Configured name")
    url: str = _told("Its URL, without credentials")
    labels: Mapping[str, str] = _told("Its own labels")
    server: str | None = _told("Redis, Valkey or Redict", null="it was never reached")
    server_version: str | None = _told("Its version", null="it was never reached, or does not tell")
    role: str | None = _told("master or slave", null="it was never reached, or does not tell")
    state: State = _told(
        "ok, at_limit, refused, timeout, unreachable, dns, auth, tls, noperm, loading, busy, protocol or "
        "unknown"
    )
    state_since_timestamp_seconds: float | None = _told(
        "When it got into this state", null="it was not polled yet"
    )
    state_age_seconds: float | None = _told(
        "For how long it has been in this state", null="it was not polled yet"
    )
    remarks: tuple[str, ...] = _told("Sentences about its state, the connection and the lists")
    slots: SlotsReport | None = _told("Connections and limit", null=_NO_NUMBERS)
    last_seen: LastSeenReport | None = _told(
        "What was last known", null="the last poll succeeded, or none ever did"
    )
    blocked_clients: int | None = _told(
        "Clients that wait in a blocking command", unit="clients", null=_NOT_TOLD
    )
    refused_total: int | None = _told(
        "Connections that the server refused since it started (rejected_connections)",
        unit="connections",
        null=_NOT_TOLD,
    )
    refused_per_second: float | None = _told(
        "Connections refused, average of the last 5 minutes or since the first poll",
        null=f"{_NOT_TOLD}, or only one poll succeeded",
    )
    poll: PollReport | None = _told("The last poll", null="there was none yet")
    client_list: ListReport | None = _told("The newest client list", null=_NO_LIST)
    list_failure: ListFailure | None = _told(
        "Why the last attempt to list the clients failed: timeout, cut_off, refused or unreadable",
        null="it did not fail",
    )
    apps: tuple[AppReport, ...] | None = _told("Who holds the connections, the largest first", null=_NO_LIST)
    denied: tuple[DeniedReport, ...] | None = _told(
        "Commands that are denied, and what is missing because of that", null=_NO_NUMBERS
    )
    connected_to: str | None = _told(
        "Address that the exporter's connection leads to", null="there is no connection, or a unix socket"
    )


@dataclass(frozen=True, slots=True)
class TargetAnswer:
    """The answer of `/api/v1/targets/NAME`."""

    version: int = _told("Version of this format")
    at_timestamp_seconds: float = _told("When this was made")
    target: TargetReport = _told("The target")


@dataclass(frozen=True, slots=True)
class TargetsAnswer:
    """The answer of `/api/v1/targets`."""

    version: int = _told("Version of this format")
    at_timestamp_seconds: float = _told("When this was made")
    targets: tuple[TargetReport, ...] = _told("All targets of this exporter, in configured order")
