"""What a metric family is, and the naming rules that it cannot break (prometheus.io, practices/naming)."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exporter.board import Watch

Row = tuple[tuple[str, ...], int | float]
Rows = Callable[[Watch], Iterable[Row]]
# Bounds of the buckets but the last, which has none; the number in each; and the sum of the values.
Buckets = tuple[Sequence[int], Sequence[int], int]
Distribution = Callable[[Watch], Buckets | None]

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_FOREIGN_UNITS = frozenset(
    ["ms", "msec", "milliseconds", "us", "usec", "microseconds", "minutes", "hours", "percent", "kb", "mb"]
)
_RESERVED_LABELS = frozenset(["target", "le", "quantile", "job", "instance", "cluster", "type"])
# One family says which instance of an app it is of; Prometheus renames that label beside its own.
_OF_AN_INSTANCE = "redis_app_worst_instance_connections"


def label(name: str, value: str) -> str:
    """A label as the exposition formats write it."""
    return f'{name}="{value.translate(_ESCAPES)}"'


class Kind(StrEnum):
    """The types that the exposition formats know and we use."""

    GAUGE = "gauge"
    COUNTER = "counter"
    GAUGE_HISTOGRAM = "gaugehistogram"


@dataclass(frozen=True, slots=True)
class Field:
    """A number of INFO that is copied to the page, digit by digit unless a factor changes its unit."""

    name: bytes
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Distributed:
    """A distribution as it is now: the buckets of a gauge histogram."""

    buckets: Distribution


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: what it is called, what it means, and the function (or INFO field) that feeds it.

    Every series carries `target` and that target's own labels; `labels` are those that a row adds. Where
    `depends_on` says what alone the rows are made of, they are written anew only when that has changed; a
    `part` of it is compared alone, and only when the whole is another object.
    """

    name: str
    kind: Kind
    help: str
    source: Field | Rows | Distributed
    labels: tuple[str, ...] = ()
    depends_on: Callable[[Watch], Any] | None = None
    part: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        """Refuse at import what promtool or a reader would complain about."""
        faults = [
            fault
            for wrong, fault in (
                (not _NAME.fullmatch(self.name), "not snake_case"),
                ((self.kind is Kind.COUNTER) != self.name.endswith("_total"), "counters end in _total"),
                (bool(_FOREIGN_UNITS & set(self.name.split("_"))), "base units only"),
                (not self.help.endswith("."), "HELP is a sentence"),
                ("\n" in self.help or "\\" in self.help, "HELP is one plain line"),
                (bool(self._reserved() & set(self.labels)), "reserved label"),
            )
            if wrong
        ]
        if faults:
            raise ValueError(f"{self.name}: {', '.join(faults)}")

    def _reserved(self) -> frozenset[str]:
        return _RESERVED_LABELS - {"instance"} if self.name == _OF_AN_INSTANCE else _RESERVED_LABELS
