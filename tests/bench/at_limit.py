"""`python -m tests.bench.at_limit`: two exporters at a full server that stalls, and a reset of ours.

Clients that are refused try again every 30 ms, and take any slot that comes free.
"""

import re
import signal
import tempfile
import time
from pathlib import Path

from exporter.demo.servers import running_server
from tests.bench.measure import Exporter, Page, running_as_set, running_peer
from tests.crowd import crowd
from tests.hungry import Hungry
from tests.servers.kinds import SYSTEM
from tests.tcp import wire
from tests.waiting import eventually

LIMIT = 100
STALL_SECONDS = 6
LOOKS = 12
_PACE = "poll: {interval: 1s, timeout: 900ms}\n"
_CONNECTS = "redis_connection_exporter_connects_total"


def _state(page: Page) -> str:
    found = re.search(rb'redis_target_state{[^}]*state="([a-z_]+)"} 1', page.body)
    return found[1].decode() if found else ""


def _told(page: Page) -> str:
    if not page.value("redis_up"):
        return "redis_up 0"
    return f"redis_up 1, {page.value('redis_connected_clients'):.0f} clients"


def _scrape_both(ours: Exporter, theirs: Exporter, moment: str) -> None:
    mine, peers = ours.get(), theirs.get()
    print(f"{moment:28} ours: {_told(mine)} ({_state(mine)}); redis_exporter: {_told(peers)}")


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_server(SYSTEM.command, Path(scratch), "--maxclients", str(LIMIT)) as server,
        wire(server.port) as between,
        running_as_set(Path(scratch), [between.port], _PACE) as ours,
        running_peer(server.port) as theirs,
        crowd(server.port) as clients,
    ):
        eventually(lambda: ours.answers() and _state(ours.get()) == "ok")
        _scrape_both(ours, theirs, "before")
        clients.fill()
        eventually(lambda: _state(ours.get()) == "at_limit")
        with Hungry(server.port, 5):
            _scrape_both(ours, theirs, "full")
            server.process.send_signal(signal.SIGSTOP)
            eventually(lambda: _state(ours.get()) == "timeout")
            time.sleep(STALL_SECONDS)  # the length of the stall is part of what is measured
            server.process.send_signal(signal.SIGCONT)
            eventually(lambda: _state(ours.get()) == "at_limit")
            _scrape_both(ours, theirs, f"full, after {STALL_SECONDS} s of stall")
            up = [0, 0]
            for _ in range(LOOKS):
                up = [
                    count + int(each.get().value("redis_up"))
                    for count, each in zip(up, (ours, theirs), strict=True)
                ]
                time.sleep(1)  # the pace of the samples
            print(f"scrapes with numbers in the {LOOKS} s after it: ours {up[0]}, redis_exporter {up[1]}")
            print(f"connections that ours opened until now: {ours.get().value(_CONNECTS):.0f}")
        clients.leave(5)
        eventually(lambda: _state(ours.get()) == "ok")
        began = time.monotonic()
        between.reset()
        eventually(lambda: ours.get().value(_CONNECTS) == 2 and _state(ours.get()) == "ok")
        print(f"after a reset, with room: numbers again within {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
