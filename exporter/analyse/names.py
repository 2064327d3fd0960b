"""What names, identities and hosts of CLIENT LIST mean, remembered over lists."""

from dataclasses import dataclass

from exporter.analyse.apps import clean_label, host_of, name_app, name_app_by_host
from exporter.model import AppRules
from exporter.parse.clients import read_identity

_MAX_REMEMBERED = 20_000
_MAX_REMEMBERED_BYTES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What a name and an identity mean; of the app, None where only the host can tell it."""

    app: str | None
    command: str
    user: str
    library: tuple[str, str]
    nameless: bool


class _Cells(dict[tuple[bytes, bytes], Cell]):
    """The cell of each name and identity. Bounded: a name may be as long as a tenant likes."""

    def __init__(self, rules: AppRules) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, who: tuple[bytes, bytes]) -> Cell:
        name, identity = who
        command, user, library, version = read_identity(identity)
        app = name_app(self._rules, name, user, library)
        labels = clean_label(library), clean_label(version)
        cell = Cell(app, clean_label(command), clean_label(user), labels, not name)
        if len(name) + len(identity) <= _MAX_REMEMBERED_BYTES:
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[who] = cell
        return cell


class _Places(dict[bytes, tuple[str, str]]):
    """The host of each address without its port, and the app of those whom nothing else names."""

    def __init__(self, rules: AppRules) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, place: bytes) -> tuple[str, str]:
        host = host_of(place + b":0")
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        found = self[place] = host, name_app_by_host(self._rules, host)
        return found


class AppNames:
    """Remembers over lists what names, identities and hosts mean: most clients share theirs, and stay."""

    def __init__(self, rules: AppRules) -> None:
        self.cells = _Cells(rules)
        self.places = _Places(rules)
