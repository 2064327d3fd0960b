"""grafana/dashboard-linter, built once by Go and kept beside the test servers."""

import json
import shutil
import tempfile
from pathlib import Path

from tests.conftest import need
from tests.go_tools import go
from tests.servers.fetch import MissingError
from tests.servers.kinds import CACHE

MODULE, VERSION = "github.com/grafana/dashboard-linter", "v0.2.0"

# The linter's reader of the other dashboard format needs a module of Grafana's server that not every Go proxy
# has. Ours are classic, so it is left out; every rule is the linter's own.
_CLASSIC_ONLY = """package lint

import (
	"encoding/json"
	"errors"
	"strings"
)

func isV2APIVersion(apiVersion string) bool { return strings.Contains(apiVersion, "/v2") }

func newDashboardFromV2(json.RawMessage, string) (Dashboard, error) {
	return Dashboard{}, errors.New("only classic dashboards are read here")
}
"""


def linter() -> Path:
    """Build it where it is not there yet, which takes a minute or two."""
    program = CACHE.parent / f"dashboard-linter-{VERSION}"
    if not program.exists():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=CACHE.parent) as scratch:
                _build(Path(scratch)).rename(program)
        except MissingError as error:
            need(None, str(error))
    return program


def _build(scratch: Path) -> Path:
    module = json.loads(go("mod", "download", "-json", f"{MODULE}@{VERSION}"))
    source = scratch / "source"
    shutil.copytree(module["Dir"], source, copy_function=shutil.copyfile)
    for path in (source, *source.rglob("*")):
        path.chmod(0o755)  # the module cache is read-only
    (source / "lint" / "v2.go").write_text(_CLASSIC_ONLY)
    go("build", "-o", "linter", ".", within=source)
    return source / "linter"
