"""An opening under way: a task that may outlive the call that began it."""

import asyncio

from exporter.connection.errors import LinkError
from exporter.connection.opening import Opened
from exporter.connection.resp import ErrorReply
from exporter.parse.errors import read_error


class GivenUpError(Exception):
    """An opening was cancelled because the settings have changed."""


async def result_of(opening: "asyncio.Task[Opened]") -> Opened:
    """Wait for an opening, which goes on when the waiting is given up."""
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        ourselves = asyncio.current_task()
        if opening.cancelled() and ourselves is not None and not ourselves.cancelling():
            raise GivenUpError from None
        raise


def answered(opened: Opened) -> Opened:
    """Return a connection over which INFO was answered, and close another.

    Raises:
        LinkError: INFO was refused.

    """
    if isinstance(opened.info, ErrorReply):
        opened.connection.close()
        raise LinkError(*read_error(opened.info.text, "INFO", opened.access, opened.credentials.secret))
    return opened


def give_up(opening: "asyncio.Task[Opened]") -> None:
    """Cancel an opening, and close what it may have reached all the same."""
    opening.cancel()
    opening.add_done_callback(_close_unwanted)


def _close_unwanted(opening: "asyncio.Task[Opened]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().connection.close()
