"""INFO: the fields that something reads, by an expression of the whole layout or one after the other."""

import re

from exporter.limits import INFO_ROWS
from exporter.model import ServerInfo
from exporter.parse import ReplyError
from exporter.parse.fields import NUMBER, NUMBERS, TEXT, TEXTS, one_of
from exporter.parse.layouts import Layouts, Parsed

_NUMBERS = re.compile(rb"\n(" + one_of(NUMBERS) + rb"):(" + NUMBER + rb")\r")
_TEXTS = re.compile(rb"\n(" + one_of(TEXTS) + rb"):(" + TEXT + rb")\r")
_KEYS = {name: name for name in NUMBERS}  # one of each for all targets
_LAYOUTS = Layouts()
# The lag and the offset of a replica that still syncs are not measured: they print as 0. Valkey adds a type,
# Redis 8 a thread (server.c, genRedisInfoString).
_REPLICAS = re.compile(
    rb"\nslave[0-9]{1,9}:ip=[^\r\n]*?,state=online,offset=([0-9]{1,19}),lag=([0-9]{1,19})(?=[,\r])"
)
_IO_THREADS = re.compile(rb"\nio_thread_[0-9]{1,3}:clients=([0-9]{1,10}),")
_LIST_SECONDS = re.compile(rb"\ncmdstat_client(?:\|list)?:calls=[0-9]{1,20},usec=([0-9]{1,20}),")
_KNOWN_NODES = re.compile(rb"cluster_known_nodes:([0-9]{1,9})\r")

_ROW_BYTES = 512  # of a line: a replica's holds a host name
_LINES = re.compile(
    rb"\n((?:" + one_of(NUMBERS) + rb"):" + NUMBER + rb"|(?:" + one_of(TEXTS) + rb"):" + TEXT + rb"|"
    rb"(?:slave[0-9]{1,9}|io_thread_[0-9]{1,3}|cmdstat_client(?:\|list)?):[^\r\n]{1,%d})(?=\r)" % _ROW_BYTES
)


def parse_info(reply: bytes) -> ServerInfo:
    r"""Read the reply of INFO (server.c, genRedisInfoString: `# Section` and `name:value\r\n` lines).

    Fields that are no plain number are left out of `numbers`, so one odd value costs no other.

    Raises:
        ReplyError: connected_clients is missing; whatever answered is no Redis, or hides its clients.

    """
    known = _LAYOUTS.read(reply)
    if known is None:
        _LAYOUTS.learn(reply)
    numbers, texts = known or read_slowly(reply)
    if b"connected_clients" not in numbers:
        raise ReplyError("the reply to INFO has no connected_clients")
    # Most servers have neither, and looking for a word costs a tenth of looking for an expression.
    threads = tuple(map(int, _IO_THREADS.findall(reply))) if b"\nio_thread_" in reply else ()
    replicas = _replicas(reply) if numbers.get(b"connected_slaves", b"0") != b"0" else ()
    return ServerInfo(numbers, texts, threads[:INFO_ROWS], replicas[:INFO_ROWS])


def read_slowly(reply: bytes) -> Parsed:
    """Numbers and texts of a reply of any layout; a field that comes twice counts by its last line."""
    numbers = {_KEYS[name]: digits for name, digits in _NUMBERS.findall(reply)}
    return numbers, {name.decode(): text.decode() for name, text in _TEXTS.findall(reply)}


class LongInfo:
    """Keeps of a long reply to INFO, which comes in pieces, the lines that something reads, and nothing else.

    A server may have a line for each of 30,000 databases, and for each error code that a script makes up.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._kept: dict[bytes, bytes] = {}

    def feed(self, piece: bytes) -> None:
        """Take the next piece; takes some 3 ms for a megabyte."""
        text = self._rest + piece
        end = max(0, text.rfind(b"\n"))
        self._keep(text[:end])
        rest = text[end:]
        self._rest = rest if len(rest) <= 2 * _ROW_BYTES else b""  # without its beginning a line is none

    def text(self) -> bytes:
        """What was kept, as a reply that has no other lines."""
        self._keep(self._rest)
        return b"".join([b"# Kept\r\n", *(line + b"\r\n" for line in self._kept.values())])

    def _keep(self, text: bytes) -> None:
        for line in _LINES.findall(text):
            name = line[: line.index(b":")]
            if name in self._kept or name in NUMBERS or name in TEXTS or len(self._kept) < INFO_ROWS:
                self._kept[name] = line


def _replicas(reply: bytes) -> tuple[tuple[int, int], ...]:
    return tuple((int(offset), int(lag)) for offset, lag in _REPLICAS.findall(reply))


def parse_list_seconds(reply: bytes) -> float | None:
    """Read out of INFO commandstats how long CLIENT LIST held the main thread in all (before 7.0: CLIENT)."""
    found = _LIST_SECONDS.search(reply)
    return int(found[1]) / 1e6 if found else None


def parse_cluster_known_nodes(reply: bytes) -> int | None:
    """Read how many nodes CLUSTER INFO knows; None where it does not say."""
    found = _KNOWN_NODES.search(reply)
    return int(found[1]) if found else None
