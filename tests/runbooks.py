"""The pages of docs/runbooks, and their commands as they run.

A fenced block `sh` holds commands, and the block `text` right after it what they printed. Words behind `sh`
say where it runs: `redis>=6.2 valkey>=8` on these servers only; `full` at the limit, `freed` where a slot
comes free meanwhile; `busy` while a script hangs; `root` as root only; `keep` before every later block of
the page too; `elsewhere` on other machines, so not here. Commands in a sentence, `redis-cli PING`, run
after the blocks.

`python -m tests.runbooks` runs all of it and writes anew what was printed, after waiting for 10 minutes, so
that the idle times are those of the text; with names of pages, only these.
"""

import contextlib
import os
import pty
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.daemon import ROOT, Daemon, quick, running_exporter, target
from tests.incident import Incident, incident
from tests.servers.kinds import KINDS, SYSTEM, VALKEY_9, ServerKind
from tests.waiting import eventually

FOLDER = ROOT / "docs" / "runbooks"
RUN_ON = (*KINDS, VALKEY_9)
_REFERENCES = (SYSTEM, KINDS[3], VALKEY_9)
IDLE = 600  # the idle seconds of the text
_WORDS = frozenset(["full", "freed", "busy", "root", "keep", "elsewhere"])
_FENCE = re.compile(r"^```(\w*) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_INLINE = re.compile(r"`(redis-cli [A-Z][^`]*)`")  # in a sentence
_CONDITION = re.compile(r"(redis|valkey)(?:(>=|<)([0-9.]+))?")
_REFUSED = re.compile(r"(?:\(error\) )?(?:ERR|BUSY|LOADING|NOAUTH|NOPERM|DENIED) |AUTH failed|Error: ")


@dataclass(frozen=True)
class Block:
    """Commands of a page and what they printed; start and end are where the latter stands in its text."""

    page: Path
    words: tuple[str, ...]
    script: str
    shown: str | None
    start: int
    end: int

    @property
    def conditions(self) -> list[re.Match[str]]:
        return [found for word in self.words if (found := _CONDITION.fullmatch(word))]

    @property
    def marks(self) -> set[str]:
        return {word for word in self.words if not _CONDITION.fullmatch(word)}

    @property
    def asks_exporter(self) -> bool:
        return "10051" in self.script

    def suits(self, family: str, version: tuple[int, ...]) -> bool:
        """Whether this runs on a server of that version."""
        of_family = [found for found in self.conditions if found[1] == family]
        return not self.conditions or (
            bool(of_family)
            and all(
                not found[2] or (version >= _numbers(found[3])) is (found[2] == ">=") for found in of_family
            )
        )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def fences(text: str) -> list[re.Match[str]]:
    return list(_FENCE.finditer(text))


def blocks(page: Path) -> list[Block]:
    """The commands of a page that run here."""
    text = page.read_text()
    found = fences(text)
    made = []
    for this, following in pairwise([*found, None]):
        if this is None or this[1] != "sh":
            continue
        words = tuple(this[2].split())
        shown = (
            following
            if following and following[1] == "text" and not text[this.end() : following.start()].strip()
            else None
        )
        start, end = shown.span(3) if shown else (this.end(), this.end())
        made.append(Block(page, words, this[3], shown[3] if shown else None, start, end))
        assert made[-1].marks <= _WORDS, f"{page.name}: what is {made[-1].marks - _WORDS}?"
    made += [
        Block(page, (), re.sub(r"\s+", " ", code[1]) + "\n", None, code.end(), code.end())
        for code in _INLINE.finditer(_FENCE.sub("", text))
    ]
    return [block for block in made if "elsewhere" not in block.marks]


def pages() -> list[Path]:
    return sorted(FOLDER.glob("*.md"))


def is_refused(output: str) -> int:
    """How many commands were refused."""
    return sum(bool(_REFUSED.match(line)) for line in output.splitlines())


def shape(output: str) -> str:
    """What an output looks like without its numbers."""
    return re.sub(r" *\n", "\n", re.sub(r"[ \t]+", " ", re.sub(r"[0-9]+", "0", output))).strip()


class Place:
    """Where commands run: one incident, and the exporter that watches it."""

    def __init__(self, trouble: Incident, daemon: Daemon | None, idle: int = 2) -> None:
        self.trouble = trouble
        self.daemon = daemon
        self.family, self.version = trouble.version
        self._idle = idle
        self._in_text = {
            r"\bredis-cli\b": f"redis-cli -p {trouble.port}",
            r"\b6379\b": str(trouble.port),
            rf"\b{IDLE}\b": str(idle),
        } | ({r"\b10051\b": str(daemon.port)} if daemon else {})

    def run(self, block: Block, kept: str = "") -> str:
        """Bring the server into the state that the block speaks of, and run its commands."""
        state = "ok"
        if "full" in block.marks:
            self.trouble.fill()
            state = "at_limit"
        if "busy" in block.marks:
            self.trouble.hang()
            state = "busy"
        if str(IDLE) in block.script or block.asks_exporter:
            self.trouble.wait_until_idle(self._idle)
        if block.asks_exporter:
            assert self.daemon, "nobody asks an exporter here"
            self.daemon.wait_for({"sessions": state})
            eventually(self._is_listed)
        script = kept + block.script
        for word, here in self._in_text.items():
            script = re.sub(word, here, script)
        leaver = threading.Timer(0.5, self.trouble.give_back, [1]) if "freed" in block.marks else None
        if leaver:
            leaver.start()
        try:
            return on_a_terminal(script).replace(str(self.trouble.port), "6379")
        finally:
            if leaver:
                leaver.join()
            if block.marks & {"full", "busy"}:
                self.trouble.refresh()

    def _is_listed(self) -> bool:
        """Whether the exporter has just seen everybody as they are now, and will not look again at once."""
        assert self.daemon
        scrape = self.daemon.scrape()
        listed = {
            (labels["app"], labels["state"]): value
            for name, labels, value in scrape.samples
            if name == "redis_app_connections"
        }
        at = scrape.get("redis_connection_exporter_client_list_timestamp_seconds", "sessions")
        orders = sum(value for (app, _), value in listed.items() if app == "orders")
        return (
            at is not None
            and time.time() - at < 0.7
            and orders == sum(row["name"].startswith("orders") for row in self.trouble.rows())
            and listed.get(("orders", "stale"), 0) >= self.trouble.leaked()
            and listed.get(("reports", "stale"), 0) == 3
            and listed.get(("checkout", "active"), 0)
            == 12  # idle is in whole seconds: each is idle for moments
        )

    def run_page(self, page: Path) -> Iterator[tuple[Block, str]]:
        """Run all blocks of a page that suit, and give their outputs."""
        self.trouble.refresh()
        kept = ""
        for block in blocks(page):
            if not block.suits(self.family, self.version) or (block.asks_exporter and not self.daemon):
                continue
            if "root" in block.marks and os.geteuid() != 0:
                continue
            yield block, self.run(block, kept)
            if "keep" in block.marks:
                kept += block.script


def on_a_terminal(script: str, seconds: int = 30) -> str:
    """What a person sees who pastes this into a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            ["timeout", str(seconds), "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    output = b""
    with process:
        try:
            while read := os.read(ours, 1 << 16):
                output += read
        except OSError:  # the terminal is gone with its last program
            pass
        finally:
            os.close(ours)
    return re.sub(r"\r+\n", "\n", output.decode(errors="replace"))


def printed_by(block: Block, places: Mapping[ServerKind, Place]) -> ServerKind:
    """Which server's output a page shows: the usual one's, else that of the next one on which it runs."""
    return next(
        kind
        for kind in _REFERENCES
        if kind in places and block.suits(places[kind].family, places[kind].version)
    )


@contextlib.contextmanager
def running_places(
    kinds: Iterable[ServerKind], folder: Path, *, idle: int = 2, **clients: object
) -> Iterator[dict[ServerKind, Place]]:
    """Start an incident on every kind, and an exporter beside the usual server."""
    with contextlib.ExitStack() as stack:
        places = {}
        for kind in kinds:
            inside = folder / kind.name
            inside.mkdir()
            trouble = stack.enter_context(incident(kind, inside))
            daemon = None
            if kind is SYSTEM:
                trouble.wait_until_idle(2)  # the exporter shall not have seen the leak in use
                watched = target("sessions", f"redis://127.0.0.1:{trouble.port}", labels={"team": "shop"})
                tree = quick(watched, clients={"interval": "1s", **clients})
                daemon = stack.enter_context(running_exporter(inside, tree))
            places[kind] = Place(trouble, daemon, idle)
        yield places


def write_outputs(wanted: list[Path]) -> None:
    """Run the blocks of pages for real, and put into the pages what they print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_places(_REFERENCES, Path(folder), idle=IDLE, stale_after="5m") as places,
    ):
        for place in places.values():
            place.trouble.wait_until_idle(IDLE)
        for page in wanted:
            outputs = {
                block: output
                for kind, place in places.items()
                for block, output in place.run_page(page)
                if printed_by(block, places) is kind
            }
            text = page.read_text()
            for block, output in sorted(outputs.items(), key=lambda each: -each[0].start):
                if block.shown is not None:
                    text = (
                        text[: block.start]
                        + re.sub(r" +$", "", output, flags=re.MULTILINE)
                        + text[block.end :]
                    )
            page.write_text(text)
            print(page.name, flush=True)


if __name__ == "__main__":
    write_outputs([FOLDER / f"{name}.md" for name in sys.argv[1:]] or pages())
