"""The child of exporter/loading.py: reads everything, sends a Config or the faults, and ends."""

import contextlib
import os
import pickle
from collections.abc import Sequence
from dataclasses import replace

from exporter.model import Config, ConfigError, Fault
from exporter.settings.arguments import serve_sources
from exporter.settings.load import Sources, load
from exporter.settings.plain import plain_config
from exporter.settings.variables import ignored_variables


def answer(pipe: int, arguments: Sequence[str]) -> None:
    """Write what the daemon's own arguments, its environment and its file amount to into a pipe."""
    sources = serve_sources(arguments)  # exits by itself with help or a usage error
    found = _found(sources)
    # The daemon may have ended meanwhile.
    with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb") as written:
        pickle.dump(found, written)


def _found(sources: Sources) -> Config | tuple[Fault, ...]:
    ignored = ignored_variables(os.environ)
    try:
        return replace(plain_config(load(sources)), ignored=ignored)
    except ConfigError as error:
        return *error.faults, *ignored  # a misspelt variable may be why something is missing
    except MemoryError:
        return (Fault("settings", "there is not enough memory to read them"),)
