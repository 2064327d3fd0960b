"""The child of exporter/loading.py: reads everything, sends a Config or the faults, and ends."""

import contextlib
import os
import pickle
import sys
from dataclasses import replace

from exporter.model import ConfigError
from exporter.settings.arguments import serve_sources
from exporter.settings.load import load
from exporter.settings.plain import plain_config
from exporter.settings.variables import ignored_variables


def main() -> None:
    """Answer into the pipe whose number is the first argument; the others are the daemon's own."""
    answer_to, *arguments = sys.argv[1:]
    sources = serve_sources(arguments)  # exits by itself with help or a usage error
    ignored = ignored_variables(os.environ)
    try:
        found: object = replace(plain_config(load(sources)), ignored=ignored)
    except ConfigError as error:
        found = (*error.faults, *ignored)  # a misspelt variable may be why something is missing
    # The daemon may have ended meanwhile.
    with contextlib.suppress(BrokenPipeError), os.fdopen(int(answer_to), "wb") as pipe:
        pickle.dump(found, pipe)


main()
