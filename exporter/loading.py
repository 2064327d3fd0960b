"""Read the settings in a process of its own, which ends when it has done so.

pydantic and PyYAML read a configuration well, and would then lie idle in the daemon: with them it was 51 MB
large, without them it is 38. In a child they start beside the daemon's own imports and leave nothing behind,
and a reload of many targets holds up no poll.
"""

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Self

from exporter.limits import SETTINGS_SECONDS
from exporter.model import Config, ConfigError, Fault
from exporter.patterns import compile_rules

# The child imports from where we do and in the same order: PYTHONPATH would put our packages before Python's.
_PROGRAM = """\
import sys
sys.path[:] = {path}
from exporter.lifeline import end_with
end_with({parent})
from exporter.settings.child import answer
answer({pipe}, sys.argv[1:])
"""
_USAGE_ERROR = 2
_MOMENT_SECONDS = 2.0  # for a process to end that has answered, or was killed
_CHUNK = 1 << 20


class Loading:
    """A child that reads command line, environment and file, begun as soon as this is made.

    It is a context that ends the child. The kernel ends it too, with the thread that made this.

    Raises:
        OSError: the machine cannot start a process.

    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._until = time.monotonic() + SETTINGS_SECONDS
        self._answer, writing = os.pipe()
        program = _PROGRAM.format(path=ascii(sys.path), parent=os.getpid(), pipe=writing)
        try:
            self._child = subprocess.Popen(  # noqa: S603  our own module, with the arguments that we were given
                # -P: what lies in the working directory is not ours to import.
                [sys.executable, "-P", "-c", program, *arguments],
                pass_fds=[writing],
                process_group=0,  # Ctrl-C is for us
            )
        except BaseException:
            os.close(self._answer)
            raise
        finally:
            os.close(writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._answer)
        self._child.kill()  # nothing, where it has ended
        with contextlib.suppress(subprocess.TimeoutExpired):  # the disk under it does not answer at all
            self._child.wait(_MOMENT_SECONDS)

    def finish(self) -> Config | int:
        """Wait for the configuration; the exit code instead, when the child printed help or usage.

        Raises:
            ConfigError: the settings are faulty, or could not be read.

        """
        answer = self._read()
        if answer is None:
            raise _failure(
                f"not read within {SETTINGS_SECONDS} s, and given up: is the machine busy, or a disk gone?"
            )
        code = self._ended_with()
        if code in (0, _USAGE_ERROR) and not answer:
            return code
        if code or not answer:
            raise _failure(f"the process that reads them {_end_of(code)}")
        found = pickle.loads(answer)  # noqa: S301  our own child wrote it into a pipe that nobody else has
        if isinstance(found, Config):
            compile_rules(found.clients.rules.rename)  # the loop then finds them in RE2's cache
            return found
        raise ConfigError(found)

    def _read(self) -> bytes | None:
        """All that the child writes until it closes the pipe; None when that takes too long."""
        readable = select.poll()
        readable.register(self._answer, select.POLLIN)
        answer = bytearray()
        while readable.poll(max(0.0, self._until - time.monotonic()) * 1000):
            chunk = os.read(self._answer, _CHUNK)
            if not chunk:
                return bytes(answer)
            answer += chunk
        return None

    def _ended_with(self) -> int | None:
        """The child's exit code; None when it hangs although it has closed the pipe."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._child.wait(_MOMENT_SECONDS)
        return None


def _failure(message: str) -> ConfigError:
    return ConfigError([Fault("settings", message)])


def _end_of(code: int | None) -> str:
    if code is None:
        return "hangs without an answer"
    if code < 0:
        return f"was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"failed with exit code {code}"
