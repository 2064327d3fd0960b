"""Applications on redis-py: what they do comes as JSON on standard input (see ../../README.md)."""

import contextlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

App = dict[str, Any]
_BROKEN = (redis.RedisError, OSError, ValueError)

told = json.load(sys.stdin)


def now() -> float:
    return time.time() - float(told["t0"])


def wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - now()))


def jitter(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)


def start(*work: Any) -> None:
    threading.Thread(target=work[0], args=work[1:], daemon=True).start()


def new_pool(app: App, **settings: Any) -> Any:
    return redis.ConnectionPool(
        host="127.0.0.1", port=app["port"], client_name=app["name"] or None, max_connections=1000, **settings
    )


def say(connection: Any, *words: str) -> None:
    connection.send_command(*words)
    connection.read_response()


def use(pool: Any, hold: float) -> None:
    connection = pool.get_connection()
    try:
        say(connection, "INCR", "work")
        time.sleep(hold)
    except _BROKEN:
        connection.disconnect()
    finally:
        pool.release(connection)


def worker(app: App, pool: Any, part: list[float]) -> None:
    begin, end, _, hold, pause = part
    wait_until(begin)
    time.sleep(random.uniform(0, pause))
    while now() < min(end, app["stop"]):
        with contextlib.suppress(*_BROKEN):
            use(pool, hold)
        time.sleep(jitter(pause))


def leak(app: App, pool: Any, kept: list[Any]) -> None:
    how = app["leak"]
    moment = how["from"]
    while moment < min(how["to"], app["stop"]):
        wait_until(moment)
        with contextlib.suppress(*_BROKEN):
            own = new_pool(app) if how["fresh"] else pool
            connection = own.get_connection()
            say(connection, "MULTI") if how["multi"] else say(connection, "GET", "leaked")
            kept.append((own, connection))
            if how["ping"]:
                start(ping, app, connection)
        moment += how["every"]


def ping(app: App, connection: Any) -> None:
    with contextlib.suppress(*_BROKEN):
        while now() < app["stop"]:
            time.sleep(app["leak"]["ping"])
            say(connection, "PING")


def run_pool(app: App) -> None:
    pool, kept = new_pool(app), list[Any]()
    filled = [pool.get_connection() for _ in range(app["fill"])]
    for connection in filled:
        say(connection, "INCR", "work")
        pool.release(connection)
    for part in app["load"]:
        for _ in range(int(part[2])):
            start(worker, app, pool, part)
    if app["leak"]:
        start(leak, app, pool, kept)
    wait_until(app["stop"])
    for own in [pool, *(own for own, _ in kept)]:
        own.disconnect(inuse_connections=True)


def run_clients(app: App) -> None:
    def client() -> None:
        pool = new_pool(app)
        while now() < app["stop"]:
            with contextlib.suppress(*_BROKEN):
                use(pool, 0)
            time.sleep(random.uniform(*app["pause"]))

    for _ in range(app["count"]):
        start(client)
        time.sleep(app["gap"])


def run_request(app: App) -> None:
    while now() < app["stop"]:
        with redis.Redis(connection_pool=new_pool(app)) as client:
            client.incr("work")
            client.connection_pool.disconnect()
        time.sleep(jitter(app["every"]))


def run_subscribe(app: App) -> None:
    def subscriber() -> None:
        client: Any = redis.Redis(connection_pool=new_pool(app, socket_timeout=None))
        subscription = client.pubsub()
        subscription.subscribe("news")
        for _ in subscription.listen():
            pass

    for _ in range(app["count"]):
        start(subscriber)


def run_blpop(app: App) -> None:
    def waiter(timeout: int) -> None:
        client = redis.Redis(connection_pool=new_pool(app, socket_timeout=None))
        while now() < app["stop"]:
            client.blpop(["jobs"], timeout)

    for number in range(app["count"]):
        start(waiter, 5 * (number % 2))


_KINDS: dict[str, Callable[[App], None]] = {
    "pool": run_pool,
    "clients": run_clients,
    "request": run_request,
    "subscribe": run_subscribe,
    "blpop": run_blpop,
}


def run(app: App) -> None:
    wait_until(app["start"])
    _KINDS[app["kind"]](app)


for each in told["apps"]:
    start(run, each)
wait_until(told["seconds"])
