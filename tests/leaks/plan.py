"""Which application runs on which server, and what it does when; README.md describes the behaviours."""

import random
from typing import Any

SECONDS = 360.0
LIBRARIES = ("redispy", "redispyaio", "goredis", "ioredis", "jedis")

App = dict[str, Any]
Load = tuple[float, float, float, float, float]  # from, to, workers, seconds held, seconds of pause


class Plan:
    """The applications of all servers: as README.md says, or with a seed near that, as chance wants it."""

    def __init__(self, kinds: str, seed: int | None) -> None:
        self.apps: list[tuple[str, str, App]] = []  # server, library, what it does
        self._random = random.Random(seed or 0)
        self._vary = seed is not None
        self._turn = 0
        for kind in kinds:
            self._pools(f"{kind}-pools")
            self._bursts(f"{kind}-bursts")
            self._pods(f"{kind}-pods")
            for library in self._some(1):
                self._deploy(f"{kind}-nameless-pods", library, "")
            self._minimum(f"{kind}-minimum", fifo=self._random.random() < 0.5 if self._vary else kind == "V")
            self._single(f"{kind}-single")
            self._waiting(f"{kind}-waiting")
            self._forgotten(f"{kind}-forgotten")
            self._seldom(f"{kind}-seldom")
            self._rates(f"{kind}-rates")
            for library in LIBRARIES:
                self._leak(f"{kind}-leaks-{library}", library, "leak", (2, 60, 140))
            for library in self._some(2):
                self._leak(f"{kind}-multi", library, "leak-multi", (8, 40, 240), multi=True)
            for library in self._some(2):
                self._leak(f"{kind}-pinged", library, "leak-pinged", (5, 40, 180), ping=10)
            for library in self._some(1):
                load = (self._n(20), 0.4, 0.1)
                self._leak(f"{kind}-busy", library, "leak-busy", (6, 60, SECONDS), load=load)
            for library in self._some(1):
                self._leak(f"{kind}-restart", library, "leak-restart", (5, 30, 160), stop=160)
                self._leak(f"{kind}-restart", library, "leak-restart", (5, 185, SECONDS), start=175)
            self._nameless(f"{kind}-nameless-leak")
            self._timeout(f"{kind}-timeout")

    def _n(self, number: float) -> float:
        """Return a number as it is written, or with a seed one near it."""
        return round(number * self._random.uniform(0.6, 1.6), 3) if self._vary else number

    def _some(self, count: int) -> list[str]:
        """Libraries whose turn it is: each comes as often as the others."""
        if self._vary:
            return self._random.sample(LIBRARIES, count)
        self._turn += count
        return [LIBRARIES[(self._turn + number) % len(LIBRARIES)] for number in range(count)]

    def _add(self, server: str, library: str, behaviour: str, **app: Any) -> None:
        defaults = {"name": f"{library}-{behaviour}", "start": 0.0, "stop": SECONDS}
        self.apps.append((server, library, defaults | app))

    def _pool(self, server: str, library: str, behaviour: str, *load: Load, **app: Any) -> None:
        defaults = {"kind": "pool", "load": load, "fill": 0, "leak": None, "options": {}}
        self._add(server, library, behaviour, **(defaults | app | {"fill": int(app.get("fill", 0))}))

    def _leak(
        self, server: str, library: str, behaviour: str, times: tuple[float, float, float], **how: Any
    ) -> None:
        """A pool in use that loses a connection: (every so many seconds, from, to)."""
        every, begin, end = times
        workers, hold, pause = how.pop("load", (4, self._n(0.1), self._n(0.9)))
        leak = {"every": self._n(every), "from": begin, "to": end, "fresh": False, "multi": False, "ping": 0}
        load = (0, SECONDS, workers, hold, pause)
        app = {key: how.pop(key) for key in ("name", "start", "stop") if key in how}
        self._pool(server, library, behaviour, load, leak=leak | how, **app)

    def _pools(self, server: str) -> None:
        n = self._n
        for library in LIBRARIES:
            self._pool(server, library, "steady", (0, SECONDS, n(5), n(0.1), n(0.15)), fill=n(5))
        for library in self._some(2):
            self._pool(server, library, "oversized", (0, SECONDS, 1, 0.01, n(0.5)), fill=n(30))

    def _bursts(self, server: str) -> None:
        n = self._n
        for library in self._some(2):
            quiet = (0, SECONDS, 1, 0.01, n(2))
            self._pool(server, library, "burst", quiet, *((at, at + 5, n(40), 0.3, 0.1) for at in (20, 200)))
        for library in self._some(2):
            at = n(60)
            self._pool(server, library, "batch", (at, at + 30, n(50), 0.2, 0.3), start=at, stop=at + 30)
        for library in self._some(2):
            self._add(server, library, "request", kind="request", every=n(0.05))

    def _pods(self, server: str) -> None:
        n = self._n
        for library in self._some(2):
            self._deploy(server, library, f"{library}-deploy")
        for library in self._some(1):
            first = n(60)
            for pod in range(12):
                start = 0.0 if pod <= 1 else first + 12 * pod
                stop = SECONDS if pod <= 7 else 290.0
                load = (start, stop, 3, n(0.1), n(0.4))
                self._pool(server, library, "scaled", load, fill=5, start=start, stop=stop)

    def _deploy(self, server: str, library: str, name: str) -> None:
        """Pods that are replaced one after another, twice."""
        replicas, every = int(self._n(4)), self._n(10)
        for begin, end in ((0.0, 110.0), (110.0, 230.0), (230.0, SECONDS)):
            replica_set = f"{self._random.getrandbits(40):010x}"
            for pod in range(replicas):
                start = begin + every * pod if begin else 0.0
                stop = min(SECONDS, end + every * (pod + 1))
                suffix = "".join(self._random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
                called = name and f"{name}-{replica_set}-{suffix}"
                load = (start, stop, 2, self._n(0.1), self._n(0.5))
                self._pool(server, library, "", load, fill=5, name=called, start=start, stop=stop)

    def _minimum(self, server: str, *, fifo: bool) -> None:
        n = self._n
        for library, options in (
            ("goredis", {"min": int(n(8)), "lifetime": n(45), "idle": n(30), "fifo": fifo}),
            ("jedis", {"min": int(n(8)), "idle": n(40), "evict": n(10), "ping": True}),
            ("ioredis", {"min": int(n(6)), "idle": n(30), "evict": n(10), "fifo": fifo}),
        ):
            self._pool(server, library, "minimum", (0, SECONDS, n(3), n(0.1), n(0.6)), options=options)
        tested = {"test_on_return": True, "fifo": fifo}
        self._pool(server, "jedis", "tested", (0, SECONDS, 3, 0.1, n(0.6)), fill=n(6), options=tested)

    def _single(self, server: str) -> None:
        n = self._n
        for library in self._some(2):
            pause = n(20)
            each = {"kind": "clients", "count": 12, "gap": n(0.5), "pause": (pause, 2 * pause)}
            self._add(server, library, "thread", **each)
        for library in self._some(2):
            each = {"kind": "clients", "count": 12, "gap": n(8), "pause": (n(100), 300)}
            self._add(server, library, "lazy", **each)

    def _waiting(self, server: str) -> None:
        n = self._n
        for library in self._some(2):
            length = n(20)
            tide = (1, 4, 8, 12, 9, 5, 2, 1) * int(SECONDS / length / 8 + 1)
            parts = [(i * length, (i + 1) * length, workers, 0.3, 0.1) for i, workers in enumerate(tide)]
            self._pool(server, library, "waves", *parts)
        for library in self._some(2):
            self._pool(server, library, "breaks", (0, SECONDS, n(5), 0.1, n(0.3)), fill=n(6))
        for library in self._some(2):
            self._add(server, library, "subscribe", kind="subscribe", count=int(n(4)))
        for library in self._some(2):
            self._add(server, library, "blpop", kind="blpop", count=int(n(6)))

    def _forgotten(self, server: str) -> None:
        for library in self._some(1):
            self._leak(server, library, "forget-often", (1, 60, 90), fresh=True)
        for library in self._some(2):
            self._leak(server, library, "forget", (10, 30, SECONDS), fresh=True)

    def _seldom(self, server: str) -> None:
        for library in self._some(2):
            self._leak(server, library, "forget-seldom", (30, 20, SECONDS), fresh=True)
        for library in self._some(2):
            self._leak(server, library, "leak-seldom", (30, 20, SECONDS))

    def _rates(self, server: str) -> None:
        for library in self._some(1):
            self._leak(server, library, "leak-fast", (0.1, 100, 104))
        for library in self._some(1):
            self._leak(server, library, "leak-quick", (1, 60, 100))

    def _nameless(self, server: str) -> None:
        leaking, _, steady = self._some(3)
        self._leak(server, leaking, "", (5, 60, SECONDS), name="")
        self._pool(server, steady, "", (0, SECONDS, self._n(5), 0.1, self._n(0.3)), fill=5, name="")

    def _timeout(self, server: str) -> None:
        for library in self._some(2):
            self._leak(server, library, "leak-timeout", (2, 30, SECONDS))
        for library in self._some(2):
            idle = (0, SECONDS, 1, 0.01, self._n(1))
            self._pool(server, library, "oversized", idle, fill=self._n(20))
