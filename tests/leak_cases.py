"""When the alerts of leaks fire, stay quiet, and what they say: made up, and from recorded applications."""

import json
from collections.abc import Mapping

from tests.alert_cases import (
    HELD,
    HOLDERS,
    LAST_LISTED,
    LISTED,
    OK,
    USED,
    Case,
    Fires,
    also,
    apps,
    quiet,
    slots,
    until_cut_off,
)
from tests.daemon import ROOT

# What the exporter said of recorded applications, by recording: tests/leaks/series.py.
RECORDED: Mapping[str, Mapping[str, str]] = json.loads(
    (ROOT / "tests" / "data" / "leak_series.json").read_text()
)
LEAKS: dict[str, float | str] = {
    'redis_app_verdict{app="cart",verdict="leaking"}': 1,
    'redis_app_leak_evidence_connections{app="cart",evidence="left_behind"}': 50,
    'redis_app_leak_evidence_connections{app="cart",evidence="held_transaction"}': 5,
    'redis_app_worst_instance_connections{app="cart",exported_instance="cart-x2x9k"}': 46,
}
SAYS = (
    "cart leaks connections to orders: 55 of 65 will probably not be used again. Evidence: left behind 50 "
    "held transaction 5. Its worst instance is cart-x2x9k with 46 connections. "
)
_UNKNOWN = "unknown of unknown connections in use when last seen"
_HEALTHY = [
    f"{server}-{behaviour}"
    for behaviour in ("pods", "nameless-pods", "bursts", "pools", "minimum", "single", "waiting")
    for server in "RV"
]
_EARLY = ("RedisConnectionsOpenedUnused", "RedisConnectionsGrowWithoutNeed")


def recorded(recording: str, app: str = "") -> dict[str, float | str]:
    """What the exporter said of the apps of a recording, or of one of them."""
    said: dict[str, float | str] = {LISTED: "0+15x110"}
    return said | {name: values for name, values in RECORDED[recording].items() if f'app="{app}' in name}


def leaks(says: str, app: str = "cart", holders: str = HOLDERS, used: str = USED) -> tuple[Fires, ...]:
    """The ticket of an app that leaks."""
    return (Fires(f"{says}{used}.{holders}", labels={"app": app}),)


def of_recorded(app: str, leaked: int, held: int, evidence: str = "") -> tuple[Fires, ...]:
    """The ticket of a recorded leak, all of it in one process."""
    says = (
        f"{app} leaks connections to orders: {leaked} of {held} will probably not be used again. "
        f"Evidence: {evidence or f'left behind {leaked}'}. "
        f"Its worst instance is {app} with {held} connections. "
    )
    return leaks(says, app, f"\nHeld by {app} {held} ({leaked} suspected leaked).", _UNKNOWN)


def opened_unused(opened: int, held: int, evidence: str) -> tuple[Fires, ...]:
    """The ticket of an app that does not use what it opens."""
    says = (
        f"cart opened {opened} connections to orders within 5 minutes, used few of them, and opens more: "
        f"a leak may have begun. Evidence: {evidence}. {_UNKNOWN}.\nHeld by cart {held}."
    )
    return (Fires(says, labels={"app": "cart"}),)


def _one_late(series: Mapping[str, float | str], at: int) -> dict[str, float | str]:
    """Series without those of two scrapes, because a list came too late."""
    return {name: _without(str(values), at) for name, values in series.items()}


def _without(values: str, at: int) -> str:
    words = [word for value in values.split() for word in _single(value)]
    return " ".join([*words[:at], *["stale", "_"][: len(words) - at], *words[at + 2 :]])


def _single(value: str) -> list[str]:
    number, times, count = value.partition("x")
    if "+" in number:
        first, step = map(int, number.split("+"))
        return [str(first + step * each) for each in range(int(count) + 1)]
    return [number] * (int(count) + 1) if times else [value]


