"""Where a request comes from: pages of other sites, and names that are not ours, get nothing out of us.

Any page that a browser shows can send requests to the exporter. It cannot read the answer, unless its own
name has been pointed at the exporter's address meanwhile (DNS rebinding), which `web.allowed_hosts` is for.
Prometheus and curl send none of these headers.
"""

import ipaddress
from collections.abc import Iterable, Mapping

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_OURS = ("none", "same-origin")  # typed, or clicked on a page of ours


def from_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of another site has sent this."""
    site = headers.get("sec-fetch-site", "none")
    return site not in (*_OURS, "same-site") or _foreign_origin(headers)


def from_our_own_pages(headers: Mapping[str, str]) -> bool:
    """Whether this comes from no browser, or from a page of the exporter; siblings of its host are others."""
    return headers.get("sec-fetch-site", "none") in _OURS and not _foreign_origin(headers)


def _foreign_origin(headers: Mapping[str, str]) -> bool:
    """Whether Origin (`https://host:8443`) names another place than Host (`host:8443`) does."""
    origin = headers.get("origin")
    if origin is None:
        return False
    scheme, _, place = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme, "")
    return place.removesuffix(port) != headers.get("host", "").lower().removesuffix(port)


def is_called(host: str, names: Iterable[str]) -> bool:
    """Whether a Host header is one of these names, an address or localhost, with any port.

    Nobody but its owner can point an address or localhost anywhere, so they need not be listed.
    """
    name = host.lower()
    if not name.endswith("]"):
        before, colon, port = name.rpartition(":")
        name = before if colon and port.isdecimal() else name
    name = name.removesuffix(".")
    return name in ("localhost", *names) or _is_address(name)


def _is_address(name: str) -> bool:
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True
