"""A request and an answer as the pages see them, and the headers that every answer carries."""

from dataclasses import dataclass
from email.utils import formatdate

TEXT = "text/plain; charset=utf-8"
STRICT_POLICY = "default-src 'none'; frame-ancestors 'none'"

# A page tells of a network's inside: no browser keeps it, frames it, or hands it to another site's page.
_ALWAYS = {
    "cache-control": "no-store",
    "content-security-policy": STRICT_POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    body: bytes
    status: int = 200
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What of a request matters here; header names are in lower case."""

    method: str
    path: str
    query: bytes
    headers: dict[str, str]


def headers_of(answer: Answer) -> list[tuple[bytes, bytes]]:
    """Every header of an answer; its own win over those that all carry."""
    headers = {
        "content-type": answer.content_type,
        "content-length": str(len(answer.body)),
        "date": formatdate(usegmt=True),
        **_ALWAYS,
        **dict(answer.headers),
    }
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
