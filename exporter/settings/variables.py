"""The environment variables that are settings, and those that only look as if they were."""

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic_settings import EnvSettingsSource

from exporter.limits import SETTINGS_LEVELS
from exporter.model import ConfigError, Fault
from exporter.settings.flags import variables
from exporter.settings.tree import ENVIRONMENT_PREFIX, Settings
from exporter.text import as_sentence

CONFIG_FILE_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG__FILE"

# What Kubernetes puts into every pod for a Service that is called "exporter" or "exporter-...".
_SERVICE_LINK = re.compile(
    r"EXPORTER_(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST=|SERVICE_PORT(?:_[A-Z0-9_]+)?="
    r"|PORT=(?:tcp|udp|sctp)://|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?=).*",
    re.DOTALL,
)
_LONGEST = 100  # characters of a name that are compared, which takes quadratic time
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)', re.DOTALL)
_JSON_BRACKET = re.compile(r"[\[{\]}]")


def read_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    """Read our variables as a tree, in the form of the file's.

    Raises:
        ConfigError: a variable that holds a section or a list of them is not JSON, or nested too deeply.

    """
    ours = {name: environment[name] for name in environment if name.upper() in _KNOWN}
    faults = [
        Fault(name, fault)
        for name, text in sorted(ours.items())
        if _KNOWN[name.upper()] and (fault := _fault_of_json(text))
    ]
    if faults:
        raise ConfigError(faults)
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): text for name, text in ours.items()}
    return source()


def ignored_variables(environment: Mapping[str, str]) -> tuple[Fault, ...]:
    """Name the variables that begin like ours and mean nothing; those of Kubernetes' Services are no news."""
    return tuple(
        Fault(as_sentence(name), _instead_of(name))
        for name in sorted(environment)
        if name.upper().startswith(ENVIRONMENT_PREFIX)
        and name.upper() not in _KNOWN
        and name != CONFIG_FILE_VARIABLE
        and not _SERVICE_LINK.fullmatch(f"{name}={environment[name]}")
    )


def _instead_of(name: str) -> str:
    known = [each.removeprefix(ENVIRONMENT_PREFIX) for each in (*_KNOWN, CONFIG_FILE_VARIABLE)]
    close = get_close_matches(name.upper().removeprefix(ENVIRONMENT_PREFIX)[:_LONGEST], known, n=1)
    advice = (
        f"did you mean {ENVIRONMENT_PREFIX}{close[0]}?"
        if close
        else "docs/configuration.md lists the variables"
    )
    return f"is ignored because it is no setting: {advice}"


def _fault_of_json(text: str) -> str | None:
    if _depth(text) > SETTINGS_LEVELS:
        return f"nested more than {SETTINGS_LEVELS} levels deep: write a list of targets"
    try:
        json.loads(text)
    except ValueError:
        return "not JSON: write it as JSON, or in the file"
    return None


def _depth(text: str) -> int:
    """How deep the brackets of JSON go, told without recursion; it need not be JSON."""
    depth = deepest = 0
    for bracket in _JSON_BRACKET.findall(_JSON_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


# Each name, and whether it holds sections, as JSON.
_KNOWN = dict(variables())
