"""What it costs to judge a list of 10,000 clients, beside reading and counting it: ratios of one run."""

import time
from statistics import median

from exporter.analyse.groups import Tally
from exporter.analyse.history import History
from exporter.analyse.names import AppNames
from exporter.model import AppRules, ServerInfo
from exporter.poll.listing.counting import Counting
from tests.blocks import split_blocks
from tests.test_series_count import clients

_LISTS, _SKIPPED = 11, 2


def test_judging_costs_less_than_reading_and_counting_and_is_done_in_short_steps() -> None:
    history, names = History(300.0, 20), AppNames(AppRules())
    info = ServerInfo({b"total_connections_received": b"20000"}, {"run_id": "a"})
    counted, judged, longest = [], [], []
    for turn in range(_LISTS):
        reply = clients(10_000, 20, 15 * turn)
        started = time.process_time()
        counting = Counting(Tally(names, 300.0))
        for block in split_blocks(reply):
            counting.take(block)
        counting.end_reply()
        counting.count()
        counted.append(time.process_time() - started)
        steps, at = [], time.process_time()
        for _ in history.take(counting.tally, info, 0, 1e6 + 15.0 * turn):
            steps.append(time.process_time() - at)
            at = time.process_time()
        judged.append(sum(steps) + time.process_time() - at)
        longest.append(max(steps))
    count, judge, step = (median(each[_SKIPPED:]) for each in (counted, judged, longest))
    print(
        f"\nmeasured: 10,000 clients, some 900 instances: {1000 * count:.1f} ms to read and count, "
        f"{1000 * judge:.1f} ms to judge, longest step {1000 * step:.1f} ms (CPU, medians of 9)"
    )
    assert judge <= 1.25 * count
    assert step <= count / 4
