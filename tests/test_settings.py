"""Settings from every source, and every fault at once with its path and what to write instead."""

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import AppRules, ClientPlan, ConfigError, RedisUrl, Rename
from exporter.settings import Settings, Sources, load
from exporter.settings.flags import fields_of, leaves
from exporter.settings.kinds import (
    format_duration,
    parse_duration,
    parse_listen_address,
    parse_redis_url,
)
from exporter.settings.plain import plain_config
from exporter.settings.tree import Target


@pytest.fixture(autouse=True)
def _no_variables_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("EXPORTER_"):
            monkeypatch.delenv(name)


def _load(text: str, folder: Path, **sources: Any) -> Settings:
    file = folder / "exporter.yaml"
    file.write_text(text)
    return load(Sources(file, **sources))


def _faults(text: str, folder: Path, **sources: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(text, folder, **sources)
    return [str(fault).replace(str(folder / "exporter.yaml"), "FILE") for fault in caught.value.faults]


def test_one_url_is_a_whole_configuration() -> None:
    settings = load(Sources(urls=("redis://10.0.0.1",)))
    assert settings.targets[0].name == "10.0.0.1:6379"
    assert (settings.poll.interval, settings.poll.timeout) == (5.0, 2.0)
    assert [str(address) for address in settings.web.listen_address] == [":10051"]


def test_flags_win_over_variables_variables_over_the_file_and_the_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "poll: {interval: 11s, timeout: 3s}\nlog: {level: warn}\ntargets: [{url: redis://a}]"
    monkeypatch.setenv("EXPORTER_POLL__INTERVAL", "12s")
    monkeypatch.setenv("EXPORTER_LOG__LEVEL", "error")
    settings = _load(text, tmp_path, flags={"poll": {"interval": "13s"}})
    assert (settings.poll.interval, settings.poll.timeout) == (13.0, 3.0)
    assert (settings.log.level, settings.log.format) == ("error", "logfmt")


@pytest.mark.parametrize(
    ("interval", "timeout"), [("1s", 0.9), ("2s", 1.8), ("2200ms", 1.98), ("3s", 2), ("1h", 2)]
)
def test_the_timeout_that_nobody_wrote_follows_an_interval_that_is_shorter(
    interval: str, timeout: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _load(f"poll: {{interval: {interval}}}\ntargets: [{{url: redis://a}}]", tmp_path)
    flag = load(Sources(urls=("redis://a",), flags={"poll": {"interval": interval}}))
    monkeypatch.setenv("EXPORTER_POLL__INTERVAL", interval)
    variable = load(Sources(urls=("redis://a",)))
    for settings in (file, flag, variable):
        assert settings.poll.timeout == pytest.approx(timeout)
        assert _load(plain_config(settings).shown, tmp_path).poll == settings.poll


def test_the_clients_section_reaches_the_daemon_as_a_plain_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """\
targets: [{url: redis://a}]
clients:
  interval: 30s
  server_time_budget: 0.01
  stale_after: 10m
  top: 5
  app: {from: [user, name], rename: [{match: '^Sidekiq.*', to: sidekiq}]}
"""
    monkeypatch.setenv("EXPORTER_CLIENTS__TOP", "7")
    monkeypatch.setenv("EXPORTER_CLIENTS__APP__FROM", "library,host")
    config = plain_config(_load(text, tmp_path, flags={"clients": {"interval": "20s"}}))
    assert config.clients == ClientPlan(
        enabled=True,
        interval=20.0,
        server_time_budget=0.01,
        stale_after=600.0,
        top=7,
        rules=AppRules(("library", "host"), (Rename("^Sidekiq.*", "sidekiq"),)),
    )
    assert "from:" in config.shown


def test_the_defaults_of_the_clients_section_are_those_of_the_plan() -> None:
    assert plain_config(load(Sources(urls=("redis://a",)))).clients == ClientPlan()


def test_urls_on_the_command_line_are_added_to_the_targets_of_the_file(tmp_path: Path) -> None:
    settings = _load("targets: [{name: a, url: redis://a}]", tmp_path, urls=("redis://b:1", "unix:///c"))
    assert [target.name for target in settings.targets] == ["a", "b:1", "/c"]


def test_targets_and_lists_can_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORTER_TARGETS", '[{"name": "a", "url": "redis://a", "max_clients": 5}]')
    monkeypatch.setenv("EXPORTER_WEB__LISTEN_ADDRESS", ":1,[::1]:2")
    settings = load(Sources())
    assert settings.targets[0].max_clients == 5
    assert settings.targets[0].max_clients_reserved is None
    assert [str(address) for address in settings.web.listen_address] == [":1", "[::1]:2"]


def test_the_file_can_be_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.yaml").write_text("targets: [{url: redis://a}]")
    monkeypatch.setenv("EXPORTER_CONFIG__FILE", str(tmp_path / "x.yaml"))
    assert load(Sources()).targets[0].name == "a:6379"


def test_a_password_that_is_not_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORTER_AUTH__PASSWORD", os.fsdecode(b"p\xff"))
    with pytest.raises(ConfigError, match="EXPORTER_AUTH__PASSWORD: not UTF-8: write it to a file"):
        load(Sources(urls=("redis://a",)))


@pytest.mark.parametrize("written", ["hunter2\n", "hunter2\r\n", "\ufeffhunter2\n"])
def test_what_a_shell_or_an_editor_adds_to_a_secret_is_no_part_of_it(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = [{"url": "redis://a", "password": written}]
    text = yaml.safe_dump({"targets": target, "auth": {"password": written}})
    of_the_file = plain_config(_load(text, tmp_path)).targets
    monkeypatch.setenv("EXPORTER_AUTH__PASSWORD", written)
    monkeypatch.setenv("EXPORTER_TARGETS", json.dumps([*target, {"url": "redis://b"}]))
    of_variables = plain_config(load(Sources())).targets
    assert [each.access.password for each in (*of_the_file, *of_variables)] == ["hunter2"] * 3


def test_a_variable_that_holds_only_a_line_end_is_an_empty_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORTER_AUTH__PASSWORD", "\n")
    with pytest.raises(ConfigError, match="EXPORTER_AUTH__PASSWORD: is empty: write a value or leave"):
        load(Sources(urls=("redis://a",)))


def test_every_fault_is_reported_at_once_with_its_line_and_path(tmp_path: Path) -> None:
    text = """\
poll:
  interval: 0s
  jitter: 1s
targets:
  - name: a
    url: redis://h
  - name: a
    url: redis://H:6379
    pasword: x
  - url: http://h
    labels: {state: x, team: 1}
  - {}
log: {level: loud}
"""
    with pytest.raises(ValueError, match="not a URL of a Redis server") as not_a_url_error:
        parse_redis_url("http://h")
    not_a_url = str(not_a_url_error.value)
    assert _faults(text, tmp_path) == [
        "FILE:9: targets[1].pasword: unknown key: did you mean password?",
        f"FILE:10: targets[2].url: {not_a_url}",
        "FILE:11: targets[2].labels.team: not text: put it in quotes",
        "FILE:12: targets[3].url: is missing",
        "FILE:8: targets[1].url: targets[0] is the same server: write each server once",
        "FILE:2: poll.interval: too short: write 1s or more",
        "FILE:3: poll: unknown key: write one of interval, timeout, connect_timeout, keep_waiting",
        "FILE:13: log.level: write 'debug', 'info', 'warn' or 'error'",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("poll: {interval: 2s, timeout: 2s}", "the timeout (2s) must be below the interval (2s)"),
        ("poll: {interval: 1s, timeout: 2s}", "the timeout (2s) must be below the interval (1s)"),
        ("poll: {timeout: 5s}", "the timeout (5s) must be below the interval (5s)"),
        ("poll: {timeout: 0s}", "no time at all"),
        ("poll: {interval: 5}", "not a duration: write a number with its unit"),
        ("poll: {interval: 999ms}", "too short"),
        ("poll: {interval: 25h}", "too long: write 1d or less"),
        (f"poll: {{interval: {'9' * 400}s}}", "too long"),
        ("poll: 5s", "not a group of keys"),
        ("web: {listen_address: []}", "no address to listen on: write :10051"),
        ("web: {listen_address: ['10051']}", "not an address to listen on: write :10051"),
        ("web: {listen_address: [':99999']}", "not a port"),
        ("web: {telemetry_path: metrics}", "not a path of a page: write /metrics"),
        ("web: {telemetry_path: /-/ready}", "the exporter has another page there"),
        ("auth: {password: ''}", "is empty"),
        ("auth: {password: 1234}", "not text: put it in quotes"),
        ("auth: {username: someone}", "a username needs a password"),
        ("web: {telemetry_path: /a%41}", "not a path of a page: write /metrics"),
        ("unknown: 1", "unknown key"),
        ("clients: {intervall: 5s}", "clients.intervall: unknown key: did you mean interval?"),
        ("clients: {interval: 500ms}", "too short: write 1s or more"),
        ("clients: {stale_after: 2}", "not a duration: write a number with its unit"),
        ("clients: {server_time_budget: 0}", "write a number greater than 0"),
        ("clients: {server_time_budget: 1.5}", "write a number less than or equal to 1"),
        ("clients: {server_time_budget: much}", "write a number"),
        ("clients: {server_time_budget: .nan}", "write a number"),
        ("clients: {top: 0}", "write a number greater than or equal to 1"),
        ("clients: {top: 1000}", "write a number less than or equal to 200"),
        ("clients: {enabled: maybe}", "write true or false"),
        ("clients: {app: {from: []}}", "write each of name, user, library and host once at most"),
        ("clients: {app: {from: [name, name]}}", "write each of name, user, library and host once at most"),
        ("clients: {app: {from: [pod]}}", "clients.app.from[0]: write 'name', 'user', 'library' or 'host'"),
        ("clients: {app: {form: [name]}}", "clients.app.form: unknown key: did you mean from?"),
        ("clients: {app: {rename: [{to: x}]}}", "clients.app.rename[0].match: is missing"),
        ("clients: {app: {rename: [{match: '(', to: x}]}}", "not a regular expression"),
        ("clients: {app: {rename: [{match: 'a{99999999999999999999}', to: x}]}}", "not a regular expression"),
        (r"clients: {app: {rename: [{match: a, to: '\1'}]}}", "names a group that match: does not have"),
        (
            r"clients: {app: {rename: [{match: a, to: 'corp\quebec'}]}}",
            "to: may hold a backslash only before",
        ),
        (r"clients: {app: {rename: [{match: (a), to: 'a\'}]}}", "to: may hold a backslash only before"),
        (
            r"clients: {app: {rename: [{match: (a), to: '\g<word>'}]}}",
            "names a group that match: does not have",
        ),
        ("clients: {app: {rename: [{match: a, to: ''}]}}", "is empty"),
        (
            "clients: {app: {rename: [{match: '(?=a)b', to: x}]}}",
            "RE2 does not look ahead or behind: write ( ) around what is to be kept, and \\1 in to:",
        ),
        (r"clients: {app: {rename: [{match: '(a)\1', to: x}]}}", "RE2 knows no references to groups here"),
        (f"clients: {{app: {{rename: [{{match: '{'a' * 1001}', to: x}}]}}}}", "at most 1000 characters"),
        (
            f"clients: {{app: {{rename: [{101 * '{match: a, to: b}, '}]}}}}",
            "clients.app.rename: too many: write at most 100 rules",
        ),
        ("clients: {app: {rename: {match: a, to: b}}}", "not a list"),
        ("targets: {url: redis://h}", "not a list"),
        ("targets: []", "no server to watch"),
    ],
)
def test_a_bad_value_is_answered_with_what_to_write_instead(text: str, fault: str, tmp_path: Path) -> None:
    whole = text if text.startswith("targets") else f"targets: [{{url: redis://h}}]\n{text}"
    faults = _faults(whole, tmp_path)
    assert len(faults) == 1
    assert fault in faults[0]


def test_the_limits_of_a_target_reach_the_daemon(tmp_path: Path) -> None:
    text = """\
targets:
  - {url: redis://a, max_clients: 5, max_clients_reserved: 2}
  - {url: redis://b, max_clients_reserved: 0}
  - {url: redis://c}
"""
    targets = plain_config(_load(text, tmp_path)).targets
    limits = [(target.max_clients, target.max_clients_reserved) for target in targets]
    assert limits == [(5, 2), (None, 0), (None, None)]


def _with(key: str, value: object) -> dict[str, Any]:
    """A tree that is right but for one setting; a key of a target begins with `targets.`."""
    first, *steps = key.split(".")
    tree: dict[str, Any] = {"targets": [{"url": "rediss://h"}]}
    group = tree["targets"][0] if first == "targets" else tree if not steps else tree.setdefault(first, {})
    for step in steps[:-1]:
        group = group.setdefault(step, {})
    group[steps[-1] if steps else first] = value
    return tree


SURROGATE = os.fsdecode(b"\xff")
ODD_VALUES = [
    *["", " ", "5s", "1", ":1", "/x", "a,b", "\n", "\0", "9" * 5000, "redis://h", "nan", "x" * 100_000],
    *[SURROGATE, f"/x{SURROGATE}", f"redis://{SURROGATE}", f"unix:///{SURROGATE}", f"a,{SURROGATE}"],
    *[None, True, 0, -1, 10**400, 0.5, float("nan"), float("inf"), [], [None], ["a"], {}, {"": ""}],
    *[{SURROGATE: SURROGATE}, [{"match": SURROGATE, "to": "x"}], [{"match": "x", "to": SURROGATE}], [[{}]]],
]
EVERY_KEY = [leaf.key for leaf in leaves()] + [f"targets.{key}" for key in fields_of(Target)]
EVERY_KEY += ["targets.tls.ca_file", "targets.tls.server_name", "targets", "poll", "clients.app"]
EVERY_KEY += ["clients.app.rename"]


@pytest.mark.parametrize("key", EVERY_KEY)
def test_whatever_stands_in_a_setting_it_is_read_or_answered_with_a_sentence(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ODD_VALUES:
        tree = _with(key, value)
        _read_or_refused(Sources(flags=tree))
        for section, json_text in tree.items():
            monkeypatch.setenv(f"EXPORTER_{section.upper()}", json.dumps(json_text))
        _read_or_refused(Sources())


def _read_or_refused(sources: Sources) -> None:
    """Load the settings, and take them or their faults to where they are shown."""
    try:
        config = plain_config(load(sources))
    except ConfigError as error:
        str(error).encode()
    else:
        config.shown.encode()
        [str(target.access.url) for target in config.targets]
        pickle.dumps(config)


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("url: redis://h, password: a, password_file: /b", "password: or password_file:, not both"),
        ("url: redis://h, username: a", "a username needs a password"),
        ("url: redis://h, tls: {ca_file: /x}", "write rediss:// instead"),
        ("url: rediss://h, tls: {cert_file: /x}", "write cert_file: and key_file:"),
        ("url: redis://h, labels: {state: x}", "taken by the exporter or Prometheus"),
        ("url: redis://h, labels: {__x: x}", "taken by the exporter or Prometheus"),
        ("url: redis://h, labels: {a-b: x}", "not a label name"),
        ("url: redis://h, max_clients: 0", "greater than or equal to 1"),
        ("url: redis://h, max_clients_reserved: -1", "greater than or equal to 0"),
        ("url: redis://h, max_clients_reserved: 1.5", "integer"),
        ("url: redis://h, name: ''", "is empty"),
        ('url: redis://h, name: "a\\nb"', "cannot be printed"),
        ("url: 'redis://u:p@h'", "a URL carries no credentials here"),
        ("url: 'redis://h?db=1'", "no options"),
        ("url: redis://", "names no host"),
        ("url: redis://h:0", "not a port of a server"),
        ("url: unix://relative", "starts at the root"),
        ("url: unix:///a%00b", "not the path of a unix socket: it holds a NUL byte"),
        ("url: rediss://h, tls: {server_name: 'a:b'}", "not a host name"),
        ("url: redis://h/x", "ends behind its port"),
        ("url: redis://h:x", "not a port"),
        ("url: 'redis://[::1'", "not a host"),
        ("url: redis://a..b", "not a host"),
        (f"url: redis://{'a' * 64}", "not a host"),
        ("url: rediss://h, tls: {server_name: .foo}", "not a host name"),
        ('url: redis://h, password_file: "a\\0b"', "NUL byte"),
    ],
)
def test_a_bad_target_is_answered_with_what_to_write_instead(keys: str, fault: str, tmp_path: Path) -> None:
    faults = _faults(f"targets: [{{{keys}}}]", tmp_path)
    assert len(faults) == 1, faults
    assert fault in faults[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("targets: [", "FILE:2: not YAML"),
        ("targets:\n\t- x", "FILE:2: not YAML"),
        ("poll: {}\npoll: {}\n", "FILE:2: a key stands twice in one group: write it once"),
        ("- a\n- b", "FILE:1: not a group of keys"),
        ("targets: [{url: redis://h, name: 2024-99-99}]", "FILE: not YAML: it holds a value"),
        ("targets: [{url: redis://h, password: !!bool x}]", "FILE: not YAML: it holds a value"),
        ("targets: [{url: redis://h, name: !!timestamp x}]", "FILE: not YAML: it holds a value"),
        ("1: x\ntargets: [{url: redis://h}]", "FILE:1: a key is not text: put it in quotes"),
        ("targets: [{url: redis://h}]\nyes: x", "FILE:2: a key is not text: put it in quotes"),
        (
            "targets: [{url: redis://h, labels: {2024-01-01: x}}]",
            "FILE:1: a key is not text: put it in quotes",
        ),
        ("targets: [{url: redis://h, ? [a] : x}]", "FILE:1: a key is not text: put it in quotes"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_with_the_line(text: str, fault: str, tmp_path: Path) -> None:
    faults = _faults(text, tmp_path)
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read: No such file"):
        load(Sources(tmp_path / "nothing.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match=r"latin\.yaml: is not UTF-8"):
        load(Sources(tmp_path / "latin.yaml"))
    for encoding in ("utf-16-le", "utf-16-be"):
        (tmp_path / "wide.yaml").write_bytes("\ufefftargets: [{url: redis://a}]".encode(encoding))
        with pytest.raises(ConfigError, match=r"wide\.yaml: is UTF-16 text: save it as UTF-8"):
            load(Sources(tmp_path / "wide.yaml"))


def test_the_mark_and_the_line_ends_of_a_windows_editor_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfpoll: {interval: 7s}\r\ntargets:\r\n- url: redis://a\r\n")
    settings = load(Sources(tmp_path / "x.yaml"))
    assert (settings.poll.interval, settings.targets[0].name) == (7.0, "a:6379")


def test_an_empty_section_is_its_defaults(tmp_path: Path) -> None:
    assert _load("poll:\nlog:\nauth:\ntargets: [{url: redis://h}]", tmp_path).poll.interval == 5.0


def test_credentials_of_its_own_win_over_the_shared_ones_and_come_whole(tmp_path: Path) -> None:
    text = """\
auth: {username: all, password_file: /shared}
targets:
  - {url: redis://a}
  - {url: redis://b, password: own}
  - {url: redis://c, username: u, password_file: /own}
"""
    who = [target.access for target in plain_config(_load(text, tmp_path)).targets]
    assert [(a.username, a.password, str(a.password_file)) for a in who] == [
        ("all", None, "/shared"),
        (None, "own", "None"),
        ("u", None, "/own"),
    ]
    assert "own" not in repr(who[1])


def test_what_the_config_page_shows_can_be_loaded_again(tmp_path: Path) -> None:
    settings = _load("poll: {interval: 90s}\ntargets: [{url: 'valkeys://h:1', labels: {a: b}}]", tmp_path)
    assert _load(plain_config(settings).shown, tmp_path) == settings


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("5s", 5), ("1m30s", 90), ("1.5h", 5400), ("2d", 172800)]
)
def test_durations_are_read_as_in_prometheus(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("bad", ["", "5", "5 s", "-5s", "s", "5x", "1e3s", 5, None, "\u0665s", "inf"])
def test_anything_else_is_no_duration(bad: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(bad)


@given(st.integers(min_value=1, max_value=10**9))
def test_a_written_duration_is_read_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", RedisUrl("h", 6379)),
        ("valkey://h:1/", RedisUrl("h", 1, scheme="valkey")),
        ("rediss://10.0.0.1:6380/0", RedisUrl("10.0.0.1", 6380, tls=True, scheme="rediss")),
        ("redis://[::1]:1", RedisUrl("::1", 1)),
        ("redis://[fe80::1%eth0]", RedisUrl("fe80::1%eth0", 6379)),
        ("redis://[::ffff:10.0.0.1]:1", RedisUrl("::ffff:10.0.0.1", 1)),
        ("REDIS://h", RedisUrl("h", 6379)),
        ("RedisS://h:1", RedisUrl("h", 1, tls=True, scheme="rediss")),
        (" redis://h:1\n", RedisUrl("h", 1)),
        ("unix:///run/a, b.sock", RedisUrl(path="/run/a, b.sock", scheme="unix")),
        ("unix:///run/a%20b/r.sock", RedisUrl(path="/run/a b/r.sock", scheme="unix")),
    ],
)
def test_urls_of_every_scheme_are_read_and_written_back(url: str, expected: RedisUrl) -> None:
    assert parse_redis_url(url) == expected
    assert parse_redis_url(str(expected)) == expected


_EACH_ONE = "write each as a target of its own: redis://host:6379"
_ONE_EACH = f"several addresses, or a space, in one URL: {_EACH_ONE}"
_NO_SCHEME = (
    "the scheme, or the // behind it, is missing: write redis://host:6379, rediss://host:6379 for TLS"
)
_NO_SENTINEL = f"servers are not looked up at a Sentinel: {_EACH_ONE}"
_NO_CLUSTER = f"the nodes of a cluster are not looked up: {_EACH_ONE}"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis://::1:6379", "put the address in brackets: redis://[::1]:6379"),
        ("rediss://2001:DB8::5", "put the address in brackets: rediss://[2001:DB8::5]:6379"),
        ("valkey://1:2:3:4:5:6:7:8/0", "put the address in brackets: valkey://[1:2:3:4:5:6:7:8]:6379"),
        ("redis://1:2:3:4:5:6:7:8:6380", "put the address in brackets: redis://[1:2:3:4:5:6:7:8]:6380"),
        ("redis://fe80::1%eth0:6379", "put the address in brackets: redis://[::1]:6379"),
        ("redis://[::1]6379", "not a host"),
        ("redis://[10.0.0.1]:6379", "not an IPv6 address"),
        ("redis://[1:2]:6379", "not an IPv6 address"),
        (
            "redis://h:6379:6380",
            "not a port: write a number up to 65535, as in redis://host:6379",
        ),
        ("redis://a:6379,b:6379", _ONE_EACH),
        ("redis://a,b", _ONE_EACH),
        ("redis://a,redis://b", _ONE_EACH),
        ("redis://a:6379 redis://b:6379", _ONE_EACH),
        ("redis://a:6379\nredis://b:6379", _ONE_EACH),
        ("redis://a;b", _ONE_EACH),
        ("a:6379,b:6379", _ONE_EACH),
        ("10.0.0.1:6379", _NO_SCHEME),
        ("redis:6379", _NO_SCHEME),
        ("redis:/h:6379", _NO_SCHEME),
        ("h", _NO_SCHEME),
        ("", _NO_SCHEME),
        ("/run/redis.sock", "write unix:///path/to/redis.sock"),
        ("unix:/run/redis.sock", "write unix:///path/to/redis.sock"),
        ("redis+socket:///run/redis.sock", "write unix:///path/to/redis.sock"),
        ("redis-socket:///run/redis.sock", "write unix:///path/to/redis.sock"),
        ("redis:///run/redis.sock", "write unix:///path/to/redis.sock"),
        ("redis+sentinel://h:26379/mymaster/0", _NO_SENTINEL),
        ("sentinel://h:26379/mymaster", _NO_SENTINEL),
        ("rediss-sentinel://h,i/mymaster", _NO_SENTINEL),
        ("redis-cluster://h:6379", _NO_CLUSTER),
        ("REDIS+CLUSTER://h:6379,i:6379", _NO_CLUSTER),
        ("redis+tls://h", "write rediss://host:6379 for TLS"),
        ("redis-ssl://h", "write rediss://host:6379 for TLS"),
        ("tls://h", "write rediss://host:6379 for TLS"),
        ("tcp://h:6379", "write redis://host:6379"),
        ("http://h", "not a URL of a Redis server: write redis://host:6379"),
        ("redis://h:0", "not a port of a server: write redis://host:6379"),
        (
            "redis://h:99999",
            "not a port: write a number up to 65535, as in redis://host:6379",
        ),
        ("redis://u:p@a:6379,u:p@b:6379", "a URL carries no credentials here"),
        ("redis+sentinel://:p@h/mymaster", "a URL carries no credentials here"),
    ],
)
def test_a_url_of_another_dialect_is_answered_with_ours(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse_redis_url(url)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("::1:10051", "put the address in brackets: [::1]:10051"),
        (":::10051", "put the address in brackets: [::]:10051"),
        ("::1", "put the address in brackets: [::1]:10051"),
        (":0x1", "not a port: write a number up to 65535, as in host:10051"),
        ("http://h:10051", "not a port: write a number up to 65535, as in host:10051"),
    ],
)
def test_an_address_to_listen_on_of_another_dialect_is_answered_with_ours(address: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse_listen_address(address)


def test_several_urls_in_one_argument_are_refused_as_on_the_command_line() -> None:
    with pytest.raises(ConfigError, match=f"^URL 1 on the command line: {re.escape(_ONE_EACH)}"):
        load(Sources(urls=("redis://a redis://b",)))


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_an_error_that_does_not_repeat_it(text: str) -> None:
    for parse in (parse_redis_url, parse_listen_address):
        try:
            parse(text)
        except ValueError as error:
            repeated = len(text) > 12 and text in str(error)
            assert not repeated
