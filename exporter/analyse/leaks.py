"""Which connections were left behind, by what one list tells of their lives.

A pool opens a connection only while all that it has are in use. So where a process opened a connection after
another of its own was last used, that other one was lost: nobody gave it back. One such pair may be chance (a
second pool, a broken connection); a chain of lives, each opened after the one before was last used, is not.
"""

import math
from collections.abc import Collection, Iterable, Sequence

LINKS = 5  # of a chain that is no chance
_MANY = 10  # left behind at once are no chance either, when two more were opened, one after the other
GUARD_SECONDS = 2  # ages and idle times are whole seconds, and a list takes a while
_FILL = 2  # connections that a pool opens in one moment, because it is to have so many
_FEW = 20  # clients that a process may make for itself, use once and keep
_OVER_SECONDS = 300  # after the last opening of such ones

# When a connection was last used, when it was opened (whole seconds of one clock), its position in a list.
Life = tuple[int, int, int]


def left_behind(
    quiet: Iterable[Life],
    openings: Collection[int],
    wanted: Collection[int],
    unworked: Collection[int],
    now: int,
) -> list[Life]:
    """Of one process's quiet connections, those that were left behind: none without a chain of them.

    `openings` are the moments at which all its connections were opened, `wanted` those of the ones that work,
    `unworked` are positions of those that never did any work.
    """
    lives = sorted(quiet)
    excused = {moment + near for moment in wanted for near in range(-GUARD_SECONDS, GUARD_SECONDS + 1)}
    excused |= _filled(sorted(opened for _, opened, position in lives if position in unworked))
    links, end = 0, -math.inf
    for used, opened, _ in lives:
        # Not where a sibling of the same moment still works: that is a pool that was filled at its start.
        if opened > end + GUARD_SECONDS and opened not in excused:
            links, end = links + 1, used
    newest = max(openings)
    lost = [life for life in lives if life[0] + GUARD_SECONDS < newest]
    if links < LINKS:
        second = max((each for each in openings if each + GUARD_SECONDS < newest), default=-math.inf)
        if sum(opened not in excused and used + GUARD_SECONDS < second for used, opened, _ in lost) < _MANY:
            return []
    is_over = len(lost) < _FEW and now - newest > _OVER_SECONDS
    return [] if is_over and all(map(_was_used_once, lost)) else lost


def _was_used_once(life: Life) -> bool:
    return life[0] - life[1] <= GUARD_SECONDS


def _filled(opened: Sequence[int]) -> set[int]:
    """Of sorted moments at which connections were opened, those at which several were and none around."""
    runs: list[list[int]] = []
    for moment in opened:
        if runs and moment - runs[-1][-1] <= GUARD_SECONDS:
            runs[-1].append(moment)
        else:
            runs.append([moment])
    return {
        moment for run in runs if len(run) >= _FILL and run[-1] - run[0] <= GUARD_SECONDS for moment in run
    }
