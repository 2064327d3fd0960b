"""Panels as values, and the JSON that Grafana's classic format wants for them.

Plain dataclasses: the Grafana SDK's builders made each panel about twice as long and its options no safer
than tests/test_dashboards.py, which reads the JSON back with the SDK's own types.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from grafana.promql import check_labels

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24

GREEN, YELLOW, ORANGE, RED = "green", "#EAB839", "orange", "red"
PURPLE, BLUE, GREY, DIM = "purple", "blue", "#8e8e8e", "#3d4148"
DASHED = {"fill": "dash", "dash": [8, 6]}


class Form(StrEnum):
    """How a query is asked, and what its answer is read as."""

    RANGE = "time_series"
    NOW = "instant"
    TABLE = "table"
    HEATMAP = "heatmap"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    expression: str
    legend: str = "__auto"
    form: Form = Form.RANGE

    def __post_init__(self) -> None:
        """Refuse labels that do not exist."""
        check_labels(self.expression, self.legend)

    def json(self, letter: str) -> Json:
        """Write it as a target of a panel."""
        instant = self.form in (Form.NOW, Form.TABLE)
        return {
            "refId": letter,
            "datasource": DATASOURCE,
            "expr": self.expression,
            "legendFormat": self.legend,
            "format": "time_series" if self.form is Form.NOW else self.form.value,
            "instant": instant,
            "range": not instant,
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: what it asks, what it means, how it looks."""

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    width: int
    height: int
    unit: str = ""
    options: Json = field(default_factory=dict)
    defaults: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()

    def json(self, number: int, x: int, y: int) -> Json:
        """Write it as the panel with this number at this place."""
        defaults = {"unit": self.unit} | self.defaults if self.unit else self.defaults
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "datasource": DATASOURCE,
            "targets": [query.json(chr(ord("A") + n)) for n, query in enumerate(self.queries)],
            "options": self.options,
            "fieldConfig": {"defaults": defaults, "overrides": [*self.overrides]},
            "transformations": [*self.transformations],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, in full lines; a collapsed one asks nothing until it is opened."""

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


def steps(base: str, *rest: tuple[float, str]) -> Json:
    """Thresholds: a colour, and from which value on which others."""
    return {
        "mode": "absolute",
        "steps": [{"color": base, "value": None}, *({"color": c, "value": v} for v, c in rest)],
    }


def coloured(base: str, *rest: tuple[float, str]) -> Json:
    """Colour by value."""
    return {"color": {"mode": "thresholds"}, "thresholds": steps(base, *rest)}


def override(name: str, **properties: object) -> Json:
    """Change how the field of this name looks; `custom__width` means `custom.width`."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }


def fixed(name: str, colour: str, **properties: object) -> Json:
    """Give the field of this name its colour, whatever else is shown."""
    return override(name, color={"mode": "fixed", "fixedColor": colour}, **properties)


def texts(by_value: Mapping[int, tuple[str, str]]) -> Json:
    """Map numbers to texts and colours."""
    options = {
        str(value): {"text": text, "color": colour, "index": value}
        for value, (text, colour) in by_value.items()
    }
    return {"mappings": [{"type": "value", "options": options}]}


# The same app has the same colour in every panel.
_BY_NAME: Json = {"color": {"mode": "palette-classic-by-name"}}
OTHER = fixed("other", GREY)


def lines(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    width: int,
    height: int = 8,
    stacked: bool = False,
    overrides: Sequence[Json] = (),
    decimals: int | None = None,
    top: float | None = None,
    signed: bool = False,
    nothing: str = "No data",
) -> Panel:
    """A time series, as lines or as areas on top of one another."""
    narrow = width < WIDTH / 2
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 70 if stacked else 8,
        "showPoints": "auto",
        "pointSize": 4,
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    defaults: Json = _BY_NAME | {"custom": custom, "noValue": nothing}
    if signed:
        custom["axisSoftMin"] = 0
    else:
        defaults["min"] = 0
    if decimals is not None:
        defaults["decimals"] = decimals
    if top is not None:
        defaults["max"] = top
    return Panel(
        "timeseries",
        title,
        description,
        queries,
        width,
        height,
        unit,
        options={
            "legend": {
                "displayMode": "table",
                "placement": "bottom" if narrow else "right",
                "showLegend": True,
                "calcs": ["lastNotNull", "max"],
                "sortBy": "Last *",
                "sortDesc": True,
            }
            | ({} if narrow else {"width": 330}),
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        defaults=defaults,
        overrides=[OTHER, *overrides],
    )


def limit_line(name: str, colour: str) -> Json:
    """A dashed line that is not part of the stack."""
    return fixed(
        name,
        colour,
        custom__stacking={"mode": "none", "group": name},
        custom__fillOpacity=0,
        custom__lineWidth=2,
        custom__lineStyle=DASHED,
    )


def stat(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    width: int,
    look: Json,
    named: bool = False,
    nothing: str = "-",
    decimals: int | None = None,
    height: int = 4,
) -> Panel:
    """One number, with the name of its series where that is the answer; grey without data."""
    defaults = look | {"noValue": nothing}
    absent = {"match": "null", "result": {"text": nothing, "color": DIM}}
    defaults["mappings"] = [*look.get("mappings", []), {"type": "special", "options": absent}]
    if decimals is not None:
        defaults["decimals"] = decimals
    return Panel(
        "stat",
        title,
        description,
        [query],
        width,
        height,
        unit,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "center",
            "orientation": "auto",
            "textMode": "value_and_name" if named else "auto",
        },
        defaults=defaults,
    )


