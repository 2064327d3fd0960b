"""The settings tree: names, kinds, defaults, ranges and meanings. Data, no behaviour."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from exporter.limits import PATTERN_CHARACTERS, RENAME_RULES
from exporter.model import ListenAddress
from exporter.patterns import compile_rule
from exporter.settings.doubles import find_doubles
from exporter.settings.kinds import (
    DEFAULT_LISTEN_PORT,
    Duration,
    HostName,
    Listen,
    PagePath,
    Url,
    format_duration,
    is_path,
    parse_duration,
    parse_shard_index,
)
from exporter.text import trim_secret

ENVIRONMENT_PREFIX = "EXPORTER_"
LABEL_NAME_PATTERN = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
MAX_NAME_LENGTH = 200
_TIMEOUT_SHARE = 0.9  # of an interval that is too short for the timeout's default
_DAY = 86400

# Label names that our metrics or Prometheus itself put on a series (tests compare with the catalogue).
RESERVED_LABELS = frozenset(
    [
        "target",
        "state",
        "app",
        "verdict",
        "evidence",
        "window",
        "host",
        "user",
        "library",
        "version",
        "cmd",
        "db",
        "le",
        "quantile",
        "job",
        "instance",
        "role",
        "reason",
        "cut",
        "class",
        "kind",
        "command",
        "thread",
        "redis_version",
        "valkey_version",
        "redict_version",
        "redis_mode",
    ]
)


class Section(BaseModel):
    """A group of settings: unknown keys are refused, values never change, errors repeat no input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)


def _at_least_a_second(seconds: float) -> float:
    if seconds < 1:
        raise ValueError("too short: write 1s or more")
    return seconds


def _at_most_a_day(seconds: float) -> float:
    if seconds > _DAY:
        raise ValueError("too long: write 1d or less")
    return seconds


def _above_zero(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("no time at all: write a time above 0, such as 2s")
    return seconds


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed: write letters, digits and punctuation")
    return text


def _a_path(path: Path) -> Path:
    if not is_path(str(path)):
        raise ValueError("not a path: it holds a NUL byte, or is not UTF-8")
    return path


def _trimmed(secret: object) -> object:
    return trim_secret(secret) if isinstance(secret, str) else secret


def _encodable(secret: SecretStr) -> SecretStr:
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("not UTF-8: write it to a file and name that in password_file") from None
    return secret


Interval = Annotated[Duration, AfterValidator(_at_least_a_second), AfterValidator(_at_most_a_day)]


def _compilable(pattern: str) -> str:
    compile_rule(pattern, "")
    return pattern


Pattern = Annotated[str, Field(min_length=1, max_length=PATTERN_CHARACTERS), AfterValidator(_compilable)]
Timeout = Annotated[Duration, AfterValidator(_above_zero)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH), AfterValidator(_printable)]
LabelName = Annotated[str, Field(pattern=LABEL_NAME_PATTERN, max_length=MAX_NAME_LENGTH)]
LabelValue = Annotated[str, Field(max_length=MAX_NAME_LENGTH), AfterValidator(_printable)]
Password = Annotated[SecretStr, BeforeValidator(_trimmed), Field(min_length=1), AfterValidator(_encodable)]
File = Annotated[Path, AfterValidator(_a_path), PlainSerializer(str, return_type=str)]


