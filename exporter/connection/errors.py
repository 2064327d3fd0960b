"""What goes wrong with a connection, as one exception with a state and a sentence for people."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from exporter.connection.failures import explain_failure
from exporter.model import State
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


@contextmanager
def as_link_errors(*, closed: State) -> Iterator[None]:
    """Turn whatever a connection raises into a LinkError; `closed` is what a closed connection means here."""
    try:
        yield
    except (RedisError, OSError, EOFError, GarbageError) as error:
        raise link_error(error, closed) from error


def link_error(error: Exception, closed: State) -> LinkError:
    """Explain an exception of a connection; `closed` is the state where the other side just hung up."""
    state, detail = explain_failure(error, closed)
    return LinkError(state, detail, closed=isinstance(error, OSError | EOFError))
