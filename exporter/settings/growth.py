"""Bounds what a YAML text may grow to, before anything is built of it.

PyYAML's composer recurses, in C, so that a deep text ends the process; and an alias is cheap to write, and
stands for as much as its anchor holds. The events of the parser take neither a stack nor memory.
"""

import yaml

from exporter.limits import SETTINGS_LEVELS, SETTINGS_VALUE_CHARACTERS, SETTINGS_VALUES

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class GrowthError(Exception):
    """The text is beyond a bound, or an alias stands for a group that it is in; `line` counts from 1."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def refuse_what_grows(text: str) -> None:
    """Go through a text once, in linear time.

    Raises:
        GrowthError: it is too deep, too large with each alias written out, or without end.
        yaml.YAMLError: it is no YAML.

    """
    written_out = 0  # keys and values so far, with what aliases stand for
    opened: list[tuple[str | None, int]] = []  # groups and lists: the anchor, and what was written out before
    sizes: dict[str | None, int] = {}
    for event in yaml.parse(text, Loader=_Loader):
        fault = None
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, written_out))
            sizes.pop(event.anchor, None)
            written_out += 1
            fault = len(opened) > SETTINGS_LEVELS and f"nested more than {SETTINGS_LEVELS} levels deep"
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = written_out - before
        elif isinstance(event, yaml.ScalarEvent):
            sizes[event.anchor] = 1
            written_out += 1
            fault = len(event.value) > SETTINGS_VALUE_CHARACTERS and (
                f"a value of more than {SETTINGS_VALUE_CHARACTERS} characters"
            )
        elif isinstance(event, yaml.AliasEvent):
            written_out += sizes.get(event.anchor, 1)
            within = event.anchor not in sizes and event.anchor in (anchor for anchor, _ in opened)
            fault = within and "an alias stands for a group that it is in"
        if written_out > SETTINGS_VALUES:
            fault = f"more than {SETTINGS_VALUES} keys and values, with each alias written out"
        if fault:
            raise GrowthError(fault, event.start_mark.line + 1 if event.start_mark else None)
