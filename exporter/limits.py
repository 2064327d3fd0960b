"""Every bound of the process, in one place; docs/limits.md is made from it.

What other people send or name (servers, their clients, name servers, files, HTTP requests) is held up to
these bounds and no further. A bound is a plain number; `bounds()` tells what each is for.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound: its value with the unit, what it bounds, and what happens above it."""

    subject: str
    value: int
    unit: str
    of: str
    above: str


_BOUNDS: list[Bound] = []


def _bound(subject: str, value: int, unit: str, of: str, above: str) -> int:
    _BOUNDS.append(Bound(subject, value, unit, of, above))
    return value


def bounds() -> tuple[Bound, ...]:
    """All bounds, in their order here."""
    return tuple(_BOUNDS)


_REPLIES = "Replies of servers"
HELD_REPLY_BYTES = _bound(
    _REPLIES,
    256 * KIB,
    "bytes",
    "a reply that is held whole, of any kind, with what its items cost us",
    "the connection's bytes are garbage",
)
REPLY_LINE_BYTES = _bound(
    _REPLIES, 64 * KIB, "bytes", "a line of the protocol", "the connection's bytes are garbage"
)
REPLY_ITEMS = _bound(_REPLIES, 64, "items", "an array in a reply", "the connection's bytes are garbage")
REPLY_DEPTH = _bound(_REPLIES, 2, "levels", "arrays in arrays", "the connection's bytes are garbage")
WAITING_BYTES = _bound(
    _REPLIES,
    96 * KIB,
    "bytes",
    "what waits to be read, beside what one call of the system brings",
    "the server is not listened to until it is read",
)
INFO_WHOLE_BYTES = _bound(
    _REPLIES,
    32 * KIB,
    "bytes",
    "INFO that is held whole",
    "of a longer one only the lines that something reads are kept",
)
INFO_BYTES = _bound(_REPLIES, 32 * MIB, "bytes", "INFO", "the connection's bytes are garbage")
INFO_ROWS = _bound(_REPLIES, 512, "lines", "replicas and I/O threads in INFO", "the others are not counted")
CONFIG_VALUE_BYTES = _bound(_REPLIES, 4 * KIB, "bytes", "a value of CONFIG GET", "it is not read")
DROPPED_REPLY_BYTES = _bound(
    _REPLIES, 256 * MIB, "bytes", "a late reply that is read and dropped", "the connection is given up"
)
LIST_ROWS = _bound(
    _REPLIES, 250_000, "rows", "CLIENT LIST", "the others are counted as rows that cannot be read"
)
LIST_LAYOUTS = _bound(
    _REPLIES, 4, "layouts", "the rows of one CLIENT LIST", "the others are read word by word"
)
ROW_BYTES = _bound(
    _REPLIES, 64 * KIB, "bytes", "a row of CLIENT LIST", "it is counted as one that cannot be read"
)
ROW_WORDS = _bound(_REPLIES, 64, "words", "a row of CLIENT LIST", "it is counted as one that cannot be read")

_NAMES = "Names that others choose"
TEXT_BYTES = _bound(_NAMES, 512, "bytes", "a text in a row of CLIENT LIST (name, user, address)", "it is cut")
WORDS_REMEMBERED = _bound(
    _NAMES,
    4096,
    "values",
    "what rows of CLIENT LIST say of work and of memory, remembered",
    "the oldest goes",
)
LABEL_CHARACTERS = _bound(_NAMES, 100, "characters", "a label's value", "it is cut")
NAMES_REMEMBERED = _bound(
    _NAMES, 48_000, "names", "clients' names whose app is remembered", "the least used are asked for anew"
)
IDENTITIES_REMEMBERED = _bound(
    _NAMES,
    6_000,
    "identities",
    "commands with user and library, remembered",
    "the least used are read anew",
)
HOSTS_REMEMBERED = _bound(
    _NAMES, 24_000, "hosts", "clients' hosts, remembered", "the least used are read anew"
)
REMEMBERED_BYTES = _bound(
    _NAMES, 12 * MIB, "bytes", "all that are remembered of these three together", "as above"
)
RENAME_RULES = _bound(_NAMES, 100, "rules", "clients.app.rename", "the settings are refused")
PATTERN_CHARACTERS = _bound(
    _NAMES, 1000, "characters", "a pattern of clients.app.rename", "the settings are refused"
)
PATTERN_STEPS = _bound(
    _NAMES, 2000, "steps", "a pattern of clients.app.rename, compiled", "the settings are refused"
)
PATTERN_BYTES = _bound(
    _NAMES, 512 * KIB, "bytes", "what RE2 keeps of a pattern", "it reads more slowly, but in linear time"
)
ADDRESSES_AT_ONCE = _bound(
    _NAMES, 8, "addresses", "a host name, tried side by side", "the others are not tried"
)

