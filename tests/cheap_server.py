"""Fake servers that cost next to nothing, for thousands of them in one process."""

import asyncio
import re
from pathlib import Path
from typing import cast

_CAPTURE = (Path(__file__).parent / "data" / "info-system-redis.txt").read_bytes()
# What rises from poll to poll, as wide as in the capture that stands around it.
_RISING = (b"total_connections_received", b"total_commands_processed", b"used_memory")
_INFO = re.sub(rb"(?m)^(%b):\d+" % b"|".join(_RISING), rb"\1:<rises>", _CAPTURE)
_ROW = (
    b"id=%d addr=10.0.0.%d:%d laddr=10.0.0.1:6379 fd=8 name=app-%c age=%d idle=%d flags=N db=0 sub=0 psub=0 "
    b"ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 "
    b"tot-mem=1928 events=r cmd=get user=default redir=-1 resp=2\n"
)
_EACH = 3


class CheapServer(asyncio.Protocol):
    """Answers at once, of so many apps with some connections each; numbers rise from poll to poll."""

    def __init__(self, apps: int) -> None:
        self._apps = apps
        self._polls = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one without saying so

    def data_received(self, data: bytes) -> None:
        """Answer whole commands; ours always come whole."""
        commands = data.upper().split(b"*")[1:]
        self._transport.write(b"".join(map(self._answer, commands)))

    def _answer(self, command: bytes) -> bytes:
        if b"INFO" in command and b"SETINFO" not in command:
            self._polls += 1
            return _bulk(_INFO.replace(b"<rises>", b"%d" % (100_000 + 7 * self._polls)))
        if b"LIST" in command:
            return _bulk(self._rows())
        if b"CONFIG" in command:
            return b"*0\r\n"
        return b":5\r\n" if b"\r\nID\r\n" in command else b"+OK\r\n"

    def _rows(self) -> bytes:
        """All clients; in each list one more of each app is idle, and one of each has come anew."""
        count = self._apps * _EACH
        return b"".join(
            _ROW
            % (
                10 + number + (self._apps * self._polls if number < self._apps else 0),
                number % 250,
                1024 + number,
                ord("a") + number % self._apps,
                5000,
                (number + self._polls) % 3,
            )
            for number in range(count)
        )


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)
