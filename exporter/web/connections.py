"""The HTTP connections that are held, and which of them goes when there are too many.

Whoever opens connections and leaves them idle can hold up to a bound of them, and then shuts out himself:
a newcomer is always served, and it is his oldest that is closed.
"""

import ipaddress
import resource
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from exporter.limits import HTTP_CONNECTIONS, HTTP_CONNECTIONS_PER_ADDRESS, HTTP_UNREAD_BYTES, KIB

_LEAST, _ONE_IN_FILES = 16, 32
_PAGES_ALWAYS, _SMALL_PAGE_BYTES = 4, 64 * KIB
_NETWORK_BYTES = 8  # an IPv6 host has a /64 of its own to choose addresses from


class Connection(Protocol):
    """What is asked of a connection."""

    peer: str

    @property
    def busy(self) -> bool:
        """Whether an answer is being made."""

    @property
    def unread(self) -> tuple[int, int] | None:
        """Which page its client has not read to the end (many may wait for the same one), and its bytes."""

    def cut(self) -> None:
        """Close it at once."""


def peer_of(host: str) -> str:
    """Who holds a connection from an address: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a listening socket of another family
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or address.packed[:_NETWORK_BYTES].hex())


def connections_at_most() -> int:
    """How many connections there may be: the bound, or less where the process may open few files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return HTTP_CONNECTIONS
    return min(HTTP_CONNECTIONS, max(_LEAST, files // _ONE_IN_FILES))


class Connections:
    """Every connection from its acceptance to its end; `report` hears how many they are."""

    def __init__(self, most: int, report: Callable[[int], object]) -> None:
        self._most = most
        self._most_of_one = min(HTTP_CONNECTIONS_PER_ADDRESS, most // 2)
        self._report = report
        self._held: dict[Connection, None] = {}  # in the order in which they were opened or last answered
        self._by_peer: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many are held."""
        return len(self._held)

    def add(self, connection: Connection) -> None:
        """Hold one more."""
        self._held[connection] = None
        self._by_peer[connection.peer] += 1
        self._report(len(self._held))

    def discard(self, connection: Connection) -> None:
        """Forget one that has ended."""
        if connection not in self._held:
            return
        del self._held[connection]
        self._by_peer[connection.peer] -= 1
        if not self._by_peer[connection.peer]:
            del self._by_peer[connection.peer]
        self._report(len(self._held))

    def answered(self, connection: Connection) -> None:
        """Take note that one has got an answer: from now on it is idle, or reads."""
        if connection in self._held:
            del self._held[connection]
            self._held[connection] = None
        page = connection.unread
        if page is not None and page[1] > _SMALL_PAGE_BYTES:
            self._relieve()

    def make_room(self, peer: str) -> bool:
        """Close what must go for one more of a peer; False where all of them are being answered."""
        if self._by_peer[peer] >= self._most_of_one:
            return self._close_one(peer)
        return len(self._held) < self._most or self.shed()

    def shed(self) -> bool:
        """Close one of whoever holds most; False where none can go."""
        return any(self._close_one(peer) for peer, _ in self._by_peer.most_common())

    def _close_one(self, peer: str) -> bool:
        """Close the idle connection of a peer that was answered longest ago, else one that does not read."""
        own = [each for each in self._held if each.peer == peer]
        chosen = next(filter(_idle, own), None) or next(filter(_loose, own), None)
        if chosen is not None:
            self._close(chosen)
        return chosen is not None

    def _relieve(self) -> None:
        """Cut those who have not read for longest, while their pages are too much together.

        Four of the largest may always wait: two who scrape, in two formats, are no harm.
        """
        pages = {each: page for each in self._held if (page := each.unread) is not None}
        sizes = dict(pages.values())
        most = max(HTTP_UNREAD_BYTES, _PAGES_ALWAYS * max(sizes.values()))
        for each, page in tuple(pages.items()):
            if sum(sizes.values()) <= most:
                break
            self._close(each)
            del pages[each]
            if page not in pages.values():
                del sizes[page[0]]

    def _close(self, connection: Connection) -> None:
        self.discard(connection)
        connection.cut()


def _loose(connection: Connection) -> bool:
    return not connection.busy


def _idle(connection: Connection) -> bool:
    return not connection.busy and connection.unread is None