def bars(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    width: int,
    height: int = 8,
    overrides: Sequence[Json] = (),
) -> Panel:
    """Bars of what is so now, the longest first where the query sorts them."""
    return Panel(
        "bargauge",
        title,
        description,
        queries,
        width,
        height,
        unit,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
            "displayMode": "basic",
            "orientation": "horizontal",
            "namePlacement": "left",
            "valueMode": "text",
            "showUnfilled": True,
            "sizing": "manual",
            "minVizHeight": 16,
            "maxVizHeight": 24,
            "minVizWidth": 8,
            "text": {"titleSize": 12, "valueSize": 14},
        },
        defaults=coloured(BLUE) | {"min": 0, "noValue": "-"},
        overrides=overrides,
    )


def heatmap(title: str, description: str, query: Query, *, width: int, height: int = 8) -> Panel:
    """How many are in which bucket, over time."""
    return Panel(
        "heatmap",
        title,
        description,
        [query],
        width,
        height,
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "reverse": False},
            "yAxis": {"axisPlacement": "left", "unit": "s"},
            "cellValues": {"unit": "short", "decimals": 0},
            "rowsFrame": {"layout": "auto"},
            "legend": {"show": False},
            "tooltip": {"mode": "single", "yHistogram": False},
            "filterValues": {"le": 1e-9},
        },
    )


def timeline(
    title: str,
    description: str,
    queries: Sequence[Query],
    values: Mapping[int, tuple[str, str]],
    *,
    width: int,
    height: int,
    nothing: str = "No data",
) -> Panel:
    """Which state when, one line for each series."""
    return Panel(
        "state-timeline",
        title,
        description,
        queries,
        width,
        height,
        options={
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "left",
            "rowHeight": 0.8,
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        defaults={
            "color": {"mode": "fixed", "fixedColor": GREY},
            "custom": {"fillOpacity": 80, "lineWidth": 0},
            "noValue": nothing,
        }
        | texts(values),
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: a query's value, or a label, which may be that of a query of its own."""

    name: str
    query: str = ""
    label: str = ""
    unit: str = "locale"
    look: Json = field(default_factory=dict)
    link: str = ""
    width: int | None = None

    def override(self) -> Json:
        """Write how its cells look."""
        properties: Json = {"noValue": ""} | ({} if self.label else {"unit": self.unit}) | self.look
        if self.width is not None:
            properties["custom.width"] = self.width
        if self.link:
            properties["links"] = [{"title": "Open ${__value.text}", "url": self.link}]
        return override(self.name, **properties)


def table(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    sort: Sequence[str],
    width: int,
    height: int,
    nothing: str = "No data",
) -> Panel:
    """One row for each set of labels, made of the answers of several queries."""
    asked = [column for column in columns if column.query]
    values = ["Value"] if len(asked) == 1 else [f"Value #{chr(ord('A') + n)}" for n in range(len(asked))]
    value_of = {column.name: value for column, value in zip(asked, values, strict=True)}
    field_of = {column.name: column.label or value_of[column.name] for column in columns}
    unused = [value_of[column.name] for column in asked if column.label]
    return Panel(
        "table",
        title,
        description,
        [Query(column.query, form=Form.TABLE) for column in asked],
        width,
        height,
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "sortBy": [{"displayName": column, "desc": True} for column in sort],
        },
        defaults={
            "color": {"mode": "thresholds"},
            "thresholds": steps("text"),
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False},
            "noValue": nothing,
        },
        overrides=[column.override() for column in columns],
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": dict.fromkeys(("Time", *unused), True),
                    "indexByName": {field: place for place, field in enumerate(field_of.values())},
                    "renameByName": {field: name for name, field in field_of.items()},
                },
            },
        ],
    )


def text(title: str, description: str, markdown: str, *, width: int, height: int) -> Panel:
    """Words."""
    options = {"mode": "markdown", "content": markdown}
    return Panel("text", title, description, [], width, height, options=options)


def place(rows: Iterable[Row]) -> list[Json]:
    """Number the panels and lay them out: rows below one another, in each the panels in full lines.

    Raises:
        ValueError: a line is not as wide as the dashboard, or its panels differ in height.

    """
    placed: list[Json] = []
    number, y = 0, 0
    for row in rows:
        number += 1
        heading: Json = {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": row.collapsed,
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            "panels": [],
        }
        placed.append(heading)
        within = heading["panels"] if row.collapsed else placed
        x, y = 0, y + 1
        for panel, after in zip(row.panels, [*row.panels[1:], None], strict=True):
            number += 1
            within.append(panel.json(number, x, y))
            x += panel.width
            if x == WIDTH:
                x, y = 0, y + panel.height
            elif x > WIDTH or after is None or after.height != panel.height:
                raise ValueError(f"{row.title}: the line with {panel.title!r} is not full, or uneven")
    return placed
