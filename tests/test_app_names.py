"""Names as pods, libraries and frameworks send them, and the tables of docs/app-names.md."""

import random
import re
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.generate import FOLDER
from exporter.analyse.apps import Naming, clean_label, pool_size_of, strip_instance
from exporter.analyse.instances import app_in
from exporter.limits import LABEL_CHARACTERS
from exporter.model import AppRules, Rename
from tests.test_linear import assert_linear, least_seconds

PAGE = (FOLDER / "app-names.md").read_text()
NEXT_SOURCE = "the next source"


def table(*header: str) -> list[list[str]]:
    """The rows of the page's table with this header, without the signs of code."""
    _, _, rest = PAGE.partition(f"| {' | '.join(header)} |\n")
    rows = [re.findall(r"\| ([^|]*) (?=\|)", line) for line in rest.split("\n\n")[0].splitlines()[1:]]
    return [[cell.strip("`") for cell in row] for row in rows]


DEFAULTS = table("library or framework", "field", "sends", "app")


@pytest.mark.parametrize(("library", "field", "sends", "app"), DEFAULTS)
def test_what_a_library_sends_becomes_what_the_page_says(
    library: str, field: str, sends: str, app: str
) -> None:
    told = {"name": b"", "library": b""} | {field: sends.encode()}
    found = Naming(AppRules()).app_of(told["name"], b"", told["library"])
    assert (found or NEXT_SOURCE) == app, library


def test_the_page_knows_at_least_twenty_libraries_and_frameworks() -> None:
    assert len({re.split(r"[, ]", library)[0] for library, *_ in DEFAULTS}) >= 20


@pytest.mark.parametrize(("name", "app"), table("name", "app"))
def test_a_name_becomes_what_the_page_says(name: str, app: str) -> None:
    assert (app_in(name) or NEXT_SOURCE) == app


@pytest.mark.parametrize(("name", "app", "size"), table("name", "app", "size"))
def test_a_name_tells_the_size_of_a_pool_as_the_page_says(name: str, app: str, size: str) -> None:
    assert app_in(name) == app
    assert pool_size_of(name.encode()) == (None if size == "not told" else int(size))


def test_each_table_of_the_page_was_found() -> None:
    assert len(table("name", "app")) > 20
    assert len(table("name", "app", "size")) > 5


# ---- many pods

SERVICES = (
    *("orders", "cart", "checkout-api", "payment-service", "auth", "search", "user-profile", "mailer"),
    *("oauth2-proxy", "s3-sync"),
)
OF_PODS = "bcdfghjklmnpqrstvwxz2456789"
OF_TEMPLATES = "456789bcdf"  # what remains when Kubernetes writes a number with the characters of pods
HEX = "0123456789abcdef"


def _some(characters: str, many: int, chance: random.Random) -> str:
    return "".join(chance.choice(characters) for _ in range(many))


def _pod(service: str, chance: random.Random) -> str:
    template = _some(OF_TEMPLATES, chance.randint(8, 10), chance)
    return f"{service}-{template}-{_some(OF_PODS, 5, chance)}"


def _hexadecimal(many: int, chance: random.Random) -> str:
    return f"{chance.randrange(10)}{_some(HEX, many - 1, chance)}"


def _uuid(chance: random.Random) -> str:
    return "-".join(_hexadecimal(many, chance) for many in (8, 4, 4, 4, 12))


def _queue(service: str) -> str:
    return b64encode(service.encode()).decode()