_LEAKING = "RedisConnectionsLeaking"
_OF_LEAKS = [
    Case(
        "suspected by one exporter, while another has just begun to watch",
        _LEAKING,
        slots(85)
        | HELD
        | LEAKS
        | OK
        | also(
            apps(15, cart=65, login=20)
            | {
                'redis_app_suspected_leaked_connections{app="cart"}': 0,
                'redis_app_verdict{app="cart",verdict="unknown"}': 1,
            }
        ),
        {"3m": leaks(SAYS)},
    ),
    Case(
        "more than ten suspected leaks of an app that leaks",
        _LEAKING,
        slots(85) | HELD | LEAKS | OK,
        {"2m45s": (), "3m": leaks(SAYS)},
    ),
    Case(
        "where the scrape keeps the client's instance under its own label",
        _LEAKING,
        {
            name.replace("exported_instance", "instance"): value
            for name, value in (slots(85) | HELD | LEAKS | OK).items()
        },
        {"3m": leaks(SAYS)},
    ),
    Case(
        "a leak's ticket outlasts a gap of half an hour",
        _LEAKING,
        until_cut_off(slots(85) | HELD | LEAKS | OK, 48),
        {"50m": leaks(SAYS, holders=LAST_LISTED, used=f"{USED} when last seen"), "54m": ()},
    ),
    quiet(
        "ten suspected leaks",
        _LEAKING,
        slots(85) | LEAKS | {'redis_app_suspected_leaked_connections{app="cart"}': 10},
    ),
    quiet(
        "suspected leaks of an app that is judged otherwise",
        _LEAKING,
        slots(85) | HELD | {'redis_app_verdict{app="cart",verdict="healthy"}': 1},
    ),
    quiet(
        "all other apps together are not one app",
        _LEAKING,
        {name.replace('"cart"', '"other"'): value for name, value in (HELD | LEAKS | OK).items()},
    ),
    # Each of these leaks one a second from 60 s on, and is known to do so at 135 s.
    *(
        Case(
            f"recorded: {app}",
            _LEAKING,
            recorded(recording, app),
            {"5m": (), "5m15s": of_recorded(app, leaked, held)},
        )
        for recording, app, leaked, held in (
            ("R-rates", "ioredis-leak-quick", 40, 44),
            ("V-rates", "jedis-leak-quick", 40, 44),
            ("R-forgotten", "redispy-forget-often", 27, 34),
        )
    ),
    Case(
        "recorded: a late list does not make the wait begin again",
        _LEAKING,
        _one_late(recorded("R-rates", "ioredis-leak-quick"), 14),
        {"5m": (), "5m15s": of_recorded("ioredis-leak-quick", 40, 44)},
    ),
    *(
        Case(
            f"recorded: {app}, which leaks one in {every} seconds",
            _LEAKING,
            recorded(recording, app),
            {at: (), "16m": of_recorded(app, leaked, held, evidence)},
        )
        for recording, app, every, at, leaked, held, evidence in (
            (
                "R-timeout",
                "redispy-leak-timeout",
                2,
                "5m",
                23,
                33,
                "reaped by timeout 105 left behind 23",
            ),
            (
                "R-multi",
                "redispy-leak-multi",
                8,
                "5m45s",
                25,
                28,
                "left behind 25 opened and unused 24 held transaction 1",
            ),
        )
    ),
]
_CART = 'redis_app_connections{app="cart",state="idle"}'
_OPENED = 'redis_app_leak_evidence_connections{app="cart",evidence="opened_and_unused"}'
_OF_EARLY = [
    Case(
        "a leak of one a second",
        "RedisConnectionsOpenedUnused",
        {LISTED: "0+15x110", _CART: "5+15x100", _OPENED: "_ _ _ _ _ 75+15x15 300x80"},
        {"5m": (), "5m15s": opened_unused(300, 320, "opened and unused 300")},
    ),
    Case(
        "the same, while one list is late",
        "RedisConnectionsOpenedUnused",
        _one_late({LISTED: "0+15x110", _CART: "5+15x100", _OPENED: "_ _ _ _ _ 75+15x15 300x80"}, 12),
        {"5m": (), "5m15s": opened_unused(300, 320, "opened and unused 300")},
    ),
    *(
        Case(
            sentence,
            "RedisConnectionsOpenedUnused",
            {LISTED: "0+15x110", _CART: held, _OPENED: evidence},
            {f"{minute}m": () for minute in range(1, 16)},
        )
        for sentence, held, evidence in (
            ("a pool that is filled and waits for its traffic", "5x8 45x80", "_ _ _ _ _ _ _ _ _ 40x20 stale"),
            (
                "an old deployment gives way to a new one that is not used yet",
                "40x8 50 60 70 80 70 60 50 40x80",
                "_ _ _ _ _ _ _ _ _ 10 20 30 40x20 stale",
            ),
            (
                "twelve pods more, with pools that are filled one after another",
                "10x8 15 20 30 35 40 45 55 60x80",
                "_ _ _ _ _ _ _ _ _ 10 20 25 30 35 45 50x20 stale",
            ),
        )
    ),
    Case(
        "a slow leak of which nothing but the growth is known",
        "RedisConnectionsGrowWithoutNeed",
        {
            LISTED: "0+15x110",
            _CART: "5x20 6x4 7x4 8x4 9x4 10x80",
            'redis_app_leak_evidence_connections{app="cart",evidence="growth_without_need"}': "_ _ _ _ 5x80",
        },
        {
            "5m45s": (),
            "6m": (
                Fires(
                    "cart has 5 connections to orders more than a while ago, but does not use more at once. "
                    f"Evidence: growth without need 5. {_UNKNOWN}.\nHeld by cart 6.",
                    labels={"app": "cart"},
                ),
            ),
        },
    ),
    *(
        Case(
            f"recorded: a leak that has ended, {recording}",
            alert,
            recorded(recording, app),
            {f"{minute}m": () for minute in range(1, 16)},
        )
        for recording, app in (("R-rates", ""), ("R-pinged", "goredis-leak-pinged"))
        for alert in _EARLY
    ),
]
_OF_OTHERS = [
    quiet(
        "what the other apps open together and do not use",
        "RedisConnectionsOpenedUnused",
        {
            LISTED: "0+15x110",
            _CART.replace("cart", "other"): "5+15x100",
            _OPENED.replace("cart", "other"): "75x100",
        },
    ),
    quiet(
        "growth of the other apps together",
        "RedisConnectionsGrowWithoutNeed",
        {
            LISTED: "0+15x110",
            'redis_app_leak_evidence_connections{app="other",evidence="growth_without_need"}': "75x100",
        },
    ),
]
_OF_HEALTHY = [
    Case(
        f"recorded: healthy, {recording}",
        alert,
        recorded(recording),
        {f"{minute}m": () for minute in range(1, 12)},
    )
    for recording in _HEALTHY
    for alert in (_LEAKING, *_EARLY)
]


def _nameless(connections: int, nameless: int) -> dict[str, float | str]:
    return apps("0+15x400", cart=connections) | {"redis_nameless_connections": nameless}


_OF_NAMES = [
    Case(
        "most connections have no name",
        "RedisConnectionsNameless",
        _nameless(20, 12),
        {
            "29m": (),
            "30m": (
                Fires(
                    "60% of the clients of orders have no name, so that apps of the same user, library or "
                    "host cannot be told apart. One line in each app sets a name: see docs/app-names.md."
                    "\nHeld by cart 20.",
                    "info",
                ),
            ),
        },
    ),
    quiet("half of them have one", "RedisConnectionsNameless", _nameless(20, 10), at="40m"),
    quiet("few connections", "RedisConnectionsNameless", _nameless(19, 19), at="40m"),
]
LEAK_CASES = [*_OF_LEAKS, *_OF_EARLY, *_OF_OTHERS, *_OF_HEALTHY, *_OF_NAMES]
