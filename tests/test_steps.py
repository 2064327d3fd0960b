"""What a poll notes of its steps."""

import asyncio
import socket

import pytest

from exporter.connection.errors import LinkError
from exporter.connection.failures import Step
from exporter.connection.link import Link
from exporter.limits import POLL_STEPS
from exporter.model import Access, Outage, Reading, RedisUrl, State, Target
from exporter.poll.redis import poll_once
from exporter.poll.steps import Steps
from tests.conftest import StartServer


def test_a_step_that_fails_says_how() -> None:
    steps = Steps(0.0)

    def fail(name: str, error: BaseException) -> None:
        with pytest.raises(type(error)), steps.step(name):
            raise error

    with steps.step("fine"):
        pass
    fail("refused", LinkError(State.REFUSED, "nobody there"))
    fail("late", TimeoutError())
    fail("cancelled", asyncio.CancelledError())
    fail("a bug", LookupError("secret"))
    told = {step.name: step.outcome for step in steps.all()}
    assert told.pop("a bug").startswith("a bug of the exporter: LookupError in")
    assert told == {
        "fine": "",
        "refused": "nobody there",
        "late": "not done in time",
        "cancelled": "not done in time",
    }


def test_steps_are_bounded() -> None:
    steps = Steps(0.0)
    for _ in range(2 * POLL_STEPS):
        steps.note("again", 1.0, 2.0)
    assert len(steps.all()) == POLL_STEPS


def test_connecting_stands_in_the_place_of_the_step_that_it_was_a_part_of() -> None:
    steps = Steps(1.0)
    steps.note("INFO", 1.0, 4.0, "refused: nobody there")
    steps.connected(((Step.RESOLVE, 1.0, 2.0), (Step.CONNECT, 2.0, 4.0)))
    told = [(step.name, step.offset, step.took, step.outcome) for step in steps.all()]
    assert told == [("resolve the name", 0.0, 1.0, ""), ("connect", 1.0, 2.0, "refused: nobody there")]
    steps.connected(())
    assert len(steps.all()) == 2, "nothing was done to connect"


def test_the_first_poll_tells_how_it_connected_and_the_second_asks_over_that_connection(
    start_server: StartServer,
) -> None:
    target = Target("orders", Access(RedisUrl("127.0.0.1", start_server().port)))

    async def main() -> None:
        link = Link(target.access)
        first, second = [await poll_once(target, link, 5.0) for _ in range(2)]
        assert isinstance(first, Reading)
        names = [step.name for step in first.steps]
        assert names[:5] == [
            "read password and certificates",
            "resolve the name",
            "connect",
            "first answer (AUTH, INFO)",
            "read INFO",
        ]
        offsets = [step.offset for step in first.steps]
        assert offsets == sorted(offsets)
        assert all(step.took >= 0 for step in first.steps)
        assert sum(step.took for step in first.steps) <= first.took
        assert [step.name for step in second.steps][:2] == ["INFO", "read INFO"]
        link.close()

    asyncio.run(main())


def test_a_server_that_does_not_answer_is_told_at_the_step_that_waits() -> None:
    async def main(port: int) -> None:
        target = Target("mute", Access(RedisUrl("127.0.0.1", port)))
        link = Link(target.access)
        outage = await poll_once(target, link, 0.2)
        link.close()
        assert isinstance(outage, Outage)
        last = outage.steps[-1]
        assert (last.name, last.outcome) == ("first answer (AUTH, INFO)", "not done in time")

    with socket.create_server(("127.0.0.1", 0)) as mute:
        asyncio.run(main(mute.getsockname()[1]))
