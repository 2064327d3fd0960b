"""A regular file that does not answer, as on a dead mount: a lease makes who opens it wait."""

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def not_answering(path: Path) -> Iterator[None]:
    """Hold a lease on a file, and do not give it up when another process asks (fcntl(2), F_SETLEASE).

    The kernel gives it up after /proc/sys/fs/lease-break-time, 45 s.
    """
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel's request
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)
