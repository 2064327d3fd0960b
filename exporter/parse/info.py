"""INFO: one expression takes every number, another the few texts that we show; or one of the whole layout."""

import re

from exporter.model import ServerInfo
from exporter.parse import ReplyError
from exporter.parse.layouts import NUMBER, TEXT, TEXTS, Layouts, Parsed

# Digits are copied to the metrics page as they are, and Prometheus refuses a whole page for one value it
# cannot read: "7.0.15" must not pass, nor a number too long for a float64. (No possessive group: in Python
# 3.11.2, Debian 12's, it matches "1." with an empty rest.)
_NUMBERS = re.compile(rb"\n([a-z][a-z0-9_]*+):(" + NUMBER + rb")\r")
_TEXTS = re.compile(rb"\n(" + b"|".join(sorted(TEXTS)) + rb"):(" + TEXT + rb")\r")
_LAYOUTS = Layouts()
# The lag and the offset of a replica that still syncs are not measured: they print as 0. Valkey adds a type,
# Redis 8 a thread (server.c, genRedisInfoString).
_REPLICAS = re.compile(
    rb"\nslave[0-9]{1,9}:ip=[^\r\n]*?,state=online,offset=([0-9]{1,19}),lag=([0-9]{1,19})(?=[,\r])"
)
_IO_THREADS = re.compile(rb"\nio_thread_[0-9]{1,3}:clients=([0-9]{1,10}),")


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
    return ServerInfo(numbers, texts, threads, replicas)


def read_slowly(reply: bytes) -> Parsed:
    """Numbers and texts of a reply of any layout; a field that comes twice counts by its last line."""
    texts = {name.decode(): text.decode() for name, text in _TEXTS.findall(reply)}
    return dict(_NUMBERS.findall(reply)), texts


def _replicas(reply: bytes) -> tuple[tuple[int, int], ...]:
    return tuple((int(offset), int(lag)) for offset, lag in _REPLICAS.findall(reply))


def parse_list_seconds(reply: bytes) -> float | None:
    """Read out of INFO commandstats how long CLIENT LIST held the main thread in all (before 7.0: CLIENT)."""
    found = re.search(rb"cmdstat_client(?:\|list)?:calls=[0-9]{1,20},usec=([0-9]{1,20}),", reply)
    return int(found[1]) / 1e6 if found else None


def parse_cluster_known_nodes(reply: bytes) -> int | None:
    """Read how many nodes CLUSTER INFO knows; None where it does not say."""
    found = re.search(rb"cluster_known_nodes:([0-9]{1,9})\r", reply)
    return int(found[1]) if found else None
