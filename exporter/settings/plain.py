"""Settings to the plain values that the daemon runs on, which needs no pydantic to hold them."""

import yaml
from pydantic import SecretStr

from exporter.model import Access, AppRules, ClientPlan, Config, Pace, Rename, Shard, Target, Tls
from exporter.settings.tree import Auth, Clients, Settings
from exporter.settings.tree import Target as Configured

# Polls begin together every 50 ms. With many targets more often, so that a few dozen at most meet.
_WIDEST_GRID, _POLLS_SECONDS = 0.05, 25.0
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def plain_config(settings: Settings) -> Config:
    """Take what the daemon needs from the settings: its own targets, each with the credentials that apply."""
    shard = Shard(settings.shard.index, settings.shard.count)
    targets = tuple(each for each in plain_targets(settings) if shard.owns(each.name))
    return Config(
        targets=targets,
        pace=Pace(**dict(settings.poll), grid=min(_WIDEST_GRID, _POLLS_SECONDS / max(1, len(targets)))),
        listen=settings.web.listen_address,
        clients=_plan(settings.clients),
        shard=shard,
        telemetry_path=settings.web.telemetry_path,
        lifecycle=settings.web.enable_lifecycle,
        allowed_hosts=settings.web.allowed_hosts,
        log_level=settings.log.level,
        log_format=settings.log.format,
        shown=_shown(settings),
    )


def plain_targets(settings: Settings) -> tuple[Target, ...]:
    """All targets, those of other shards too, each with the credentials that apply."""
    return tuple(_target(each, settings.auth) for each in settings.targets)


def _plan(clients: Clients) -> ClientPlan:
    rename = tuple(Rename(rule.match, rule.to) for rule in clients.app.rename)
    return ClientPlan(
        enabled=clients.enabled,
        interval=clients.interval,
        server_time_budget=clients.server_time_budget,
        stale_after=clients.stale_after,
        top=clients.top,
        rules=AppRules(clients.app.sources, rename),
    )


def _shown(settings: Settings) -> str:
    """The settings as YAML with the keys of the file; pydantic writes asterisks for secrets."""
    tree = settings.model_dump(mode="json", exclude_none=True, by_alias=True)
    text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def _target(configured: Configured, shared: Auth) -> Target:
    own = configured.password is not None or configured.password_file is not None
    who: Auth = configured if own else shared
    access = Access(
        url=configured.url,
        username=who.username,
        password=_reveal(who.password),
        password_file=who.password_file,
        tls=Tls(**dict(configured.tls)),
    )
    return Target(
        configured.name,
        access,
        tuple(sorted(configured.labels.items())),
        configured.max_clients,
        configured.max_clients_reserved,
    )


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
