"""Accept and Accept-Encoding, by the letter and against every kind of nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.negotiation import Format, accepts_gzip, negotiate_format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
TEXT, TEXT_1, OPENMETRICS = Format.TEXT_0_0_4, Format.TEXT_1_0_0, Format.OPENMETRICS_1_0_0


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/plain", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0,text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text; version=1.0.0; q=0.2, text/plain; version=1.0.0; q=0.9", TEXT_1),
        ('TEXT/PLAIN; VERSION="1.0.0"', TEXT_1),
        ("text/plain;version=0.0.4;q=0.5,text/plain;version=1.0.0;q=0.5", TEXT_1),
        ("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.1", TEXT),
        ("application/openmetrics-text;version=1.0.0junk", TEXT),
        ("application/openmetrics-text;version=abc", TEXT),
        ("text/plain;version=99.0.0", TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily", TEXT),
        ("application/json", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=nan,text/plain;version=1.0.0;q=0.1", TEXT_1),
        ("application/openmetrics-text;version=1.0.0;q=2", TEXT),
        (";;;,,,=;q", TEXT),
        ("text/plain;q=0, */*", OPENMETRICS),
        ("text/plain;q=0.2, */*;q=0.9", OPENMETRICS),
        ("application/*", OPENMETRICS),
        ("*/*;q=0", TEXT),
        ("text/plain, application/openmetrics-text", OPENMETRICS),
        ("text/plain; charset=utf-8", TEXT),
    ],
)
def test_the_best_acceptable_format_is_chosen(accept: str, expected: Format) -> None:
    assert negotiate_format(accept)[0] is expected


@pytest.mark.parametrize(
    ("asked", "given_back"),
    [
        ("allow-utf-8", "allow-utf-8"),
        ("values", "values"),
        ("underscores", "underscores"),
        ("dots", "underscores"),
        ("evil\r\nx: y", "underscores"),
    ],
)
def test_the_reply_states_its_version_and_an_escaping_that_is_true(asked: str, given_back: str) -> None:
    form, escaping = negotiate_format(f"text/plain;version=1.0.0;escaping={asked}")
    expected = f"text/plain; version=1.0.0; charset=utf-8; escaping={given_back}"
    assert form.content_type(escaping) == expected


def test_the_old_text_format_has_no_escaping() -> None:
    assert TEXT.content_type() == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("identity", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=x", False),
        ("x-gzip", True),
    ],
)
def test_gzip_is_used_only_where_it_is_welcome(header: str, expected: bool) -> None:  # noqa: FBT001
    assert accepts_gzip(header) is expected


@given(st.text(max_size=300))
def test_no_header_ever_raises(header: str) -> None:
    form, escaping = negotiate_format(header)
    assert "\n" not in form.content_type(escaping)
    assert accepts_gzip(header) in (True, False)


@given(
    st.lists(
        st.sampled_from(["text/plain", ";", "q=", "0.5", ",", "version=", "1.0.0", "*/*", '"', "=", " "])
    )
)
def test_no_header_made_of_real_parts_raises(parts: list[str]) -> None:
    negotiate_format("".join(parts))
    accepts_gzip("".join(parts))
