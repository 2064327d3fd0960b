"""Rules that rename: what RE2 reads, what it refuses, and that no name makes it slow."""

import re
import time
from pathlib import Path

import pytest

from exporter.limits import LABEL_CHARACTERS, PATTERN_STEPS
from exporter.patterns import PatternError, compile_rule
from tests.conftest import StartServer
from tests.daemon import quick, run_cli, running_exporter, target
from tests.test_who_holds import clients_of, wait_until

NESTED = r"^(([a-z0-9]+)[-.]?)+-worker$"


@pytest.mark.parametrize(
    ("pattern", "template", "text", "made"),
    [
        ("^Sidekiq.*", "sidekiq", "Sidekiq-server-PID-1", "sidekiq"),
        (r"^(\w+)-v(\d)", r"\1/\2", "shop-v2-7", "shop/2"),
        (r"(?P<team>\w+)\.(?P<app>\w+)", r"\g<app>-\g<team>-\g<1>", "pay.api", "api-pay-pay"),
        (r"shop", r"<\g<0>>", "a shop", "<shop>"),
        ("(a)|(b)", r"\1\2x", "b", "bx"),
        ("(?i)größe", "size", "GRÖSSE GRÖßE", "size"),
        (r"^\pL+$", "letters", "größe", "letters"),
        (10 * "(.)", r"\10", "abcdefghij", "j"),
        ("(" * 400 + "a" + ")" * 400, "deep", "a", "deep"),
        (r"a\{999999999", "braces", "a{999999999", "braces"),
        ("x", "long" * 50, "x", ("long" * 50)[:LABEL_CHARACTERS]),
        ("^a$", "b", "a1", None),
        (NESTED, "worker", "a.b-c-worker", "worker"),
    ],
)
def test_a_rule_makes_the_template_of_what_its_pattern_finds(
    pattern: str, template: str, text: str, made: str | None
) -> None:
    assert compile_rule(pattern, template)(text) == made


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        ("(?=a)b", "does not look ahead or behind"),
        ("(?!a)b", "does not look ahead or behind"),
        ("(?<=a)b", "does not look ahead or behind"),
        ("(?<!a)b", "does not look ahead or behind"),
        (r"(a)\1", "no references to groups here"),
        ("(?P<a>x)(?P=a)", "no references to groups here"),
        (r"a\Z", r"write \z for the end"),
        (r"\u0041", r"write \x{41}"),
        ("a++", "leave the second + out"),
        ("(?>a)", "write (?: )"),
        ("(a)?(?(1)b|c)", "write a rule for each case"),
        ("(?x) a", "flags i, m, s and U"),
        ("a{1001}", "write at most 1000"),
        ("a{2,99999999999999999999}", "write at most 1000"),
        (r"(\pL|\pN){1,60}", "smaller numbers in { }"),
        ("(", "in single quotes"),
        ("\ud800", "half a character"),
    ],
)
def test_what_re2_cannot_read_is_refused_with_its_reason_and_what_to_write(
    pattern: str, instead: str
) -> None:
    with pytest.raises(PatternError, match=f"^not a regular expression.*{re.escape(instead)}"):
        compile_rule(pattern, "x")


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        (r"\2", "does not have"),
        (r"\g<2>", "does not have"),
        (r"\g<nobody>", "does not have"),
        (r"\0", "only before a group"),
        (r"\n", "only before a group"),
        ("\\", "only before a group"),
        (r"\\1", "only before a group"),
    ],
)
def test_a_template_that_names_no_group_is_refused(template: str, fault: str) -> None:
    with pytest.raises(PatternError, match=fault):
        compile_rule("(?P<name>a)", template)


@pytest.mark.parametrize(
    "pattern", [NESTED, r"(x+x+)+y", r"(a?){100}a{100}", r"((.{0,14}){0,14}x)", r"^(\w|\d)*$"]
)
def test_no_name_makes_a_pattern_slow(pattern: str) -> None:
    rewrite = compile_rule(pattern, "x")
    for text in ("a" * LABEL_CHARACTERS, "ax" * 50, "x" * LABEL_CHARACTERS, "é" * LABEL_CHARACTERS):
        started = time.process_time()
        rewrite(text)
        assert time.process_time() - started < 0.1, f"at most {PATTERN_STEPS} steps for each of its bytes"


def test_a_client_whose_name_is_made_for_a_rule_holds_up_nobody(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    rules = [{"match": NESTED, "to": "worker"}, {"match": r"^(?P<team>\w+)\.", "to": r"team-\g<team>"}]
    tree = quick(
        target("orders", f"redis://127.0.0.1:{server.port}"),
        clients={"interval": "1s", "app": {"rename": rules}},
    )
    names = {"a" * 26: 2, "a" * 60: 1, "one-two-worker": 2, "pay.api": 1}
    with clients_of(server, **names), running_exporter(tmp_path, tree) as daemon:

        def listed(app: str) -> object:
            apps = (
                have["app"]
                for name, have, value in daemon.scrape().samples
                if name == "redis_app_connections" and value
            )
            return app in apps

        wait_until(daemon, lambda _: listed("worker") and listed("team-pay") and listed("a" * 26))
        lag = daemon.scrape().get("redis_connection_exporter_event_loop_lag_seconds")
        assert lag is not None
        assert lag < 2


def test_check_config_and_the_start_refuse_a_pattern_that_needs_more_than_linear_time(
    tmp_path: Path,
) -> None:
    config = tmp_path / "exporter.yaml"
    config.write_text(
        "targets: [{url: 'redis://127.0.0.1:1'}]\n"
        "clients: {app: {rename: [{match: '^(?!cron).*', to: web}]}}\n"
    )
    for arguments in (("check-config", str(config)), ("--config.file", str(config))):
        done = run_cli(*arguments)
        assert done.returncode == 2
        assert "clients.app.rename[0].match" in done.stdout + done.stderr
        assert "RE2 does not look ahead or behind" in done.stdout + done.stderr
