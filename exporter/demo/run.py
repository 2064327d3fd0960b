"""Wire it up: three servers, their clients, the exporter, and a text that says what to look at."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import uvloop

from exporter.app import Exporter
from exporter.demo.servers import Server, ServerError, find_server, running_server
from exporter.demo.trouble import LEAK_PAUSE_SECONDS, trouble
from exporter.model import Access, ClientPlan, Config, ListenAddress, Pace, RedisUrl, Target

DemoError = ServerError

_LIMIT = 100


def demo(address: ListenAddress, duration: float | None) -> None:
    """Run the demo until Ctrl-C, or for so many seconds; it leaves no process and no file behind.

    Raises:
        DemoError: there is no Redis server to start.
        OSError: the address is taken.

    """
    binary = find_server()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-connection-exporter-")))
        limit = ("--maxclients", str(_LIMIT))
        orders, queue, sessions = (
            stack.enter_context(running_server([binary], folder, *limit)) for _ in range(3)
        )
        targets = {"orders": orders, "queue": queue, "sessions": sessions}
        config = Config(
            targets=tuple(
                Target(name, Access(RedisUrl("127.0.0.1", server.port))) for name, server in targets.items()
            ),
            pace=Pace(interval=1.0, timeout=0.5),
            clients=ClientPlan(interval=1.0, stale_after=10.0),
            listen=(address,),
        )
        _explain(binary, targets, address)
        failure: OSError | None = None
        try:
            uvloop.run(_run(config, orders, queue, sessions, duration))
        except* OSError as errors:  # what is raised in here would come out as a group again
            failure = next((each for each in errors.exceptions if isinstance(each, OSError)), OSError(errors))
        if failure is not None:
            raise failure


async def _run(
    config: Config, orders: Server, queue: Server, sessions: Server, duration: float | None
) -> None:
    exporter = Exporter(config, lambda: config)
    async with asyncio.TaskGroup() as tasks:
        clients = trouble(orders.place, queue.place, sessions.place, _announce_full)
        running = [tasks.create_task(client) for client in clients]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration):
                await exporter.run()
        for task in running:
            task.cancel()


def _announce_full(answer: str) -> None:
    print(
        f"\nsessions is full: newcomers get {answer!r}. "
        "The exporter was there before, and still reads all three servers.\n",
        flush=True,
    )


def _explain(binary: Path, targets: dict[str, Server], address: ListenAddress) -> None:
    page = f"http://{address}" if address.host else f"http://localhost{address}"
    seconds = _LIMIT * LEAK_PAUSE_SECONDS
    meaning = {
        "orders": "healthy",
        "queue": "12 clients wait in BLPOP, 7 of them for ever; 15 are idle",
        "sessions": f"maxclients {_LIMIT}; cart-service leaks until it is full, in about {seconds:.0f} s",
    }
    print(f"\nThree servers were started with {binary}:")
    for name, server in targets.items():
        print(f"  {name:<9} 127.0.0.1:{server.port}  {meaning[name]}")
    print(f"\nOpen   {page}/")
    pattern = "^redis_(connection_slots_used|connection_utilization|target_state.*at_limit)"
    print(f"Watch  watch -n1 \"curl -s {page}/metrics | grep -E '{pattern}'\"")
    print(f"Try    redis-cli -p {targets['sessions'].port} ping     when sessions is full")
    print("Stop   Ctrl-C\n", flush=True)