class Poll(Section):
    """How often a server is asked, and how long one answer may take."""

    interval: Interval = Field(
        default="5s",  # type: ignore[assignment]  # read like any user's value
        description="Time between two polls of one server. At least 1s.",
    )
    timeout: Timeout = Field(
        default="2s",  # type: ignore[assignment]
        description="Deadline of one poll: every reply together. Below poll.interval; the default is at "
        "most nine tenths of it.",
    )
    connect_timeout: Timeout = Field(
        default="10s",  # type: ignore[assignment]
        description="Deadline of one attempt to connect: TCP, TLS and the first reply. It may span several "
        "polls.",
    )
    keep_waiting: Interval = Field(
        default="60s",  # type: ignore[assignment]
        description="How long a server may owe a reply without sending a byte before its connection is given "
        "up. At least 1s. A server that was near its limit is waited for without end.",
    )

    @model_validator(mode="before")
    @classmethod
    def _default_below_interval(cls, given: object) -> object:
        """Let the timeout's default follow an interval that is given alone, and is short."""
        if not isinstance(given, dict) or "timeout" in given:
            return given
        with contextlib.suppress(ValueError):  # the interval is a fault of its own
            most = _TIMEOUT_SHARE * parse_duration(given.get("interval"))
            if 0 < most < parse_duration(cls.model_fields["timeout"].default):
                return {**given, "timeout": format_duration(most)}
        return given

    @model_validator(mode="after")
    def _timeout_below_interval(self) -> Self:
        if self.timeout >= self.interval:
            raise PydanticCustomError(
                "timeout_above_interval",
                "the timeout ({timeout}) must be below the interval ({interval}): write a shorter "
                "poll.timeout or a longer poll.interval",
                {"timeout": format_duration(self.timeout), "interval": format_duration(self.interval)},
            )
        return self


class Rename(Section):
    """One rule that rewrites what connections say they are."""

    match: Pattern = Field(
        description="Regular expression of RE2, found anywhere in the name, user, library or host. Without "
        "what needs more than linear time: looking ahead or behind, references to groups."
    )
    to: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH), AfterValidator(_printable)] = Field(
        description="What the app is called then; `\\1` is the first group of `match`, `\\g<name>` the group "
        "of this name."
    )

    @model_validator(mode="after")
    def _expandable(self) -> Self:
        compile_rule(self.match, self.to)
        return self


class App(Section):
    """Which app a connection belongs to."""

    sources: Annotated[tuple[Literal["name", "user", "library", "host"], ...], NoDecode] = Field(
        default=("name", "user", "library", "host"),
        alias="from",
        description="What names the app of a connection: the first of these that it has.",
    )
    rename: tuple[Rename, ...] = Field(
        default=(),
        description="Rules tried in order before the built-in rewriting, which strips process ids, hashes of "
        "pods and containers, UUIDs, ports and counters.",
    )

    @field_validator("sources", mode="before")
    @classmethod
    def _separated_by_commas(cls, given: object) -> object:
        return given.split(",") if isinstance(given, str) else given

    @field_validator("sources")
    @classmethod
    def _each_once(cls, sources: tuple[str, ...]) -> tuple[str, ...]:
        if not sources or len(set(sources)) != len(sources):
            raise PydanticCustomError(
                "not_each_once", "write each of name, user, library and host once at most, and one of them"
            )
        return sources

    @field_validator("rename")
    @classmethod
    def _few_enough(cls, rename: tuple[Rename, ...]) -> tuple[Rename, ...]:
        if len(rename) > RENAME_RULES:
            raise PydanticCustomError(
                "too_many_rules", "too many: write at most {most} rules", {"most": RENAME_RULES}
            )
        return rename


class Clients(Section):
    """CLIENT LIST: who holds the connections."""

    enabled: bool = Field(default=True, description="Whether to ask for the clients of a server at all.")
    interval: Interval = Field(
        default="15s",  # type: ignore[assignment]
        description="Time between two lists of one server's clients. At least 1s; stretched where "
        "clients.server_time_budget asks for it.",
    )
    server_time_budget: float = Field(
        default=0.002,
        gt=0,
        le=1,
        description="Share of a server's main thread that listing its clients may take. Above 0, at most 1.",
    )
    stale_after: Interval = Field(
        default="5m",  # type: ignore[assignment]
        description="Idle time after which a plain client is stale. At least 1s.",
    )
    top: int = Field(
        default=20,
        ge=1,
        le=200,
        description="Groups of each kind (apps, hosts, users ...) that are named; the rest is `other`.",
    )
    app: App = Field(default=App(), description="Which app a connection belongs to.")


