"""What a connection is doing, by its flags, its idle time and whether it watches keys."""

from functools import lru_cache

from exporter.model import ClientState

# The first flag of these decides (networking.c, catClientInfoString). Redis 8.4 marks the two ends of a slot
# migration with g and o, Valkey 9 with E and i, and Redis 8.0 the second link of a syncing replica with C.
# I is not among them: an internal connection to Redis 8, an import source to Valkey, a plain client to both.
# Nor is H, a priority client of Valkey 9.2, which may be any of them.
_STATES_OF_FLAGS = (
    (b"SCgE", ClientState.REPLICA),
    (b"Moi", ClientState.PRIMARY),
    (b"O", ClientState.MONITOR),
    (b"b", ClientState.BLOCKED),
    (b"P", ClientState.PUBSUB),
)
_IN_TRANSACTION = b"xd"

# Last commands that say nothing of an app's work: of handshakes, health checks, and watching a server.
_NO_USE = frozenset(
    b"NULL ping echo hello auth select client command cluster config info readonly reset quit".split()
)

# Positions of the states in a list of counts; those of which single clients are looked at come last.
ORDER = (
    ClientState.ACTIVE,
    ClientState.PUBSUB,
    ClientState.MONITOR,
    ClientState.REPLICA,
    ClientState.PRIMARY,
    ClientState.IDLE,
    ClientState.BLOCKED,
    ClientState.STALE,
)
_POSITION = {state: position for position, state in enumerate(ORDER)}
ACTIVE, IDLE, STALE, BLOCKED, PUBSUB = (
    _POSITION[ClientState(name)] for name in ("active", "idle", "stale", "blocked", "pubsub")
)
HELD = len(ORDER)  # idle in a transaction or with a watch for longer than stale_after


def state_of(flags: bytes, watch: int, idle: int, stale_after: float) -> ClientState:
    """The one state of a connection; stale is only a plain client without a transaction or a watch."""
    state, in_transaction = _told_by_flags(flags)
    if state is not None:
        return state
    if idle == 0:
        return ClientState.ACTIVE
    held = in_transaction or watch > 0
    return ClientState.STALE if idle > stale_after and not held else ClientState.IDLE


@lru_cache(maxsize=256)
def _told_by_flags(flags: bytes) -> tuple[ClientState | None, bool]:
    """The state of all but plain clients, and whether a transaction is open."""
    states = (state for marks, state in _STATES_OF_FLAGS if any(mark in flags for mark in marks))
    return next(states, None), any(mark in flags for mark in _IN_TRANSACTION)


def judge(flags: bytes, watch: int, idle: int, stale_after: float) -> int:
    """What a client does, as a position in ORDER, or HELD."""
    state = _POSITION[state_of(flags, watch, idle, stale_after)]
    return HELD if state == IDLE and idle > stale_after else state


def is_use(command: bytes) -> bool:
    """Whether a last command is a use of the connection; subcommands are written `client|setname` (7.0)."""
    return command.partition(b"|")[0] not in _NO_USE
