"""What is missing where a server denies a command to the exporter's user, or does not know it."""

from collections.abc import Collection, Iterator

# What is missed most comes first; the names are those that ACL rules give the commands.
_MISSING = {
    "client|list": "no apps, hosts or users",
    "config|get": "limit unknown",
    "cluster|info": "cluster links not counted",
    "client|id": "counts itself behind NAT",
    "client|no-evict": "may be evicted",
    "client|setinfo": "not named there",
    "client|setname": "not named there",
}


def missing_without(denied: Collection[str], *, limit_known: bool) -> Iterator[tuple[str, str]]:
    """Each denied command, and what is missing because of that; the text is empty where nothing is."""
    for name in [*(name for name in _MISSING if name in denied), *sorted(set(denied) - _MISSING.keys())]:
        is_told = name == "config|get" and limit_known
        yield name, "" if is_told else _MISSING.get(name, "")
