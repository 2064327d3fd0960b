"""Build helm, and get the schemas of the Prometheus operator's resources, both as Go modules.

`python -m tests.charts.fetch`; with CI=true what cannot be had is an error.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.charts.render import HELM, HELM_VERSION
from tests.charts.schemas import OPERATOR_RESOURCES, OPERATOR_SCHEMAS, OPERATOR_VERSION
from tests.servers.fetch import MissingError, fetch_all

_OPERATOR = f"github.com/prometheus-operator/prometheus-operator@{OPERATOR_VERSION}"
_OPERATOR_SUM = "h1:4Juk8v93RdG1DSGD/mGp+SeQKPmnlLIj2iq3blLZgFY="


def _go(*arguments: str, **variables: str) -> str:
    if shutil.which("go") is None:
        raise MissingError("Go is not installed")
    done = subprocess.run(
        ["go", *arguments], check=False, capture_output=True, text=True, cwd="/", env=os.environ | variables
    )
    if done.returncode:
        raise MissingError(f"go {arguments[0]} failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    return done.stdout


def _helm(folder: Path) -> None:
    print(f"building helm {HELM_VERSION}, once; this takes some minutes", flush=True)
    _go("install", f"helm.sh/helm/v3/cmd/helm@{HELM_VERSION}", GOBIN=str(folder))


def _operator_schemas(folder: Path) -> None:
    module = json.loads(_go("mod", "download", "-json", _OPERATOR))
    if module["Sum"] != _OPERATOR_SUM:
        raise MissingError(f"{_OPERATOR} is not the module it was")
    for resource in OPERATOR_RESOURCES:
        name = f"monitoring.coreos.com_{resource}.yaml"
        shutil.copy(Path(module["Dir"]) / "example" / "prometheus-operator-crd" / name, folder)


if __name__ == "__main__":
    sys.exit(fetch_all(((HELM.parent, _helm), (OPERATOR_SCHEMAS, _operator_schemas))))
