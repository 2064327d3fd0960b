"""Whether to ask for all clients at once, or for their ids in batches. Pure.

CLIENT LIST ID came with Redis 6.2. A batch of 250 holds the server 0.15 to 0.25 ms, a whole list of 10,000
clients 7 to 15 ms. Where Redis 8 runs more than one I/O thread it pauses them once per client of a batch, so
that a batch costs more than the whole list.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from exporter.model import ServerInfo

BATCHES_ABOVE = 1000  # clients
_BATCH = 250
_FIRST_WITH_IDS = (6, 2)
_NEWCOMERS_AT_MOST = 2000  # above it a whole list is cheaper than asking for ids that are gone again
_SPARE_IDS = 20  # the server uses some for clients of its own
_DEARER = 2.0  # batches that cost more than this many whole lists are given up
_DEAR_IN_A_ROW = 2  # one alone may be a pause of the machine
_WHOLE_AGAIN_SECONDS = 3600.0
_WHOLE_EVERY = 10  # lists: ids that were used but not counted as received are found again so
_DIFFERENT_IN_A_ROW = 2
_DRIFT = 0.01  # of the clients: where more are missing, a whole list follows at once
_DRIFT_AT_LEAST = 10


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What the last lists of one server teach about the next one.

    `ids` were in the last list, in the order of their numbers; `received` is INFO's count of connections
    then, and `listed` the moment (monotonic). `whole_cost` is the server's seconds per client of a whole
    list. `since_whole`, `different` and `dear` count lists in a row: those in batches, those that found
    another number of clients than INFO, and those that cost too much.
    """

    ids: tuple[bytes, ...] = ()
    received: int = 0
    listed: float = 0.0
    whole_cost: float = 0.0
    whole_until: float = 0.0
    since_whole: int = 0
    different: int = 0
    dear: int = 0

    def prefers_batches(self, info: ServerInfo, now: float) -> bool:
        """Whether a list of this server is to be taken in batches at a moment (monotonic)."""
        clients = info.count(b"connected_clients") or 0
        return (
            clients > BATCHES_ABOVE
            and info.version >= _FIRST_WITH_IDS
            and len(info.io_thread_clients) <= 1
            and bool(self.ids)
            and now >= self.whole_until
            and self.since_whole < _WHOLE_EVERY - 1
            and self.different < _DIFFERENT_IN_A_ROW
            and 0 <= self._newcomers(info) <= min(_NEWCOMERS_AT_MOST, clients)
        )

    def batches(self, info: ServerInfo) -> Iterator[tuple[bytes, ...]]:
        """The ids of the last list, and those that were given out since."""
        last, newcomers = int(self.ids[-1]), self._newcomers(info) + _SPARE_IDS
        ids = [*self.ids, *(b"%d" % (last + number) for number in range(1, newcomers + 1))]
        for start in range(0, len(ids), _BATCH):
            yield tuple(ids[start : start + _BATCH])

    def is_complete(self, info: ServerInfo, total: int) -> bool:
        """Whether batches found about as many clients, our own left out, as INFO had counted."""
        told = _told(info)
        return abs(told - total) <= max(_DRIFT_AT_LEAST, _DRIFT * told)

    def after_whole(self, info: ServerInfo, ids: Iterable[bytes], cost: float, now: float) -> "BatchPlan":
        """Remember a whole list, which took the server `cost` seconds."""
        learnt = self._with(info, ids, now)
        return replace(learnt, whole_cost=cost / max(1, len(learnt.ids)), since_whole=0, different=0)

    def after_batches(
        self, info: ServerInfo, ids: Iterable[bytes], cost: float, now: float, took: float
    ) -> "BatchPlan":
        """Remember a list in batches, which took the server `cost` seconds and us `took`."""
        learnt = self._with(info, ids, now)
        differs = abs(_told(info) - len(learnt.ids)) > self._passing(info, now, took)
        learnt = replace(
            learnt,
            since_whole=self.since_whole + 1,
            different=self.different + 1 if differs else 0,
            dear=self.dear,
        )
        if cost / max(1, len(learnt.ids)) > _DEARER * self.whole_cost:
            return learnt.after_dear_batches(now)
        return replace(learnt, dear=0)

    def after_dear_batches(self, now: float) -> "BatchPlan":
        """Batches were too dear, or not done in time: after two such lists in a row take whole ones."""
        if self.dear + 1 < _DEAR_IN_A_ROW:
            return replace(self, dear=self.dear + 1)
        return replace(self, dear=0, whole_until=now + _WHOLE_AGAIN_SECONDS)

    def _with(self, info: ServerInfo, ids: Iterable[bytes], now: float) -> "BatchPlan":
        received = info.count(b"total_connections_received") or 0
        in_order = sorted(ids)
        in_order.sort(key=len)  # as numbers: digits of one length sort like their values
        if not b"".join(in_order).isdigit():  # addresses, of a server that tells no ids
            in_order = []
        return replace(self, ids=tuple(in_order), received=received, listed=now)

    def _newcomers(self, info: ServerInfo) -> int:
        return (info.count(b"total_connections_received") or 0) - self.received

    def _passing(self, info: ServerInfo, now: float, took: float) -> int:
        """How many clients may have come or gone while we asked, at twice the pace since the last list."""
        pace = self._newcomers(info) / max(now - self.listed, 1e-3)
        return math.ceil(2 * pace * took)


def _told(info: ServerInfo) -> int:
    """The clients that INFO counts, without our own."""
    return (info.count(b"connected_clients") or 0) + (info.count(b"connected_slaves") or 0) - 1