class Auth(Section):
    """Who the exporter is to a server."""

    username: Name | None = Field(default=None, description="ACL user (Redis 6 and later).")
    password: Password | None = Field(
        default=None, description="Password in clear; a password_file is better.", repr=False
    )
    password_file: File | None = Field(
        default=None,
        description="File that holds the password. Read at each connect and every 10 seconds; a changed one "
        "is told to the held connection. Wins over auth.password.",
    )

    @model_validator(mode="after")
    def _user_with_password(self) -> Self:
        if self.username is not None and self.password is None and self.password_file is None:
            raise PydanticCustomError(
                "user_without_password", "a username needs a password: write password_file: beside it"
            )
        return self


class Tls(Section):
    """TLS to a server whose URL is rediss:// or valkeys://."""

    ca_file: File | None = Field(
        default=None, description="CA certificates (PEM) that may sign the server's; default: the system's."
    )
    cert_file: File | None = Field(default=None, description="Client certificate (PEM) for mutual TLS.")
    key_file: File | None = Field(default=None, description="Private key (PEM) of cert_file.")
    server_name: HostName | None = Field(
        default=None, description="Name that the server's certificate must carry; default: the URL's host."
    )
    insecure_skip_verify: bool = Field(
        default=False, description="Accept any certificate. Only for a look at a broken set-up."
    )

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise PydanticCustomError(
                "half_a_certificate", "mutual TLS needs both: write cert_file: and key_file:"
            )
        return self


class Target(Auth):
    """One server to watch."""

    name: Name = Field(
        default="",
        validate_default=False,
        description="Value of the label `target`; default: host:port, or the socket's path.",
    )
    url: Url = Field(
        description="`redis://host:6379`, `rediss://` for TLS, `unix:///path`; `valkey://`, `valkeys://` "
        "too. A database behind the port is ignored: connections belong to none."
    )
    labels: dict[LabelName, LabelValue] = Field(
        default_factory=dict, description="Labels on every series of this target."
    )
    tls: Tls = Field(default=Tls(), description="TLS settings.")
    max_clients: int | None = Field(
        default=None,
        ge=1,
        description="The server's maxclients where neither INFO nor CONFIG GET tells it.",
    )
    max_clients_reserved: int | None = Field(
        default=None,
        ge=0,
        description="How many of the server's slots only clients from its priority-subnets may take (Valkey "
        "9.2, maxclients-reserved); 0 where it has no priority-subnets. Wins over what CONFIG GET tells; no "
        "effect on servers without such a reserve.",
    )

    @field_validator("labels")
    @classmethod
    def _labels_of_nobody_else(cls, labels: dict[str, str]) -> dict[str, str]:
        taken = sorted(name for name in labels if name in RESERVED_LABELS or name.startswith("__"))
        if taken:
            raise PydanticCustomError(
                "reserved_label",
                "these labels are taken by the exporter or Prometheus, write other names: {names}",
                {"names": ", ".join(taken)},
            )
        return labels

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise PydanticCustomError("two_passwords", "write password: or password_file:, not both")
        if not self.url.tls and self.tls != Tls():
            raise PydanticCustomError(
                "tls_without_tls", "tls: has no effect on this URL: write rediss:// instead of redis://"
            )
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _named_after_its_place(cls, data: Any, handler: Callable[[Any], Self]) -> Self:  # noqa: ANN401
        target = handler(data)
        return target if target.name else target.model_copy(update={"name": target.url.place})


class Shard(Section):
    """Which part of the targets this exporter watches, where several share them."""

    count: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="How many shards the targets are split into; each target belongs to one of them.",
    )
    index: int = Field(
        default=0,
        ge=0,
        description="Which of them this exporter watches, counted from 0. Or the name of a StatefulSet's "
        "pod, whose number counts modulo `shard.count`: `exporter-2` and `exporter-5` watch shard 2 of 3.",
    )

    @field_validator("index", mode="before")
    @classmethod
    def _number_of_a_pod(cls, given: object, info: ValidationInfo) -> object:
        return parse_shard_index(given, info.data.get("count", 1))  # no count: it has a fault of its own

    @model_validator(mode="after")
    def _index_below_count(self) -> Self:
        if self.index >= self.count:
            raise PydanticCustomError(
                "no_such_shard",
                "there is no shard {index} of {count}: shards are counted from 0, write a shard.index below "
                "shard.count",
                {"index": self.index, "count": self.count},
            )
        return self