Style = Callable[[str, random.Random], str]
# Each becomes the service, and nothing else.
STYLES: dict[str, Style] = {
    "a Deployment's pod": _pod,
    "a pod by StackExchange.Redis": lambda s, c: f"{_pod(s, c)}(SE.Redis-v2.{c.randrange(99)}.1)",
    "a pod with underscores": lambda s, c: _pod(s, c)[len(s) :].replace("-", "_").join((s, "")),
    "a pod and a port": lambda s, c: f"{_pod(s, c)}:{c.randrange(1024, 65536)}",
    "a pod and its container": lambda s, c: f"{_pod(s, c)}/{s}",
    "a pod and its pool": lambda s, c: f"{_pod(s, c)}-pool-{c.randrange(9)}-thread-{c.randrange(9)}",
    "a pod and a thread": lambda s, c: f"{_pod(s, c)}:thread-{c.randrange(64)}",
    "a pod in its domain": lambda s, c: f"{_pod(s, c)}.shop.svc.cluster.local",
    "a pod in parentheses": lambda s, c: f"{s}({_pod(s, c)})",
    "a DaemonSet's or a Job's pod": lambda s, c: f"{s}-{_some(OF_PODS, 5, c)}",
    "a CronJob's pod": lambda s, c: f"{s}-{c.randrange(28_000_000, 31_000_000)}-{_some(OF_PODS, 5, c)}",
    "a StatefulSet's pod": lambda s, c: f"{s}-{c.randrange(20)}",
    "a process at a host": lambda s, c: f"{s}-{c.randrange(10**5)}@ip-10-0-{c.randrange(256)}-1",
    "a host": lambda s, c: f"{s}-{c.randrange(20)}.prod.example.com",
    "a UUID": lambda s, c: f"{s}:{_uuid(c)}",
    "a container": lambda s, c: f"{s}-{_hexadecimal(12, c)}",
    "a version": lambda s, c: f"{s}-v{c.randrange(9)}.{c.randrange(40)}.{c.randrange(9)}-rc{c.randrange(9)}",
    "a version and a pod": lambda s, c: f"{s}_{c.randrange(9)}.{c.randrange(40)}.1_{_some(OF_PODS, 5, c)}",
    "a revision of Cloud Run": lambda s, c: f"{s}-{c.randrange(1, 999):05}-{_some('abcdefghijkl', 3, c)}",
    "a function of Lambda": lambda s, c: f"{s}/2026/11/{c.randrange(10, 30)}/[$LATEST]{_hexadecimal(32, c)}",
    "a timestamp": lambda s, c: f"{s}-2026-11-{c.randrange(10, 30)}T12:{c.randrange(10, 60)}:01.123Z",
    "a machine of EC2": lambda s, c: f"{s}-i-{_hexadecimal(17, c)}",
    "brackets": lambda s, c: f"{s}[{c.randrange(32768)}]",
    "a process": lambda s, c: f"{s}:pid={c.randrange(32768)}",
    "a pool": lambda s, c: f"{_pod(s, c)}@{c.randrange(99)},pool={c.randrange(1, 99)}",
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_200_pods_of_ten_services_are_ten_apps(style: str) -> None:
    chance = random.Random(style)
    for _ in range(20):
        for service in SERVICES:
            name = STYLES[style](service, chance)
            assert Naming(AppRules()).app_of(name.encode(), b"", b"") == service, name


def test_200_pods_of_ten_services_in_all_these_styles_are_ten_apps() -> None:
    chance = random.Random(7)
    names = [chance.choice(list(STYLES.values()))(SERVICES[at % 10], chance) for at in range(200)]
    assert {app_in(name) for name in names} == set(SERVICES)


# Each keeps a role, which is an app of its own, or what holds the pod.
KEPT: dict[str, tuple[Style, str]] = {
    "a role": (lambda s, c: f"console:{_pod(s, c)}:cache", "console:{}:cache"),
    "a role after a minus": (lambda s, c: f"{_pod(s, c)}-worker-{c.randrange(9)}", "{}-worker"),
    "a namespace": (lambda s, c: f"shop/{_pod(s, c)}", "shop/{}"),
    "a queue": (lambda s, c: f"bull:{_queue(s)}:w:{_pod(s, c)}", "bull:{}"),
    "a node of Docker Swarm": (lambda s, c: f"{s}.{c.randrange(9)}.1k{_some(OF_PODS, 21, c)}9z", "{}"),
    "a process of Sidekiq": (lambda s, c: f"{s}-server-PID-{c.randrange(32768)}", "{}-server"),
}


@pytest.mark.parametrize("style", KEPT)
def test_200_pods_keep_what_is_no_instance(style: str) -> None:
    chance = random.Random(style)
    make, app = KEPT[style]
    for _ in range(20):
        for service in SERVICES:
            name = make(service, chance)
            assert app_in(name) == app.format(service), name


# ---- single names


OF_PEOPLE = """
api-gateway kafka2redis2s3 log4j2 base64-https-proxy mssql-to-pgsql http2 html5-player
ed25519-signer socket.io com.example.orders debezium:redis:sink team=a SE.Redis python3 h264-x265
orders-green orders-canary us-east-1a ipv4 shop@home orders-beta latest-news alpha e2e-tests i18n
k8s-sync @acme/orders thread pid kafka2s3-sink1 bull:emails bull:reminder cache:chat http://orders
"""


@pytest.mark.parametrize(
    "name",
    OF_PEOPLE.split(),
)
def test_words_of_people_stay(name: str) -> None:
    assert app_in(name) == name.partition("@h")[0]


NOTHING_ELSE = """
12345 0 --- v1.2.3 1.2.3-rc1 550e8400-e29b-41d4-a716-446655440000 3f2a9c1d7e5b 7c9f8d6b5-x2x9k
ip-10-0-3-17 ip-10-0-3-17.eu-west-1.compute.internal i-0123456789abcdef0 01ARZ3NDEKTSV4RRFFQ69G5FAV
117c62ed1afd(SE.Redis-v2.6.122.38350) 4711@web-3 pid-7 2026-11-25T12:03:01Z 0x7f3a2c00 ()
"""


@pytest.mark.parametrize(
    "name",
    NOTHING_ELSE.split(),
)
def test_a_name_that_is_nothing_but_an_instance_leaves_it_to_the_next_source(name: str) -> None:
    told = name.encode()
    naming = Naming(AppRules())
    assert naming.app_of(told, b"billing", b"redis-py") == "billing"
    assert naming.app_of(told, b"default", b"redis-py") == "redis-py"
    assert naming.app_of(told, b"default", b"") is None
    assert naming.app_of(b"", told, b"redis-py") == "redis-py"
    assert Naming(AppRules(("name",))).app_of(told, b"billing", b"") is None
    assert strip_instance(name) == name


def test_a_rule_names_what_is_nothing_but_an_instance() -> None:
    rules = AppRules(rename=(Rename(r"^ip-10-0-", "batch"),))
    assert Naming(rules).app_of(b"ip-10-0-3-17", b"", b"redis-py") == "batch"


@pytest.mark.parametrize(
    ("sent", "app"),
    [
        (f"{{bull}}:{_queue('emails')}", "bull:emails"),
        (f"shop:{_queue('emails')}:w:1", "shop:emails"),
        (f"shop:{_queue('order-mails')}", "shop:order-mails"),
        (f"bull:{_queue('café')}:qe", "bull:café"),
        (f"bull:{_queue('mails-v2')}", "bull:mails"),
        ("bull:YmFkCnF1ZXVl", "bull:YmFkCnF1ZXVl"),  # it holds the end of a line
        ("bull:####", "bull"),
        ("bull:gGFiY2Rl", "bull:gGFiY2Rl"),  # no UTF-8
    ],
)
def test_queues_of_bullmq_are_read(sent: str, app: str) -> None:
    assert app_in(sent) == app


def test_a_queue_whose_name_was_cut_is_read_as_far_as_it_goes() -> None:
    sent = f"bull:{_queue('much-mail-' * 20)}:w:web-3"
    app = app_in(clean_label(sent.encode()))
    assert app.startswith("bull:much-mail-much-mail-")
    assert len(app) < LABEL_CHARACTERS


@given(st.text(max_size=40))
def test_every_queue_that_can_be_printed_is_read(queue: str) -> None:
    name = f"bull:{_queue(queue)}"
    if queue and queue.isprintable() and len(name) < LABEL_CHARACTERS:
        assert app_in(name) == app_in(f"bull:{queue}") or ":" in queue


@given(st.text("abv019.-_:/@()[]{}$= xkf", max_size=60))
def test_an_app_is_found_in_any_text_and_is_never_longer(text: str) -> None:
    app = app_in(text)
    assert len(app) <= len(text)
    assert strip_instance(text) == (app or text)


# ---- the size of a pool


@pytest.mark.parametrize(
    ("name", "size"),
    [
        (b"orders@pool=1", 1),
        (b"orders@pool=999999", 999_999),
        (b"orders@pool=007", 7),
        (b"@pool=20", 20),
        (b"orders@@,pool=20,@", 20),
        (b"orders@pool=x@pool=3", 3),
        (b"orders@pool=2,pool=3", 2),
        (b"orders@pool=0", None),
        (b"orders@pool=", None),
        (b"orders@pool=-1", None),
        (b"orders@pool=1.5", None),
        (b"orders@pool=20;x", None),
        (b"orders@Pool=20", None),
        (b"orders@spool=20", None),
        (b"orders@pool=\xd9\xa1", None),
        (b"orders@pool=20\n", None),
        (b"pool=20", None),
        (b"orders,pool=20", None),
        (b"", None),
    ],
)
def test_the_size_of_a_pool_is_one_to_six_digits_after_an_at(name: bytes, size: int | None) -> None:
    assert pool_size_of(name) == size


@given(st.binary())
def test_any_bytes_tell_the_size_of_a_pool_or_none(name: bytes) -> None:
    size = pool_size_of(name)
    assert size is None or 0 < size < 1_000_000


# ---- time

ATTACKS = (
    *("(", ")", "()", "((a", "a.", ".com", "a.com/", "1.", "v1.", "v1-rc", "x2x9k-", "7c9f8d6b5-x2x9k-"),
    *("_", "[]", "bull:", ":w:", ":qe", "YWFh", "bull:YWFh", "ioredis-cluster(", "):", "fred-", "ip-1-"),
    *("i-0", "aa1.1.1", "1T1", "0x", "a1b2c3", "thread-1-", "pid=1,", "$LATEST", "@pool=", "@", ",", "="),
    *("pool=1,", "g0a1b2c3", "00042-kih-", "gke-3f2a9c1d-x2x9-", "vmss"),
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_names_and_pools_are_read_in_linear_time(attack: str) -> None:
    assert_linear(app_in, attack, 8 * 1024)  # type: ignore[arg-type]  # it reads text only
    assert_linear(lambda text: app_in("bull:" + str(text)), attack, 8 * 1024)
    assert_linear(pool_size_of, attack.encode(), 32 * 1024)  # type: ignore[arg-type]  # it reads bytes only


def test_a_name_of_the_longest_kind_is_read_within_a_millisecond() -> None:
    for attack in ATTACKS:
        name = (attack * LABEL_CHARACTERS)[:LABEL_CHARACTERS]
        assert least_seconds(lambda: app_in(name), 10) < 0.001, attack  # noqa: B023
