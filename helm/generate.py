"""Write what in the chart follows from the rest of the project, and from the comments of its values.yaml.

`make docs` runs it; tests/test_chart.py fails when a file is out of date.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

import yaml

from exporter import __version__
from exporter.settings.flags import Leaf, leaves
from helm.schema import BESIDE_CONFIG, schema_of_values

ROOT = Path(__file__).parent.parent
CHART = Path(__file__).parent / "redis-connection-exporter"
_WIDTH = 115
_HEAD = "## Values\n\n| Key | Default | Meaning |\n| --- | --- | --- |\n"


def generated() -> dict[Path, str]:
    """Every generated file of the chart, with what it should hold."""
    values = _values()
    described = dict(_described(values))
    tree = yaml.safe_load(values)
    schema = schema_of_values(tree, described)
    table = "\n".join(_row(key, text, _at(tree, key)) for key, text in described.items())
    texts = {
        "Chart.yaml": re.sub(r"(?m)^appVersion: .*", f"appVersion: {__version__}", _read("Chart.yaml")),
        "values.yaml": values,
        "values.schema.json": json.dumps(schema, indent=1) + "\n",
        "README.md": _read("README.md").partition(_HEAD)[0] + f"{_HEAD}{table}\n",
    }
    return {CHART / name: text for name, text in texts.items()} | _copies()


def _read(name: str) -> str:
    return (CHART / name).read_text()


def _copies() -> dict[Path, str]:
    """Rules and dashboards: Helm reads no file outside of the chart, and warns of a link to one."""
    sources = {"rules": ROOT.glob("alerts/*.yml"), "dashboards": ROOT.glob("grafana/dashboards/*.json")}
    return {
        CHART / "files" / folder / path.name: path.read_text()
        for folder, paths in sources.items()
        for path in paths
    }


def _values() -> str:
    """Put the settings' and the thresholds' defaults into values.yaml, each up to the next empty line."""
    text = _read("values.yaml")
    for head, block in (("config:\n", _settings_block()), ("  thresholds:\n", _thresholds_block())):
        text = re.sub(rf"(?ms)^({head}).*?(?=^$)", lambda found, block=block: found[1] + block, text, count=1)  # type: ignore[misc]
    return text


def _settings_block() -> str:
    lines: list[str] = []
    above: tuple[str, ...] = ()
    for leaf in leaves_of_config():
        for depth, section in enumerate(leaf.path[:-1]):
            if above[: depth + 1] != leaf.path[: depth + 1]:
                lines.append(f"{'  ' * (depth + 1)}{section}:")
        above = leaf.path
        indent = "  " * len(leaf.path)
        lines += _comment(f"-- {leaf.field.description}", indent)
        lines.append(f"{indent}{leaf.path[-1]}: {_flow(_default(leaf))}")
    return "\n".join(lines) + "\n"


def leaves_of_config() -> Iterator[Leaf]:
    """Every setting below `config`, but those whose default is that there is none, and lists of sections."""
    return (leaf for leaf in leaves() if leaf.path[0] not in BESIDE_CONFIG and _default(leaf) is not None)


def _default(leaf: Leaf) -> Any:  # noqa: ANN401  any value of YAML
    value = leaf.field.default
    return [str(each) for each in value] if isinstance(value, tuple) else value


def _thresholds_block() -> str:
    """Take the numbers from the rules that hold them, with the comments above."""
    text = (ROOT / "alerts" / "thresholds.yml").read_text()
    above = text.splitlines()
    lines: list[str] = []
    for rule in chain.from_iterable(group["rules"] for group in yaml.safe_load(text)["groups"]):
        if rule.get("record") == "redis_connection:threshold":
            name = rule["labels"]["name"]
            first = next(number for number, line in enumerate(above) if re.search(rf"name: {name}\b", line))
            comments = takewhile(lambda line: line.lstrip().startswith("#"), reversed(above[:first]))
            lines += reversed([f"    {comment.strip()}" for comment in comments])
            lines.append(f"    {name}: {rule['expr'].removeprefix('vector(').removesuffix(')')}")
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: str) -> Iterator[str]:
    line = f"{indent}#"
    for word in text.split(" "):
        if len(line) + 1 + len(word) > _WIDTH:
            yield line
            line = f"{indent}#"
        line += f" {word}"
    yield line


def _described(values: str) -> Iterator[tuple[str, str]]:
    """The keys of values.yaml under a comment that begins with `# -- `, with that comment."""
    path: list[str] = []
    comment: list[str] = []
    for line in values.splitlines():
        if note := re.fullmatch(r" *# (-- )?(.*)", line):
            if note[1] or comment:
                comment = [*([] if note[1] else comment), note[2]]
        elif key := re.match(r"( *)([A-Za-z_]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            if comment:
                yield ".".join(path), " ".join(comment)
            comment = []
        else:
            comment = []


def _row(key: str, text: str, value: object) -> str:
    default = _flow(value)
    shown = "see values.yaml" if len(default) > 60 else f"`{default}`"  # noqa: PLR2004
    return f"| `{key}` | {shown} | {text.replace('|', chr(92) + '|')} |"


def _flow(value: object) -> str:
    """One line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...").replace("''", '""')


def _at(tree: Mapping[str, Any], key: str) -> object:
    value: Any = tree
    for step in key.split("."):
        value = value[step]
    return value


def stale() -> list[Path]:
    """The files of the chart that are out of date, copies of files that are gone included."""
    wanted = generated()
    present = {path for path in (CHART / "files").rglob("*") if path.is_file()}
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    return sorted({*changed, *(present - wanted.keys())})


def main() -> None:
    """Write every file that is out of date."""
    wanted = generated()
    for path in stale():
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()


if __name__ == "__main__":
    main()