_SETTINGS = "Settings"
_REFUSED = "the settings are refused"
SETTINGS_FILE_BYTES = _bound(_SETTINGS, 10 * MIB, "bytes", "the YAML file", _REFUSED)
SETTINGS_FILE_SECONDS = _bound(_SETTINGS, 10, "seconds", "reading it from its disk", _REFUSED)
SETTINGS_SECONDS = _bound(_SETTINGS, 30, "seconds", "reading the settings, all in all", _REFUSED)
SETTINGS_LEVELS = _bound(_SETTINGS, 32, "levels", "groups in groups, in the file or in JSON", _REFUSED)
SETTINGS_VALUES = _bound(
    _SETTINGS, 250_000, "keys and values", "the file, each alias counted as what it stands for", _REFUSED
)
SETTINGS_VALUE_CHARACTERS = _bound(_SETTINGS, 64 * KIB, "characters", "a value or key of the file", _REFUSED)
SETTINGS_FAULTS = _bound(_SETTINGS, 100, "faults", "faults that are named", "the others are counted")
_KEPT = "What is kept of the past"
APP_SAMPLES = _bound(_KEPT, 60, "samples", "an app at one server, one a minute", "the oldest go")
APP_PEAKS = _bound(_KEPT, 36, "peaks", "an app at one server, one for ten minutes", "the oldest go")
SERVER_BEATS = _bound(_KEPT, 31, "beats", "a server's counters, one for ten seconds", "the oldest go")
LARGEST_APPS_SHOWN = _bound(
    _KEPT, 5, "apps", "at one server, the largest whose instances are told", "no others"
)
LEAKING_APPS_SHOWN = _bound(
    _KEPT, 5, "apps", "at one server, that leak and whose instances are told", "no others"
)
INSTANCES_SHOWN = _bound(_KEPT, 10, "instances", "of an app, the largest", "the others are not told")
SAMPLES_SHOWN = _bound(_KEPT, 5, "connections", "of an instance, as samples", "the others are not told")
POLL_STEPS = _bound(_KEPT, 12, "steps", "a poll, with their times", "the others are not noted")
PAUSES_REMEMBERED = _bound(
    _KEPT, 256, "apps", "at one server, how long their connections rest at most", "the oldest is forgotten"
)
LABELS_WRITTEN = _bound(
    _KEPT, 4096, "texts", "labels as they stand on the page, of all targets", "they are written anew"
)

_FILES = "Files"
SECRET_BYTES = _bound(_FILES, 64 * KIB, "bytes", "a password_file", "it is refused")
CERTIFICATE_BYTES = _bound(_FILES, 4 * MIB, "bytes", "a file of certificates or a key", "it is refused")

_THREADS = "Threads"
NAME_THREADS = _bound(_THREADS, 8, "threads", "names, resolved at once", "they wait for each other")
FILE_THREADS = _bound(
    _THREADS, 6, "threads", "files of targets, read at once (one of a mount)", "they wait for each other"
)
OTHER_THREADS = _bound(_THREADS, 2, "threads", "a reload, and large pages", "they wait for each other")
PACES_REMEMBERED = _bound(
    _THREADS, 4096, "names and files", "which of them were quick or slow, remembered", "the oldest goes"
)

_DESCRIPTORS = "File descriptors"
DESCRIPTORS_KEPT = _bound(
    _DESCRIPTORS,
    64,
    "descriptors",
    "those kept for HTTP and files (half of all, if that is less)",
    "a target that would take them is unreachable, and says what to raise",
)

_HTTP = "HTTP"
HTTP_CONNECTIONS = _bound(
    _HTTP,
    256,
    "connections",
    "all clients together; a 32nd of the files that may be open where that is less, but 16",
    "of the address that holds most, the one that was answered longest ago is closed",
)
HTTP_CONNECTIONS_PER_ADDRESS = _bound(
    _HTTP,
    128,
    "connections",
    "one address (of IPv6, a /64); half of all where that is less",
    "of its own, the one that was answered longest ago is closed",
)
HTTP_REQUESTS = _bound(
    _HTTP,
    1024,
    "requests",
    "all clients together, under way, those of clients that are gone too",
    "all but health and readiness are answered by 503",
)
HTTP_REQUEST_SECONDS = _bound(_HTTP, 10, "seconds", "a request, until it is whole", "the connection is cut")
HTTP_RELOAD_SECONDS = _bound(
    _HTTP, 8, "seconds", "a reload, until it is done", "the answer is 202, and says where the outcome will be"
)
HTTP_HEAD_BYTES = _bound(_HTTP, 16 * KIB, "bytes", "the head of a request", "it is refused")
HTTP_BODY_BYTES = _bound(
    _HTTP, 4 * KIB, "bytes", "the body of a request, which is dropped", "it is refused, or the connection cut"
)
HTTP_QUERY_BYTES = _bound(_HTTP, 4 * KIB, "bytes", "a query string", "the rest is not read")
HTTP_ACCEPT_CHARACTERS = _bound(_HTTP, 4 * KIB, "characters", "an Accept header", "the rest is not read")
HTTP_UNREAD_BYTES = _bound(
    _HTTP,
    64 * MIB,
    "bytes",
    "pages that clients have not read yet, each counted once; four of the largest always",
    "whoever has not read for longest is cut",
)
TARGETS_SHARED = _bound(
    _HTTP,
    16,
    "targets",
    "those whose own answer of the API is kept for others to share",
    "that which was asked for longest ago is made anew",
)
PAGES_PER_SECOND = _bound(
    _HTTP, 4, "times a second", "a page of all targets is made", "those who ask share the newest one"
)

_LOG = "Log"
LOG_WAITING_BYTES = _bound(
    _LOG, 2 * MIB, "bytes", "lines that wait for the reader of standard error", "newer ones are dropped"
)
LOG_TEXT_CHARACTERS = _bound(_LOG, 16 * KIB, "characters", "a value in a line", "it is cut")
LOG_KIND_LINES = _bound(
    _LOG, 20, "lines", "one event of one target, or of none, in a row", "they are counted"
)
LOG_KIND_SECONDS = _bound(_LOG, 5, "seconds", "until there may be another line of it", "they are counted")
LOG_KINDS = _bound(_LOG, 4096, "events", "remembered for that", "the oldest goes")
LOG_LAST_SECONDS = _bound(_LOG, 1, "seconds", "the last lines, at the end", "they are dropped")
