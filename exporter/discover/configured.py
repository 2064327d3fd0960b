"""The targets that the settings list."""

from pydantic import SecretStr

from exporter.model import Access, Target
from exporter.settings.tree import Auth, Settings
from exporter.settings.tree import Target as Configured


def configured_targets(settings: Settings) -> tuple[Target, ...]:
    """Take the targets in their configured order, each with the credentials that apply to it."""
    return tuple(_target(each, settings.auth) for each in settings.targets)


def _target(configured: Configured, shared: Auth) -> Target:
    own = configured.password is not None or configured.password_file is not None
    who: Auth = configured if own else shared
    access = Access(
        url=configured.url,
        username=who.username,
        password=_reveal(who.password),
        password_file=who.password_file,
        tls=configured.tls,
    )
    return Target(configured.name, access, tuple(sorted(configured.labels.items())), configured.max_clients)


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
