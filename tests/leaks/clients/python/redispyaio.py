"""Applications on redis.asyncio: what they do comes as JSON on standard input (see ../../README.md)."""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import redis.asyncio as redis

App = dict[str, Any]
_BROKEN = (redis.RedisError, OSError, ValueError)

told = json.load(sys.stdin)
_tasks: set[asyncio.Task[None]] = set()


def now() -> float:
    return time.time() - float(told["t0"])


async def wait_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - now()))


def jitter(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)


def start(work: Coroutine[Any, Any, None]) -> None:
    _tasks.add(asyncio.create_task(work))


def new_pool(app: App, **settings: Any) -> Any:
    return redis.ConnectionPool(
        host="127.0.0.1", port=app["port"], client_name=app["name"] or None, max_connections=1000, **settings
    )


async def say(connection: Any, *words: str) -> None:
    await connection.send_command(*words)
    await connection.read_response()


async def use(pool: Any, hold: float) -> None:
    connection = await pool.get_connection()
    try:
        await say(connection, "INCR", "work")
        await asyncio.sleep(hold)
    except _BROKEN:
        await connection.disconnect()
    finally:
        await pool.release(connection)


async def worker(app: App, pool: Any, part: list[float]) -> None:
    begin, end, _, hold, pause = part
    await wait_until(begin)
    await asyncio.sleep(random.uniform(0, pause))
    while now() < min(end, app["stop"]):
        with contextlib.suppress(*_BROKEN):
            await use(pool, hold)
        await asyncio.sleep(jitter(pause))


async def leak(app: App, pool: Any, kept: list[Any]) -> None:
    how = app["leak"]
    moment = how["from"]
    while moment < min(how["to"], app["stop"]):
        await wait_until(moment)
        with contextlib.suppress(*_BROKEN):
            own = new_pool(app) if how["fresh"] else pool
            connection = await own.get_connection()
            await (say(connection, "MULTI") if how["multi"] else say(connection, "GET", "leaked"))
            kept.append((own, connection))
            if how["ping"]:
                start(ping(app, connection))
        moment += how["every"]


async def ping(app: App, connection: Any) -> None:
    with contextlib.suppress(*_BROKEN):
        while now() < app["stop"]:
            await asyncio.sleep(app["leak"]["ping"])
            await say(connection, "PING")


async def run_pool(app: App) -> None:
    pool, kept = new_pool(app), list[Any]()
    filled = [await pool.get_connection() for _ in range(app["fill"])]
    for connection in filled:
        await say(connection, "INCR", "work")
        await pool.release(connection)
    for part in app["load"]:
        for _ in range(int(part[2])):
            start(worker(app, pool, part))
    if app["leak"]:
        start(leak(app, pool, kept))
    await wait_until(app["stop"])
    for own in [pool, *(own for own, _ in kept)]:
        await own.disconnect(inuse_connections=True)


async def run_clients(app: App) -> None:
    async def client() -> None:
        pool = new_pool(app)
        while now() < app["stop"]:
            with contextlib.suppress(*_BROKEN):
                await use(pool, 0)
            await asyncio.sleep(random.uniform(*app["pause"]))

    for _ in range(app["count"]):
        start(client())
        await asyncio.sleep(app["gap"])


async def run_request(app: App) -> None:
    while now() < app["stop"]:
        pool = new_pool(app)
        await use(pool, 0)
        await pool.disconnect()
        await asyncio.sleep(jitter(app["every"]))


async def run_subscribe(app: App) -> None:
    async def subscriber() -> None:
        client: Any = redis.Redis(connection_pool=new_pool(app, socket_timeout=None))
        subscription = client.pubsub()
        await subscription.subscribe("news")
        async for _ in subscription.listen():
            pass

    for _ in range(app["count"]):
        start(subscriber())


async def run_blpop(app: App) -> None:
    async def waiter(timeout: int) -> None:
        client = redis.Redis(connection_pool=new_pool(app, socket_timeout=None))
        while now() < app["stop"]:
            await client.blpop(["jobs"], timeout)

    for number in range(app["count"]):
        start(waiter(5 * (number % 2)))


_KINDS: dict[str, Callable[[App], Awaitable[None]]] = {
    "pool": run_pool,
    "clients": run_clients,
    "request": run_request,
    "subscribe": run_subscribe,
    "blpop": run_blpop,
}


async def run(app: App) -> None:
    await wait_until(app["start"])
    await _KINDS[app["kind"]](app)


async def main() -> None:
    for each in told["apps"]:
        start(run(each))
    await wait_until(told["seconds"])


asyncio.run(main())
