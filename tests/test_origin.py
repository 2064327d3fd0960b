"""Where a request comes from, and under which name: what browsers and scrapers send."""

import pytest

from exporter.web.connections import peer_of
from exporter.web.origin import from_another_site, from_our_own_pages, is_called

HOST = {"host": "exporter.example:10051"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin"},
        {"origin": "http://exporter.example:10051"},
        {"origin": "HTTP://Exporter.Example:10051", "sec-fetch-site": "same-origin"},
    ],
)
def test_scrapers_and_our_own_pages_may_do_everything(headers: dict[str, str]) -> None:
    assert from_our_own_pages(HOST | headers)
    assert not from_another_site(HOST | headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "none,cross-site"},
        {"sec-fetch-site": "whatever comes next"},
        {"sec-fetch-site": ""},
        {"origin": "http://evil.example"},
        {"origin": "http://exporter.example:10052"},
        {"origin": "http://exporter.example:10051.evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://evil.example", "sec-fetch-site": "same-origin"},
        {"origin": "http://exporter.example:10051", "sec-fetch-site": "cross-site"},
    ],
)
def test_pages_of_other_sites_may_do_nothing(headers: dict[str, str]) -> None:
    assert not from_our_own_pages(HOST | headers)
    assert from_another_site(HOST | headers)


def test_a_sibling_of_our_host_is_no_other_site_and_may_not_reload() -> None:
    assert not from_another_site(HOST | {"sec-fetch-site": "same-site"})
    assert not from_our_own_pages(HOST | {"sec-fetch-site": "same-site"})


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("exporter.example", "https://exporter.example"),
        ("exporter.example", "http://exporter.example"),
        ("exporter.example:443", "https://exporter.example"),
        ("exporter.example:80", "http://exporter.example"),
        ("[::1]:10051", "http://[::1]:10051"),
    ],
)
def test_default_ports_may_be_left_out(host: str, origin: str) -> None:
    assert from_our_own_pages({"host": host, "origin": origin})


@pytest.mark.parametrize(
    "host",
    [
        "exporter.example",
        "exporter.example:10051",
        "EXPORTER.example.:10051",
        "127.0.0.1:10051",
        "10.1.2.3",
        "[::1]:10051",
        "[fe80::1]",
        "localhost:10051",
    ],
)
def test_names_that_are_listed_and_addresses_are_ours(host: str) -> None:
    assert is_called(host, ["exporter.example"])


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "exporter.example.evil.example",
        "xexporter.example",
        "exporter.example:10051:1",
        "[::1",
        "[exporter.example]",
        "127.0.0.1.evil.example",
        "exporter.example,evil.example",
        "localhost.evil.example",
        "\xff",
    ],
)
def test_any_other_name_is_not(host: str) -> None:
    assert not is_called(host, ["exporter.example"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_a_peer_is_an_address_or_a_network_that_one_host_chooses_from(
    one: str,
    other: str,
    same: bool,  # noqa: FBT001
) -> None:
    assert (peer_of(one) == peer_of(other)) is same
