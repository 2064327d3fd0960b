"""Which format a scraper gets: its Accept and Accept-Encoding headers, read by the letter.

Never raises on any header. q-values count (RFC 9110, 12.4.2), unknown versions are no match, and what
matches nothing gets the Prometheus text format 0.0.4, as every client library does
(prometheus.io, instrumenting/content_negotiation).
"""

import re
from collections.abc import Iterator
from enum import Enum

_PARAMETER = re.compile(r';\s*([!-:<-~]+?)\s*=\s*("[^"]*"|[^;,"\s]*)')
_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_MAX_HEADER = 4096
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


# What a range without a version stands for, and which format wins among equal q-values.
_PREFERENCE = (Format.OPENMETRICS_1_0_0, Format.TEXT_1_0_0, Format.TEXT_0_0_4)
_UNVERSIONED = {
    "text/plain": Format.TEXT_0_0_4,
    "text/*": Format.TEXT_0_0_4,
    "*/*": Format.TEXT_0_0_4,
    "application/openmetrics-text": Format.OPENMETRICS_1_0_0,
}
_VERSIONED = {form.value: form for form in Format}


def _ranges(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Split a header into its items, each with its parameters in lower case."""
    for item in header[:_MAX_HEADER].split(","):
        name, semicolon, rest = item.partition(";")
        parameters = {key.lower(): value.strip('"') for key, value in _PARAMETER.findall(semicolon + rest)}
        yield name.strip().lower(), parameters


def _quality(parameters: dict[str, str]) -> float:
    """The q-value; 1 where none is given, 0 where it is no q-value."""
    text = parameters.get("q", "1")
    return float(text) if _QVALUE.fullmatch(text) else 0.0


def negotiate_format(accept: str) -> tuple[Format, str]:
    """Choose the format and the escaping scheme for an Accept header."""
    best: tuple[float, int, Format, str] | None = None
    for media, parameters in _ranges(accept):
        version = parameters.get("version")
        form = _VERSIONED.get((media, version)) if version is not None else _UNVERSIONED.get(media)
        quality = _quality(parameters)
        if form is None or quality == 0:
            continue
        escaping = parameters.get("escaping", "underscores")
        offer = (
            quality,
            -_PREFERENCE.index(form),
            form,
            escaping if escaping in _ESCAPINGS else "underscores",
        )
        if best is None or offer[:2] > best[:2]:
            best = offer
    return (best[2], best[3]) if best is not None else (Format.TEXT_0_0_4, "underscores")


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip is welcome (RFC 9110, 12.5.3): named, or matched by *, with a q-value above 0."""
    codings = {name: _quality(parameters) for name, parameters in _ranges(accept_encoding)}
    return codings.get("gzip", codings.get("x-gzip", codings.get("*", 0.0))) > 0
