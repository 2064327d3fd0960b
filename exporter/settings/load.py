"""Merge flags, environment and file into one validated tree, or report every fault at once."""

import contextlib
import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from exporter.limits import SETTINGS_FAULTS
from exporter.model import ConfigError, Fault
from exporter.settings.file import ConfigFile, FileError, read_file
from exporter.settings.flags import fields_of, section_of
from exporter.settings.tree import ENVIRONMENT_PREFIX, Settings, Web
from exporter.settings.variables import CONFIG_FILE_VARIABLE, read_variables
from exporter.text import as_sentence

_Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where one start took its settings from; a reload reads the same places again."""

    file: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    urls: tuple[str, ...] = ()


def load(sources: Sources) -> Settings:
    """Read every source and return the settings.

    Raises:
        ConfigError: with every fault, each with its flag, variable, or line and path in the file.

    """
    file = _file(sources.file)
    environment = read_variables(os.environ)
    tree = _merged(_merged(file.tree if file else {}, environment), sources.flags)
    configured = tree.get("targets") or []
    if isinstance(configured, list):
        tree["targets"] = [*configured, *({"url": url} for url in sources.urls)]
    try:
        settings = Settings(**{key: value for key, value in tree.items() if value is not None})
    except ValidationError as error:
        names = _Names(sources, file, environment, len(configured) if isinstance(configured, list) else 0)
        found = error.errors(include_url=False, include_input=False)
        faults = [
            Fault(names.where(_nameable(details, tree), details["loc"]), _message(details, tree))
            for details in found[:SETTINGS_FAULTS]
        ]
        if len(found) > SETTINGS_FAULTS:
            faults.append(Fault("settings", f"{len(found) - SETTINGS_FAULTS} faults more"))
        raise ConfigError(faults) from None
    return settings


def load_web(sources: Sources) -> Web:
    """Read where the exporter listens, whatever is wrong with the rest: it may run on older settings.

    Raises:
        ConfigError: the flag or variable of an address is faulty.

    """
    file, environment = None, dict[str, Any]()
    with contextlib.suppress(ConfigError):
        file = _file(sources.file)
    with contextlib.suppress(ConfigError):
        environment = read_variables(os.environ)
    for tree in (file.tree if file else {}, {}):
        merged = _merged(_merged(tree, environment), sources.flags).get("web") or {}
        try:
            return Web.model_validate(merged)
        except ValidationError as error:
            fault = Fault("web", error.errors(include_url=False, include_input=False)[0]["msg"])
    raise ConfigError([fault])


def _file(path: Path | None) -> ConfigFile | None:
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    chosen = path or (Path(named) if named else None)
    if chosen is None:
        return None
    try:
        return read_file(chosen)
    except FileError as error:
        name = as_sentence(str(chosen))
        where = f"{name}:{error.line}" if error.line else name
        raise ConfigError([Fault(where, str(error))]) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one tree over another; groups are merged, anything else is replaced."""
    tree = dict(below)
    for key, value in above.items():
        old = tree.get(key)
        tree[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return tree


@dataclass(frozen=True, slots=True)
class _Names:
    """Says where a value of the merged tree came from, in the words of its source."""

    sources: Sources
    file: ConfigFile | None
    environment: Mapping[str, Any]
    configured_targets: int

    def where(self, location: _Location, found: _Location) -> str:
        if location[:1] == ("targets",) and len(location) > 1 and isinstance(location[1], int):
            number = location[1] - self.configured_targets
            if number >= 0:
                return f"URL {number + 1} on the command line"
        keys = tuple(itertools.takewhile(lambda step: isinstance(step, str), location))
        path = _path(location)
        if keys and _has(self.sources.flags, keys):
            return "--" + ".".join(map(str, keys)).replace("_", "-")
        if keys and _has(self.environment, keys):
            variable = ENVIRONMENT_PREFIX + "__".join(map(str, keys)).upper()
            return variable if keys == location else f"{variable}: {path}"
        if self.file is None:
            return path
        return f"{as_sentence(str(self.file.path))}:{self.file.line_of(found)}: {path}".removesuffix(": ")


def _has(tree: Any, keys: _Location) -> bool:  # noqa: ANN401  a tree of plain values
    for key in keys:
        if not isinstance(tree, Mapping) or key not in tree:
            return False
        tree = tree[key]
    return True


def _path(location: _Location) -> str:
    """`targets[1].tls.ca_file`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")


_MESSAGES = {
    "missing": "is missing",
    "model_type": "not a group of keys: write key: value pairs below it",
    "dict_type": "not a group of keys: write key: value pairs below it",
    "tuple_type": "not a list: write each item behind a dash",
    "string_type": "not text: put it in quotes",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "path_type": "write the path of a file",
    "string_too_short": "is empty: write a value or leave the key out",
    "too_short": "is empty: write a value or leave the key out",
    "string_pattern_mismatch": "not a label name: write letters, digits and _, a letter first",
}


def _message(details: ErrorDetails, tree: Mapping[str, Any]) -> str:
    if details["type"] == "extra_forbidden":
        return _unknown_key(details["loc"], tree)
    message = _MESSAGES.get(details["type"], details["msg"]).removeprefix("Value error, ")
    return re.sub("^Input should be (?=greater|less)", "write a number ", message).replace(
        "Input should be ", "write "
    )


def _unknown_key(location: _Location, tree: Mapping[str, Any]) -> str:
    if _value(tree, location) is None:
        return "unknown key without a value: put a value that holds a comma in quotes"
    close = _close(location)
    if close is not None:
        return f"unknown key: did you mean {close}?"
    return f"unknown key: write one of {', '.join(fields_of(_section(location[:-1])))}"


def _close(location: _Location) -> str | None:
    """The known key that an unknown one resembles."""
    known = fields_of(_section(location[:-1]))
    return next(iter(get_close_matches(str(location[-1]), known, n=1)), None)


def _nameable(details: ErrorDetails, tree: Mapping[str, Any]) -> _Location:
    """Where a fault stands; a key that resembles none of ours may be half a password and is not repeated.

    `{password: a,b}` makes such a key, `password:b : x` another.
    """
    location = details["loc"]
    unknown = details["type"] == "extra_forbidden"
    hidden = unknown and (_value(tree, location) is None or _close(location) is None)
    return location[:-1] if hidden else location


def _value(tree: Any, location: _Location) -> object:  # noqa: ANN401  a tree of plain values
    for step in location:
        tree = tree[step]
    return tree


def _section(location: _Location) -> type[BaseModel]:
    section: type[BaseModel] = Settings
    for step in location:
        if isinstance(step, str):
            section = section_of(fields_of(section)[step]) or section
    return section
