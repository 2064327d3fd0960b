"""Pieces of queries. A metric or label name that is not in the catalogue stops the build."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.own import OwnMetrics
from exporter.metrics.spec import Kind

ALERTS = Path(__file__).parent.parent / "alerts"

# What Prometheus itself adds.
_SCRAPE_LABELS = frozenset(["target", "job", "instance", "exported_instance"])
_ALERT_LABELS = frozenset(["alertname", "alertstate", "severity", "app"])
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) \(([^)]*)\)")
_LEGEND_LABEL = re.compile(r"{{(\w+)}}")

TARGETS: Mapping[str, str] = {"job": "$job", "target": "$target"}


@cache
def _labels_of_metrics() -> dict[str, frozenset[str]]:
    known = {"ALERTS": _ALERT_LABELS, "ALERTS_FOR_STATE": _ALERT_LABELS}
    for family in CATALOGUE:
        suffixed = family.kind is Kind.GAUGE_HISTOGRAM
        known[f"{family.name}_bucket" if suffixed else family.name] = frozenset(
            (*family.labels, *(["le"] if suffixed else []))
        )
    for own in OwnMetrics().registry.collect():
        known |= {sample.name: frozenset(sample.labels) for sample in own.samples}
    return known


def series(metric: str, **labels: str) -> str:
    """Select the series of a metric within the dashboard's variables, and by labels of its own."""
    return scoped(TARGETS, metric, **labels)


def scoped(scope: Mapping[str, str], metric: str, **labels: str) -> str:
    """Select the series of a metric within a scope, and by labels of its own.

    A value with `$`, `.` or `|` is a regular expression, and a leading `!` negates.

    Raises:
        ValueError: there is no such metric, or it has no such label.

    """
    known = _labels_of_metrics().get(metric)
    if known is None:
        raise ValueError(f"{metric}: no such metric; see docs/metrics.md")
    if unknown := labels.keys() - known:
        raise ValueError(f"{metric} has no label {', '.join(sorted(unknown))}; it has {sorted(known)}")
    matchers = ",".join(_matcher(label, value) for label, value in (labels | dict(scope)).items())
    return f"{metric}{{{matchers}}}" if matchers else metric


def _matcher(label: str, value: str) -> str:
    negated, wanted = value.startswith("!"), value.removeprefix("!")
    if set("$.|") & set(wanted):
        return f'{label}{"!~" if negated else "=~"}"{wanted}"'
    return f'{label}{"!=" if negated else "="}"{wanted}"'


def highest(metric: str, **labels: str) -> str:
    """The value of each series of a target, the highest of all exporters that watch it."""
    return _once(metric, series(metric, **labels))


def listed(metric: str, **labels: str) -> str:
    """The value of each series of a target, all from its newest list of the clients.

    Two exporters list at different times. Parts of two lists do not add up to either: a client that was
    active in one and idle in the other would count twice.
    """
    lists = series("redis_connection_exporter_client_list_timestamp_seconds")
    return _once(
        metric, f"{series(metric, **labels)} and on (target, job, instance) topk by (target) (1, {lists})"
    )


def per_second(metric: str, **labels: str) -> str:
    """The rate of a counter for each series of a target, the highest of all exporters that watch it."""
    return _once(metric, f"rate({series(metric, **labels)}[$__rate_interval])")


def _once(metric: str, expression: str) -> str:
    return f"max by ({', '.join(('target', *sorted(_labels_of_metrics()[metric])))}) ({expression})"


def total(expression: str, *by: str) -> str:
    """The sum over all but the given labels."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def check_labels(*texts: str) -> None:
    """Refuse a label in a grouping or a legend that no metric has.

    Raises:
        ValueError: a label is unknown.

    """
    known = _SCRAPE_LABELS.union(*_labels_of_metrics().values())
    for text in texts:
        named = [label.strip() for group in _GROUPING.findall(text) for label in group.split(",")]
        if unknown := {*filter(None, named), *_LEGEND_LABEL.findall(text)} - known:
            raise ValueError(f"no metric has the label {', '.join(sorted(unknown))}: {text}")


@cache
def threshold(name: str) -> float:
    """A number that the alerts compare with, from alerts/thresholds.yml.

    Raises:
        KeyError: it is not there.

    """
    groups = yaml.safe_load((ALERTS / "thresholds.yml").read_text())["groups"]
    found = {
        rule["labels"]["name"]: rule["expr"]
        for group in groups
        for rule in group["rules"]
        if "name" in rule.get("labels", {})
    }
    return float(re.fullmatch(r"vector\((.+)\)", found[name])[1])  # type: ignore[index]
