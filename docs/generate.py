"""Write docs/metrics.md, configuration.md, limits.md and api.md from the code that they tell of.

`make docs` runs it; tests/test_docs.py fails when a page is out of date.
"""

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from exporter.limits import KIB, MIB, Bound, bounds
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.own import OwnMetrics
from exporter.report import TargetAnswer, TargetsAnswer
from exporter.settings.flags import Leaf, fields_of, leaves, section_of
from exporter.settings.tree import Target

FOLDER = Path(__file__).parent


def metrics_page() -> str:
    """Every metric, its type, labels and meaning."""
    rows = [
        (family.name, family.kind.value, ", ".join(("target", *family.labels)), family.help)
        for family in CATALOGUE
    ]
    own = [
        (_exposed(family.name, family.type), family.type, _own_labels(family.samples), family.documentation)
        for family in OwnMetrics().registry.collect()
    ]
    return f"""# Metrics

Generated from `exporter/metrics/catalogue.py` by `make docs`; do not edit.

Every series of a target carries `target`, the configured name, and that target's own `labels`. A field that
a server's version does not have is absent, not 0. When a poll fails, `redis_up` is 0, `redis_target_state`
says why, the `redis_connection_exporter_*` series of that target stay, and all its other series go: no old
number is ever served. Values are those of the last poll (`poll.interval`), not of the moment of the scrape;
`redis_connection_exporter_last_success_timestamp_seconds` tells their age.

## Targets

{_table(("Metric", "Type", "Labels", "Meaning"), rows)}
## The exporter itself

{_table(("Metric", "Type", "Labels", "Meaning"), own)}"""


