"""File descriptors: as many as the system allows, the last of them for HTTP and files and not for targets."""

import contextlib
import errno
import os
import resource
from pathlib import Path

from exporter.limits import DESCRIPTORS_KEPT

_MOST = 1 << 20  # where the system sets no limit, or one that only costs


def raise_limit() -> None:
    """Raise the soft limit of this process to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(OSError, ValueError):  # forbidden: then it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def limit() -> int:
    """How many this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else soft


def for_targets() -> int:
    """How many of them targets may take; half where there are few."""
    most = limit()
    return most - min(DESCRIPTORS_KEPT, most // 2)


def is_kept(descriptor: int) -> bool:
    """Whether a descriptor is one of those that targets may not take: the lowest are given out first."""
    return descriptor >= for_targets()


def check_room() -> None:
    """Look whether a target may take the next descriptor.

    Raises:
        OSError: EMFILE, it may not.

    """
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    if is_kept(lowest):
        raise too_many()


def too_many() -> OSError:
    """What the system says where there are none left."""
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def targets_that_fit(connected: int) -> int:
    """How many targets there can be a connection to, where so many are connected by now."""
    try:
        others = len(os.listdir(Path("/proc/self/fd"))) - 1 - connected  # noqa: PTH208  one of them is for this
    except OSError:  # another system
        return for_targets()
    return max(0, for_targets() - others)
