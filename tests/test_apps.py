"""Which app a connection belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.analyse.apps import (
    NAMELESS,
    Naming,
    clean_label,
    host_of,
    strip_instance,
)
from exporter.limits import LABEL_CHARACTERS
from exporter.model import AppRules, Rename


@pytest.mark.parametrize(
    ("name", "app"),
    [
        ("Sidekiq-server-PID-123", "Sidekiq-server"),
        ("orders-7c9f8d6b5-x2x9k", "orders"),
        ("orders-api-5d4f8c7b9c-8xk2p", "orders-api"),
        ("fluent-bit-x2x9k", "fluent-bit"),
        ("postgres-0", "postgres"),
        ("worker:4711@host", "worker"),
        ("celery@worker1.example", "celery"),
        ("@host", "@host"),
        ("cart-550e8400-e29b-41d4-a716-446655440000", "cart"),
        ("cart:550E8400E29B41D4A716446655440000:blue", "cart:blue"),
        ("sentinel-0a1b2c3d-cmd", "sentinel-cmd"),
        ("web-3f2a9c1d7e5b", "web"),
        ("pool_17_thread_4", "pool_thread"),
        ("ip-10-0-0-3", "ip-10-0-0-3"),
        ("oauth2", "oauth2"),
        ("worker12", "worker12"),
        ("team=a", "team=a"),
        ("orders-mysql", "orders-mysql"),
        ("feedface", "feedface"),
        ("rapid-api", "rapid-api"),
        ("pid", "pid"),
        ("12345", "12345"),
        ("---", "---"),
    ],
)
def test_what_tells_instances_apart_is_stripped_and_nothing_else(name: str, app: str) -> None:
    assert strip_instance(name) == app


@given(st.text(max_size=60))
def test_stripping_never_leaves_nothing_and_never_makes_a_name_longer(name: str) -> None:
    stripped = strip_instance(name)
    assert bool(stripped) == bool(name)
    assert len(stripped) <= len(name)


def test_the_first_source_that_says_something_names_the_app() -> None:
    rules = AppRules()
    assert Naming(rules).app_of(b"orders", b"svc", b"redis-py") == "orders"
    assert Naming(rules).app_of(b"", b"svc", b"redis-py") == "svc"
    assert Naming(rules).app_of(b"", b"default", b"redis-py") == "redis-py"
    assert Naming(rules).app_of(b"", b"(superuser)", b"") is None
    assert Naming(rules).app_of_host("10.0.0.1") == "10.0.0.1"


def test_the_sources_are_asked_in_the_configured_order() -> None:
    assert Naming(AppRules(("host", "name"))).app_of(b"orders", b"", b"") is None
    assert Naming(AppRules(("library", "name"))).app_of(b"orders", b"", b"lib") == "lib"


def test_a_connection_that_no_source_names_is_unknown() -> None:
    rules = AppRules(("user",))
    assert Naming(rules).app_of(b"orders", b"default", b"lib") is None
    assert Naming(rules).app_of_host("10.0.0.1") == NAMELESS


def test_rules_rename_and_come_before_the_stripping() -> None:
    sidekiq, versions = (
        Rename("^Sidekiq.*", "sidekiq"),
        Rename(r"^(\w+)-v2", r"\1"),
    )
    rules = AppRules(rename=(sidekiq, versions))
    assert Naming(rules).app_of(b"Sidekiq-server-PID-1", b"", b"") == "sidekiq"
    assert Naming(rules).app_of(b"shop-v2-7", b"", b"") == "shop"
    assert Naming(rules).app_of(b"orders-7", b"", b"") == "orders"


def test_a_host_is_rewritten_by_rules_only() -> None:
    assert Naming(AppRules()).app_of_host("10.0.0.3") == "10.0.0.3"
    rules = AppRules(rename=(Rename(r"^10\.0\..*", "batch"),))
    assert Naming(rules).app_of_host("10.0.0.3") == "batch"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (b"10.0.0.1:5", "10.0.0.1"),
        (b"[::1]:5", "::1"),
        (b"/run/sp ace/r s.sock:0", "unix"),
        (b"[/run/sp ace/r s.sock:0]:0", "unix"),
        (b"", "unix"),
        (b"example:5", "example"),
    ],
)
def test_a_host_is_an_address_without_its_port(address: bytes, host: str) -> None:
    assert host_of(address) == host


@given(st.binary())
def test_every_label_is_printable_and_short(raw: bytes) -> None:
    label = clean_label(raw)
    assert label.isprintable()
    assert len(label) <= LABEL_CHARACTERS


def test_a_name_of_20000_bytes_is_cut() -> None:
    assert clean_label(b"n" * 20_000) == "n" * LABEL_CHARACTERS
    assert clean_label("ü".encode() * 200) == "ü" * LABEL_CHARACTERS