def _exposed(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def _own_labels(samples: list[typing.Any]) -> str:
    return ", ".join(samples[0].labels) if samples else ""


def configuration_page() -> str:
    """Every setting: key, flag, variable, default and meaning."""
    rows = [
        (leaf.key, _flag(leaf), f"`{leaf.variable}`", _default(leaf.field), leaf.field.description or "")
        for leaf in leaves()
    ]
    targets = [
        (key, _kind_default(field), field.description or "") for key, field in _target_fields(Target, "")
    ]
    return f"""# Configuration

Generated from `exporter/settings/tree.py` by `make docs`; do not edit.

One tree of settings is read from flags, environment variables and a YAML file (`--config.file`, or
`EXPORTER_CONFIG__FILE`). Flags win over variables, variables over the file, the file over defaults. Unknown
keys and bad values are refused, all of them at once: `redis-connection-exporter check-config FILE...` names
each with its file, line and path. With `--connect` it also tries every server once, those of all shards, and
gives each `poll.connect_timeout` and `poll.timeout`. A commented example is `config/exporter.yaml`.

A variable that begins with `EXPORTER_` and is no setting is ignored, with a warning in the log that says
which one it resembles. Those that Kubernetes makes for a Service called `exporter` or `exporter-...` are
ignored without one.

The file is a regular file of at most 10 MiB (`limits.md` has the other bounds). If it does not answer within
10 seconds, because the disk or the mount under it is gone, the start ends with exit code 2, and a reload
leaves the old settings in force.

Durations are written as in Prometheus: `500ms`, `5s`, `1m30s`. A list in a variable is written with commas.
SIGHUP reads everything again; a faulty file leaves the old settings in force, and connections of unchanged
targets stay open. Only `web.listen_address` needs a restart. With `web.enable_lifecycle: true`,
`POST /-/reload` does the same, at most once in `poll.interval`, and not for a page of another site. It
answers 200 when that is done, 500 with every fault, and after 8 seconds 202: the outcome is then the log
line `configuration loaded` or `configuration refused`, and the metric
`redis_connection_exporter_config_last_reload_successful`.

Passwords are given in the file, in a variable, or best in a `password_file`, which is read again at each
connect. They are refused on the command line and in URLs, and shown nowhere. `auth` holds for every target
that has no password of its own; where one server needs none, give each of the others its own instead.

Rules that rename (`clients.app.rename`, a list of `match` and `to`) are read by RE2, as in Prometheus, as
it reads any client's name in linear time: [its syntax](https://github.com/google/re2/wiki/Syntax). It refuses
what cannot be read so: looking ahead or behind, and references to a group inside of `match`. `\\w`, `\\d` and
`\\b` know ASCII only; `\\pL` is any letter. In `to`, `\\1` and `\\g<name>` are groups of `match`.

## Settings

{_table(("Key", "Flag", "Variable", "Default", "Meaning"), rows)}
## Targets

`targets` is a list in the file; `EXPORTER_TARGETS` holds it as JSON. URLs on the command line are added to
it.

{_table(("Key of a target", "Default", "Meaning"), targets)}"""


def _flag(leaf: Leaf) -> str:
    return "none, it is a secret" if leaf.secret else f"`{leaf.flag}`"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ("", {}, ()):
        return ""
    return f"`{', '.join(map(str, value)) if isinstance(value, tuple) else str(value).lower()}`"


def _kind_default(field: FieldInfo) -> str:
    return "" if section_of(field) else _default(field)


def _target_fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    fields = sorted(fields_of(model).items(), key=lambda item: item[0] not in ("name", "url"))
    for name, field in fields:
        section = section_of(field)
        if section is None:
            yield prefix + name, field
        else:
            yield from _target_fields(section, f"{prefix}{name}.")


def limits_page() -> str:
    """Every bound: of what, how much, and what happens above it."""
    parts = []
    for subject, group in groupby(bounds(), lambda bound: bound.subject):
        rows = "".join(f"| {bound.of} | {_amount(bound)} | {bound.above} |\n" for bound in group)
        parts.append(f"## {subject}\n\n| Of | At most | Above it |\n|---|---|---|\n{rows}")
    return """# Limits

Generated from `exporter/limits.py` by `make docs`; do not edit.

What servers, their clients, name servers, files and HTTP requests can make the exporter hold or do is
bounded here. Whoever goes beyond a bound hurts one target, or one request, and no other.

""" + "\n".join(parts)


def _amount(bound: Bound) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if bound.unit == "bytes" and bound.value % unit == 0:
            return f"{bound.value // unit:,} {name}"
    return f"{bound.value:,} {bound.unit}"


def api_page() -> str:
    """Every key of the API: type, unit, meaning, and when it is null."""
    parts = [_part(kind) for kind in _reports(TargetAnswer) | _reports(TargetsAnswer)]
    return (
        f"""# API

Generated from `exporter/report.py` by `make docs`; do not edit.

| Path | Answer |
|---|---|
| `/api/v1/targets/NAME` | [TargetAnswer](#targetanswer): everything about one target |
| `/api/v1/targets` | [TargetsAnswer](#targetsanswer): all targets, without instances and samples of apps |
| `/probe?target=NAME&debug=true` | text for people: what the last poll did, step by step, and why it failed |

Both `/api` paths answer with JSON. NAME is percent-encoded (`a%20b`); a name that is not configured is a 404.
The status page shows the same values. All who ask within a quarter of a second share one answer (within a
second where it takes long to make).

**Null means not known**, which is never 0; the last column says when that is. If a poll fails, `slots`,
`apps` and all other numbers of the server are null until one succeeds, and `last_seen` has what was last
known. Durations are in seconds, moments in Unix time. New keys may come within a `version`; a key is removed
or gets another meaning only in a new version.

```console
$ curl -s http://exporter.example:10051/api/v1/targets/orders |
>   jq '.target.apps[] | select(.verdict == "leaking") | .explanation'
"leaking: 132 of 149 left behind, worst cart-7c9f8d6b5-x2x9k"
```

{"".join(parts)}""".rstrip()
        + "\n"
    )


def _reports(kind: type) -> dict[type, None]:
    """A class of exporter/report.py, and all those that it holds, in the order in which they come up."""
    found = {kind: None}
    for hint in typing.get_type_hints(kind).values():
        for each in (hint, *_inside(hint)):
            if dataclasses.is_dataclass(each) and isinstance(each, type):
                found |= _reports(each)
    return found


def _inside(hint: object) -> Iterator[object]:
    for each in typing.get_args(hint):
        yield each
        yield from _inside(each)


def _part(kind: type) -> str:
    hints = typing.get_type_hints(kind)
    rows = []
    for each in dataclasses.fields(kind):
        unit = each.metadata["unit"] or next((unit for end, unit in _UNITS if each.name.endswith(end)), "")
        rows.append(
            (each.name, _type(hints[each.name]), unit, each.metadata["meaning"], each.metadata["null"])
        )
    head = ("Key", "Type", "Unit", "Meaning", "Null when")
    return f"## {kind.__name__}\n\n{kind.__doc__}\n\n{_table(head, rows)}\n"


_UNITS = (
    ("_timestamp_seconds", "Unix time"),
    ("_seconds", "seconds"),
    ("_per_second", "connections per second"),
    ("_bytes", "bytes"),
    ("_ratio", "0 to 1, or above"),
)
_TYPES = {int: "integer", float: "number", bool: "boolean"}


def _type(hint: typing.Any) -> str:  # noqa: ANN401  whatever is annotated
    if isinstance(hint, type) and issubclass(hint, str):  # enumerations too
        return "string"
    if hint in _TYPES:
        return _TYPES[hint]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    inner = [each for each in typing.get_args(hint) if each not in (type(None), Ellipsis)]
    if type(None) in typing.get_args(hint):
        return f"{_type(inner[0])} or null"
    if typing.get_origin(hint) is tuple:
        return f"list of {_type(inner[0])}"
    return f"object of {_type(inner[1])}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for first, *rest in rows:
        lines.append("| " + " | ".join([f"`{first}`", *(cell.replace("|", "\\|") for cell in rest)]) + " |")
    return "\n".join(lines) + "\n"


PAGES = {
    "metrics.md": metrics_page,
    "configuration.md": configuration_page,
    "limits.md": limits_page,
    "api.md": api_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
