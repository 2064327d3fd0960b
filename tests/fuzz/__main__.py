"""`python -m tests.fuzz REPLIES POLLS SECONDS [SEED]`: readers, against mutated bytes."""

import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests import http_fuzz
from tests.fuzz import inside, properties, sockets

_REQUESTS = 100_000
MOST_BYTES = 40_000_000  # more at the end than after a tenth: the memory of names fills up meanwhile


def main(replies: int, polls: int, seconds: float, seed: int) -> None:
    """Run all of it, on every core."""
    print(f"seed {seed}", flush=True)
    workers = os.cpu_count() or 1
    started = time.monotonic()
    share = -(-replies // workers)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = [pool.submit(inside.measured, seed + number, share, MOST_BYTES) for number in range(workers)]
        slowest = max(each.result() for each in found)
    print(
        f"{share * workers} mutated replies in process: no exception, the slowest {1000 * slowest:.0f} ms, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )
    answered = sockets.run(seed, polls, MOST_BYTES)
    print(
        f"{answered.replies} replies over sockets to {answered.polls} polls: {answered.readings} readings, "
        f"{answered.lists} lists, the longest poll {answered.longest:.2f} s",
        flush=True,
    )
    done = properties.run(seconds)
    print(
        f"{done} rounds of {properties.EXAMPLES} replies: fast reader and slow one agree on every one",
        flush=True,
    )
    statuses = http_fuzz.fuzz(seed, requests=_REQUESTS)
    counts = ", ".join(f"{count} {status.decode()}" for status, count in statuses.most_common())
    print(f"{statuses.total()} random HTTP requests: {counts}; none raised anything")


if __name__ == "__main__":
    replies, polls, seconds, *seed = sys.argv[1:]
    main(int(replies), int(polls), float(seconds), int(seed[0]) if seed else random.randrange(10**6))
