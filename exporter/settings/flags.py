"""The settings tree seen as flags and environment variables."""

import types
import typing
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from exporter.settings.tree import ENVIRONMENT_PREFIX, Settings


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: its path in the file, and what the tree says of it."""

    path: tuple[str, ...]
    field: FieldInfo
    repeatable: bool
    secret: bool

    @property
    def key(self) -> str:
        """`web.listen_address`: how the file and error messages call it."""
        return ".".join(self.path)

    @property
    def flag(self) -> str:
        """`--web.listen-address`."""
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        """`EXPORTER_WEB__LISTEN_ADDRESS`."""
        return _variable(self.path)


def _holds(annotation: Any, kind: type) -> bool:  # noqa: ANN401  an annotation can be anything
    """Say whether an annotation is a kind, or a union or list that holds it."""
    return annotation is kind or any(_holds(part, kind) for part in typing.get_args(annotation))


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """Find the section that a field holds: itself, one of many in a list, or none."""
    for kind in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section by their keys, as the file calls them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def leaves(model: type[BaseModel] = Settings, prefix: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Walk every setting but the targets, which are a list of sections."""
    for name, field in fields_of(model).items():
        section = section_of(field)
        if section is None:
            repeatable = typing.get_origin(field.annotation) is tuple
            yield Leaf((*prefix, name), field, repeatable, _holds(field.annotation, SecretStr))
        elif _is_group(field):
            yield from leaves(section, (*prefix, name))


def variables(model: type[BaseModel] = Settings, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Every variable that is read, and whether it holds a section or a list of them, as JSON."""
    for name, field in fields_of(model).items():
        section = section_of(field)
        yield _variable((*prefix, name)), section is not None
        if section is not None and _is_group(field):
            yield from variables(section, (*prefix, name))


def _is_group(field: FieldInfo) -> bool:
    """Whether a field that holds a section is one, and no list of them."""
    return typing.get_origin(field.annotation) in (None, types.UnionType)


def _variable(path: tuple[str, ...]) -> str:
    return ENVIRONMENT_PREFIX + "__".join(path).upper()


def add_flags(parser: ArgumentParser) -> None:
    """Give the parser a flag for each setting; a secret has none, the process list would show it."""
    for leaf in leaves():
        if not leaf.secret:
            parser.add_argument(
                leaf.flag,
                dest=leaf.key,
                metavar=leaf.path[-1].upper(),
                action="append" if leaf.repeatable else "store",
                help=f"{leaf.field.description} {_default_text(leaf)}".strip().replace("%", "%%"),
            )


def _default_text(leaf: Leaf) -> str:
    default = leaf.field.default
    if default is None:
        return ""
    return f"Default: {', '.join(map(str, default)) if isinstance(default, tuple) else default}"


def given_flags(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Take the flags that were given from the parsed command line, as a tree."""
    tree: dict[str, Any] = {}
    for leaf in leaves():
        value = arguments.get(leaf.key)
        if value is not None:
            group = tree
            for step in leaf.path[:-1]:
                group = group.setdefault(step, {})
            group[leaf.path[-1]] = value
    return tree