class Web(Section):
    """The exporter's own HTTP server."""

    listen_address: Annotated[tuple[Listen, ...], NoDecode] = Field(
        default=(ListenAddress("", DEFAULT_LISTEN_PORT),),
        description="Address to listen on, as in `:10051`; may be given several times.",
    )
    telemetry_path: PagePath = Field(default="/metrics", description="Path of the metrics page.")
    enable_lifecycle: bool = Field(
        default=False,
        description="Whether `POST /-/reload` reloads the settings, at most once in `poll.interval`; SIGHUP "
        "always does.",
    )
    allowed_hosts: Annotated[tuple[HostName, ...], NoDecode] = Field(
        default=(),
        description="Names under which the exporter answers, against DNS rebinding: other values of the Host "
        "header are refused. Addresses, `localhost` and the health pages need no name here. Default: any.",
    )

    @field_validator("listen_address", "allowed_hosts", mode="before")
    @classmethod
    def _separated_by_commas(cls, given: object) -> object:
        return given.split(",") if isinstance(given, str) else given

    @field_validator("listen_address")
    @classmethod
    def _somewhere(cls, addresses: tuple[ListenAddress, ...]) -> tuple[ListenAddress, ...]:
        if not addresses:
            raise PydanticCustomError("no_address", "no address to listen on: write :10051")
        return addresses

    @field_validator("allowed_hosts")
    @classmethod
    def _as_compared(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower().removesuffix(".") for name in names)

    @field_validator("telemetry_path")
    @classmethod
    def _path_of_its_own(cls, path: str) -> str:
        if path in ("/probe", "/sd", "/config") or path.startswith("/-/"):
            raise PydanticCustomError("path_taken", "the exporter has another page there: write /metrics")
        return path


class Log(Section):
    """What the exporter says on standard error."""

    level: Literal["debug", "info", "warn", "error"] = Field(
        default="info", description="Least severe level that is printed: debug, info, warn or error."
    )
    format: Literal["logfmt", "json"] = Field(
        default="logfmt", description="Form of a log line: logfmt or json."
    )


class Settings(BaseSettings):
    """Everything that can be set. Precedence: flags, then environment, then file, then defaults."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
    )

    targets: tuple[Target, ...] = Field(
        default=(), description="The servers to watch. URLs on the command line are added to them."
    )
    auth: Auth = Field(
        default=Auth(),
        description="Credentials for targets that name none; password_file wins over password.",
    )
    poll: Poll = Field(default=Poll(), description="How often and how long.")
    clients: Clients = Field(default=Clients(), description="Who holds the connections.")
    shard: Shard = Field(default=Shard(), description="Which part of the targets.")
    web: Web = Field(default=Web(), description="The HTTP server.")
    log: Log = Field(default=Log(), description="Logging.")

    @field_validator("targets", mode="wrap")
    @classmethod
    def _every_target_once(
        cls, raw: object, handler: Callable[[object], tuple[Target, ...]]
    ) -> tuple[Target, ...]:
        if not raw:
            raise PydanticCustomError(
                "no_targets", "no server to watch: write targets: in the file, or a URL on the command line"
            )
        faults = list(find_doubles(raw))
        try:
            targets = handler(raw)
        except ValidationError as error:
            faults = [
                InitErrorDetails(
                    type=PydanticCustomError(fault["type"], "{message}", {"message": fault["msg"]}),
                    loc=fault["loc"],
                    input=None,
                )
                for fault in error.errors(include_url=False, include_input=False)
            ] + faults
        if faults:
            raise ValidationError.from_exception_data("targets", faults, hide_input=True)
        return targets

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what load.py merged; it asks the environment itself so that the order stands in one place."""
        return (init_settings,)
