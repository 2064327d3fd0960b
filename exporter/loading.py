"""Read the settings in a process of its own, which ends when it has done so.

pydantic and PyYAML read a configuration well, and would then lie idle in the daemon: with them it was 51 MB
large, without them it is 38. In a child they start beside the daemon's own imports and leave nothing behind,
and a reload of many targets holds up no poll.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from exporter.model import Config, ConfigError

_PATIENCE_SECONDS = 30.0  # a file can lie on a disk that does not answer


def _import_path() -> list[str]:
    """Where this very package lies, installed or not, and what the user had set."""
    own = str(Path(__file__).parent.parent)
    return [own, *filter(None, [os.environ.get("PYTHONPATH")])]


class Loading:
    """A child that reads command line, environment and file, begun as soon as this is made.

    Raises:
        OSError: the machine cannot start a process.

    """

    def __init__(self, arguments: Sequence[str]) -> None:
        reading, writing = os.pipe()
        self._result = os.fdopen(reading, "rb")
        try:
            self._child = subprocess.Popen(  # noqa: S603  our own module, with the arguments that we were given
                # -P: what lies in the working directory is not ours to import.
                [sys.executable, "-P", "-m", "exporter.settings", str(writing), *arguments],
                pass_fds=[writing],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
                process_group=0,  # Ctrl-C is for us
            )
        finally:
            os.close(writing)

    def finish(self) -> Config | int:
        """Wait for the configuration; an exit code instead, when the child printed help or usage, or failed.

        Raises:
            ConfigError: the settings are faulty.

        """
        impatience = threading.Timer(_PATIENCE_SECONDS, self._child.kill)
        impatience.daemon = True
        impatience.start()
        try:
            with self._result as result:
                answer = result.read()
            code = self._child.wait()
        finally:
            impatience.cancel()
        if code or not answer:
            return code
        found = pickle.loads(answer)  # noqa: S301  our own child wrote it into a pipe that nobody else has
        if isinstance(found, Config):
            return found
        raise ConfigError(found)
