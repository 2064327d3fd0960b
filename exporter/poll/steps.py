"""What one poll did, step by step, for people who ask why it failed."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.connection.errors import LinkError
from exporter.connection.failures import Step
from exporter.limits import POLL_STEPS
from exporter.model import PollStep
from exporter.parse import ReplyError
from exporter.poll.bugs import explain_bug

_CONNECTING = {
    Step.FILES: "read password and certificates",
    Step.RESOLVE: "resolve the name",
    Step.CONNECT: "connect",
    Step.ANSWER: "first answer (AUTH, INFO)",
}
_TOO_LATE = "not done in time"


class Steps:
    """Notes the steps of a poll that began at a moment (monotonic)."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._noted: list[PollStep] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note what is done until the block ends, and how that failed if it does."""
        begun, outcome = time.monotonic(), ""
        try:
            yield
        except LinkError as error:
            outcome = error.detail
            raise
        except ReplyError as error:
            outcome = str(error)
            raise
        except (TimeoutError, asyncio.CancelledError):
            outcome = _TOO_LATE
            raise
        except Exception as error:
            outcome = explain_bug(error)
            raise
        finally:
            self.note(name, begun, time.monotonic(), outcome)

    def note(self, name: str, begun: float, ended: float, outcome: str = "") -> None:
        """Note a step by its beginning and end (monotonic)."""
        if len(self._noted) < POLL_STEPS:
            self._noted.append(PollStep(name, begun - self._began, ended - begun, outcome))

    def say(self, outcome: str) -> None:
        """Say what came of the last step."""
        if self._noted and not self._noted[-1].outcome:
            last = self._noted[-1]
            self._noted[-1] = PollStep(last.name, last.offset, last.took, outcome)

    def connected(self, spans: tuple[tuple[Step, float, float], ...]) -> None:
        """Put the steps of connecting in the place of the last one, which they were a part of."""
        if spans and self._noted:
            whole = self._noted.pop()
            for step, begun, ended in spans:
                self.note(_CONNECTING[step], begun, ended)
            self.say(whole.outcome)

    def all(self) -> tuple[PollStep, ...]:
        """Return what was noted."""
        return tuple(self._noted)
