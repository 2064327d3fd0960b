"""Build helm, and get the schemas of the Prometheus operator's resources, both as Go modules.

`python -m tests.charts.fetch`; with CI=true what cannot be had is an error.
"""

import json
import shutil
import sys
from pathlib import Path

from tests.charts.render import HELM, HELM_VERSION
from tests.charts.schemas import OPERATOR_RESOURCES, OPERATOR_SCHEMAS, OPERATOR_VERSION
from tests.go_tools import go, install
from tests.servers.fetch import MissingError, fetch_all

_OPERATOR = f"github.com/prometheus-operator/prometheus-operator@{OPERATOR_VERSION}"
_OPERATOR_SUM = "h1:4Juk8v93RdG1DSGD/mGp+SeQKPmnlLIj2iq3blLZgFY="


def _helm(folder: Path) -> None:
    print(f"building helm {HELM_VERSION}, once; this takes some minutes", flush=True)
    install(folder, "helm.sh/helm/v3/cmd/helm", HELM_VERSION)


def _operator_schemas(folder: Path) -> None:
    module = json.loads(go("mod", "download", "-json", _OPERATOR))
    if module["Sum"] != _OPERATOR_SUM:
        raise MissingError(f"{_OPERATOR} is not the module it was")
    for resource in OPERATOR_RESOURCES:
        name = f"monitoring.coreos.com_{resource}.yaml"
        shutil.copy(Path(module["Dir"]) / "example" / "prometheus-operator-crd" / name, folder)


if __name__ == "__main__":
    sys.exit(fetch_all(((HELM.parent, _helm), (OPERATOR_SCHEMAS, _operator_schemas))))
