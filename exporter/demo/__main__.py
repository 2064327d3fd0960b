"""The trouble alone, for servers that are there: `python -m exporter.demo ORDERS QUEUE SESSIONS`, three URLs.

compose.yaml runs it, and starts it again when it ends because a server went away.
"""

import asyncio
import sys

from exporter.demo.trouble import trouble
from exporter.settings.kinds import parse_redis_url


async def _make_trouble(urls: list[str]) -> None:
    orders, queue, sessions = ((url.host, url.port) for url in map(parse_redis_url, urls))
    running = [asyncio.ensure_future(each) for each in trouble(orders, queue, sessions, _announce_full)]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)


def _announce_full(answer: str) -> None:
    print(f"sessions is full: newcomers get {answer!r}", flush=True)


if len(sys.argv) != 4:  # noqa: PLR2004  itself and three URLs
    sys.exit(__doc__)
asyncio.run(_make_trouble(sys.argv[1:]))
sys.exit("a server went away")
