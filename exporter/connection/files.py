"""Files that a connection needs: each is read within bounds, or refused with a sentence that names it."""

import os
import re
import stat
import time
from functools import lru_cache
from pathlib import Path

from exporter.text import as_sentence

_MOUNTS = "/proc/self/mountinfo"
_MOUNTS_SECONDS = 10.0  # for which they are remembered
_ESCAPED = re.compile(r"\\([0-7]{3})")  # proc(5): a space, for one


class FileError(Exception):
    """A file cannot be used; `detail` names it and says why, without any of its content."""

    def __init__(self, detail: str) -> None:
        self.detail = as_sentence(detail)
        super().__init__(self.detail)


def read_file(key: str, path: Path, most: int) -> bytes:
    """Read at most `most` bytes of the file that a key of the settings names. It blocks.

    Raises:
        FileError: it is missing, not readable, larger, or not a regular file. A pipe would block for ever,
            and what it holds can be read only once.

    """
    name = f"{key} {path}"
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            kind = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(kind):
                raise FileError(f"{name} is not a regular file")
            content = file.read(most + 1)
    except OSError as error:
        raise FileError(f"{name} {_why(error)}") from None
    if len(content) > most:
        raise FileError(f"{name} is larger than {most // 1024} KiB: is it the right file?")
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, IsADirectoryError):
        return "is a directory: write the path of a file in it"
    if isinstance(error, PermissionError):
        return f"cannot be read by user {os.geteuid()} (the exporter's): {error.strerror}"
    return f"cannot be read: {error.strerror}"


def mount_of(path: Path) -> str:
    """The mount that a path lies on, as it is written: symbolic links may lead elsewhere. Never blocks.

    All files of a mount hang together when it does.
    """
    try:
        inside = os.path.abspath(path)  # noqa: PTH100  Path.resolve would look at the disk
    except OSError:  # the working directory is gone
        return "/"
    mounts = _mounts(int(time.monotonic() / _MOUNTS_SECONDS))
    return next((mount for mount in mounts if inside == mount or inside.startswith(f"{mount}/")), "/")


@lru_cache(maxsize=1)
def _mounts(_moment: int) -> tuple[str, ...]:
    """Where something is mounted, the longest paths first."""
    try:
        lines = Path(_MOUNTS).read_text(errors="surrogateescape").splitlines()
    except OSError:  # another system
        return ()
    places = {_ESCAPED.sub(lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in lines}
    return tuple(sorted(places - {"/"}, key=len, reverse=True))
