"""Targets that stand twice in the list, found on its raw values, so that other faults hide none of them."""

from collections.abc import Iterator

from pydantic_core import InitErrorDetails, PydanticCustomError

from exporter.settings.kinds import parse_redis_url

_CURES = {
    "url": "is the same server: write each server once",
    "name": "has the same name: write another name",
}


def find_doubles(raw: object) -> Iterator[InitErrorDetails]:
    """Find targets that share a name or a place, as pydantic's errors."""
    seen: dict[tuple[str, str], int] = {}
    for index, item in enumerate(raw if isinstance(raw, list | tuple) else ()):
        for key, identity in _identities(item):
            first = seen.setdefault((key, identity), index)
            if first != index:
                yield InitErrorDetails(
                    type=PydanticCustomError(
                        "double_target",
                        "targets[{first}] {cure}",
                        {"first": first, "cure": _CURES[key]},
                    ),
                    loc=(index, key),
                    input=None,
                )
                break


def _identities(item: object) -> Iterator[tuple[str, str]]:
    """What of a raw target no other target may share: its place, and its name where it has one."""
    given = item if isinstance(item, dict) else {}
    try:
        place = parse_redis_url(given.get("url")).place
    except ValueError:
        place = ""
    if place:
        yield "url", place
    name = given.get("name") or place
    if isinstance(name, str) and name:
        yield "name", name
