"""A disk that does not answer, like a mount whose server is gone: whoever looks at it waits for ever."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import need

_FORCE, _DETACH = 1, 2  # umount2(2)
_FUSE = "/dev/fuse"


@contextlib.contextmanager
def dead_disk(folder: Path) -> Iterator[Path]:
    """Mount one by FUSE, whose other side never reads a request; with the block's end all waiting ends."""
    need(os.geteuid() == 0 and os.access(_FUSE, os.R_OK | os.W_OK), "a disk of our own needs root and FUSE")
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    place, device = os.fsencode(folder), os.open(_FUSE, os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    try:
        failed = libc.mount(b"dead", place, b"fuse.dead", 0, options)
        need(not failed, f"a FUSE mount is not allowed here: {os.strerror(ctypes.get_errno())}")
        try:
            yield folder
        finally:
            libc.umount2(place, _FORCE | _DETACH)
    finally:
        os.close(device)
