"""What goes wrong with a connection, as one exception with a state and a sentence for people."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from exporter.connection.failures import explain_failure
from exporter.model import Access, State
from exporter.parse import GarbageError


class LinkError(Exception):
    """A server could not be asked: the state that follows, and a sentence for people without secrets.

    `closed` says that the other side ended the connection.
    """

    def __init__(self, state: State, detail: str, *, closed: bool = False) -> None:
        super().__init__(detail)
        self.state = state
        self.detail = detail
        self.closed = closed


# What a connection raises; everything else is a bug.
CONNECTION_ERRORS = (RedisError, OSError, EOFError, GarbageError)


@contextmanager
def as_link_errors(access: Access, *, closed: State, answered: bool = True) -> Iterator[None]:
    """Turn whatever a connection raises into a LinkError; for the arguments see explain_failure."""
    try:
        yield
    except CONNECTION_ERRORS as error:
        raise link_error(error, access, closed=closed, answered=answered) from error


def link_error(error: Exception, access: Access, *, closed: State, answered: bool = True) -> LinkError:
    """Explain an exception of a connection; for the arguments see explain_failure."""
    state, detail = explain_failure(error, access, closed=closed, answered=answered)
    return LinkError(state, detail, closed=isinstance(error, OSError | EOFError))
