"""Which format a scraper gets: its Accept and Accept-Encoding headers, read by the letter.

Never raises on any header. q-values count (RFC 9110, 12.4.2), unknown versions are no match, and what
matches nothing gets the Prometheus text format 0.0.4, as every client library does
(prometheus.io, instrumenting/content_negotiation).
"""

import re
from collections.abc import Iterator
from enum import Enum

from exporter.limits import HTTP_ACCEPT_CHARACTERS

_PARAMETER = re.compile(r';\s*([!-:<-~]+?)\s*=\s*("[^"]*"|[^;,"\s]*)')
_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
# Our names are all of the old alphabet, so under these schemes they are written as they are.
_ESCAPINGS = ("underscores", "values", "allow-utf-8")


class Format(Enum):
    """An exposition format: its media type and version."""

    TEXT_0_0_4 = ("text/plain", "0.0.4")
    TEXT_1_0_0 = ("text/plain", "1.0.0")
    OPENMETRICS_1_0_0 = ("application/openmetrics-text", "1.0.0")

    def content_type(self, escaping: str = "underscores") -> str:
        """The Content-Type; formats of version 1.0.0 also name their escaping scheme."""
        media, version = self.value
        scheme = f"; escaping={escaping}" if version == "1.0.0" else ""
        return f"{media}; version={version}; charset=utf-8{scheme}"


# How well a media range matches a format (RFC 9110, 12.5.1: the most specific range decides its quality),
# and which format wins among equals: one that names no version gets the oldest text.
_ANY, _TYPE, _MEDIA, _VERSION = range(4)
_NEWEST_FIRST = (Format.OPENMETRICS_1_0_0, Format.TEXT_1_0_0, Format.TEXT_0_0_4)
_OLDEST_FIRST = (Format.TEXT_0_0_4, Format.OPENMETRICS_1_0_0, Format.TEXT_1_0_0)


def _ranges(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Split a header into its items, each with its parameters in lower case."""
    for item in header[:HTTP_ACCEPT_CHARACTERS].split(","):
        name, semicolon, rest = item.partition(";")
        parameters = {key.lower(): value.strip('"') for key, value in _PARAMETER.findall(semicolon + rest)}
        yield name.strip().lower(), parameters


def _quality(parameters: dict[str, str]) -> float:
    """The q-value; 1 where none is given, 0 where it is no q-value."""
    text = parameters.get("q", "1")
    return float(text) if _QVALUE.fullmatch(text) else 0.0


def _specificity(form: Format, media: str, version: str | None) -> int | None:
    """How well a range matches a format; None where it does not."""
    own_media, _ = form.value
    if version is not None:
        return _VERSION if (media, version) == form.value else None
    if form is Format.TEXT_1_0_0:
        return None  # only for those who name it
    if media == own_media:
        return _MEDIA
    if media == own_media.partition("/")[0] + "/*":
        return _TYPE
    return _ANY if media == "*/*" else None


def negotiate_format(accept: str) -> tuple[Format, str]:
    """Choose the format and the escaping scheme for an Accept header."""
    ranges = tuple(_ranges(accept))
    offers: list[tuple[float, int, int, Format, str]] = []
    for form in Format:
        matches = [
            (specificity, parameters)
            for media, parameters in ranges
            if (specificity := _specificity(form, media, parameters.get("version"))) is not None
        ]
        if matches:
            specificity, parameters = max(matches, key=lambda match: match[0])
            order = _NEWEST_FIRST if specificity >= _MEDIA else _OLDEST_FIRST
            escaping = parameters.get("escaping", "")
            offers.append((_quality(parameters), specificity, -order.index(form), form, escaping))
    best = max(offers, key=lambda offer: offer[:3], default=None)
    if best is None or best[0] == 0:
        return Format.TEXT_0_0_4, _ESCAPINGS[0]
    return best[3], best[4] if best[4] in _ESCAPINGS else _ESCAPINGS[0]


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip is welcome (RFC 9110, 12.5.3): named, or matched by *, with a q-value above 0."""
    codings = {name: _quality(parameters) for name, parameters in _ranges(accept_encoding)}
    return codings.get("gzip", codings.get("x-gzip", codings.get("*", 0.0))) > 0
