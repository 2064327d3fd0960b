"""The results as docs/benchmarks.md."""

from collections.abc import Sequence

from tests.bench.fleet import Fleet, Hanging
from tests.bench.inside import Inside
from tests.bench.one_server import OneServer

_HEAD = """# Benchmarks

Written by `make bench`; do not edit. Medians of one run on this machine, both exporters in turn on
the same real servers, over loopback. Times depend on the machine: compare the ratios.

"""

_NOTES = """
## How to read it

A round of redis_exporter is one scrape, because that is when it asks the server; a round of ours is
one poll, one list of the clients and one scrape. redis_exporter runs with `-export-client-list`; ours
with all that it has, at its shortest interval (1 s) and without a budget; with many servers a list
goes with each third poll, as by default. "Server" is the time of
its main thread by `INFO commandstats`, "longest" what one `CLIENT LIST` of it took on average, and
"PING" what another client sees that asks a thousand times a second while an exporter is at work once
a second.
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def _times(bigger: float, smaller: float) -> str:
    return f"{bigger / smaller:.1f}x" if smaller > 0 else "-"


def _one_server(results: Sequence[OneServer]) -> str:
    rows = []
    for each in results:
        ours, peer = each.ours, each.peer
        pairs = (
            ("CPU of the exporter per round", _ms(ours.cpu), _ms(peer.cpu), _times(peer.cpu, ours.cpu)),
            ("scrape", _ms(ours.scrape), _ms(peer.scrape), _times(peer.scrape, ours.scrape)),
            ("server per round", _ms(ours.server), _ms(peer.server), _times(peer.server, ours.server)),
            (
                "longest command",
                _ms(ours.longest_command),
                _ms(peer.longest_command),
                _times(peer.longest_command, ours.longest_command),
            ),
            ("PING p99.9", _ms(ours.ping_p999), _ms(peer.ping_p999), f"nobody: {_ms(each.alone[0])}"),
            ("PING worst", _ms(ours.ping_worst), _ms(peer.ping_worst), f"nobody: {_ms(each.alone[1])}"),
            (
                "page",
                f"{ours.page_bytes:,} B",
                f"{peer.page_bytes:,} B",
                _times(peer.page_bytes, ours.page_bytes),
            ),
            ("series", f"{ours.series:,}", f"{peer.series:,}", _times(peer.series, ours.series)),
            ("memory", f"{ours.memory:.0f} MB", f"{peer.memory:.0f} MB", _times(peer.memory, ours.memory)),
        )
        rows += [(f"{each.clients:,}", *pair) for pair in pairs]
    return _table(("clients", "", "ours", "redis_exporter", "redis_exporter / ours"), rows)


def _fleet(results: Sequence[Fleet]) -> str:
    rows = []
    for each in results:
        ours, peer = each.ours, each.peer
        pairs = (
            ("CPU per round", _ms(ours.cpu), _ms(peer.cpu), _times(peer.cpu, ours.cpu)),
            (
                "all scrapes, p50",
                _ms(ours.scrape_p50),
                _ms(peer.scrape_p50),
                _times(peer.scrape_p50, ours.scrape_p50),
            ),
            (
                "all scrapes, p99",
                _ms(ours.scrape_p99),
                _ms(peer.scrape_p99),
                _times(peer.scrape_p99, ours.scrape_p99),
            ),
            ("memory", f"{ours.memory:.0f} MB", f"{peer.memory:.0f} MB", _times(peer.memory, ours.memory)),
            ("start to the first page", _ms(ours.start), _ms(peer.start), _times(peer.start, ours.start)),
            ("series", f"{ours.series:,}", f"{peer.series:,}", _times(peer.series, ours.series)),
        )
        rows += [(str(each.targets), *pair) for pair in pairs]
    return _table(("servers", "", "ours", "redis_exporter", "redis_exporter / ours"), rows)


def _inside(inside: Inside, busiest: OneServer) -> str:
    rows = (
        (
            "parse and count the list, CPU",
            _ms(inside.ours_parse),
            _ms(inside.redis_py_parse),
            _times(inside.redis_py_parse, inside.ours_parse),
        ),
        (
            "the same, most memory at once",
            f"{inside.ours_peak / 1024:,.0f} KiB",
            f"{inside.redis_py_peak / 1024:,.0f} KiB",
            _times(inside.redis_py_peak, inside.ours_peak),
        ),
        (
            "longest hold of the event loop in a poll",
            _ms(inside.ours_stall),
            _ms(inside.redis_py_stall),
            _times(inside.redis_py_stall, inside.ours_stall),
        ),
        (
            f"make a page of {inside.samples:,} series",
            _ms(inside.ours_render),
            _ms(inside.client_render),
            _times(inside.client_render, inside.ours_render),
        ),
        (
            "the limits: the server writes the list; its bytes are read",
            _ms(busiest.list_usec),
            _ms(busiest.read_cpu),
            f"ours parses and counts in {inside.ours_parse / busiest.list_usec:.1f} of the first",
        ),
    )
    return _table(("10,000 clients", "ours", "redis-py, prometheus-client", "ratio"), rows)


def _growth(one: Sequence[OneServer], fleets: Sequence[Fleet]) -> str:
    first, last = one[0], one[-1]
    text = (
        f"0 to {last.clients:,} clients add {last.ours.memory - first.ours.memory:.1f} MB to ours and "
        f"{last.peer.memory - first.peer.memory:.1f} MB to redis_exporter."
    )
    if len(fleets) > 1:
        few, many = fleets[0], fleets[-1]
        each = (many.ours.memory - few.ours.memory) * 1024 / (many.targets - few.targets)
        text += f" Each further server adds {each:.0f} KiB to ours."
    return text + "\n"


def _hanging(hanging: Hanging) -> str:
    return (
        f"While one of two servers is frozen, the slowest of 20 scrapes of ours takes {_ms(hanging.ours)}, "
        f"and redis_exporter's of that server {hanging.peer:.1f} s.\n"
    )


def write(
    about: str, one: Sequence[OneServer], fleets: Sequence[Fleet], hanging: Hanging, inside: Inside
) -> str:
    """The page."""
    return (
        "\n".join(
            (
                _HEAD + about + "\n",
                "## One server\n",
                _one_server(one),
                "## Many servers, without clients\n",
                _fleet(fleets),
                _growth(one, fleets),
                _hanging(hanging),
                "## Inside\n",
                _inside(inside, one[-1]),
            )
        )
        + _NOTES
    )
