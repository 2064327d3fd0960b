"""Run the real helm on the chart."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from helm.generate import CHART
from tests.conftest import need
from tests.servers.kinds import CACHE

HELM_VERSION = "v3.22.0"
HELM = CACHE / f"helm-{HELM_VERSION}" / "helm"
OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.27.0", "1.37.0"
RELEASE, NAMESPACE = "shop", "monitoring"
EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))

Tree = dict[str, Any]


def helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    need(HELM.exists(), "helm is not there: `make test` builds it where Go is installed")
    # It ends before its garbage is worth collecting: a fifth of its time.
    quick = os.environ | {"GOGC": "off"}
    return subprocess.run(
        [HELM, *arguments], check=False, capture_output=True, text=True, timeout=60, env=quick
    )


def template(
    values: Path, *, kubernetes: str = NEWEST_KUBERNETES, chart: Path = CHART, release: str = RELEASE
) -> "subprocess.CompletedProcess[str]":
    return helm(
        "template", release, str(chart), f"--namespace={NAMESPACE}", f"--kube-version={kubernetes}",
        f"--values={values}",
    )  # fmt: skip


def attempt(values: Mapping[str, Any], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Render values that may be refused."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(dict(values), file)
        file.flush()
        return template(Path(file.name), **options)


def _objects(done: "subprocess.CompletedProcess[str]") -> list[Tree]:
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each is not None]


def rendered(values: Mapping[str, Any], **options: Any) -> list[Tree]:
    """The objects that these values give."""
    return _objects(attempt(values, **options))


@cache
def rendered_example(path: Path, kubernetes: str = NEWEST_KUBERNETES) -> list[Tree]:
    """The objects that a values file gives; not to be changed."""
    return _objects(template(path, kubernetes=kubernetes))


def refusal(values: Mapping[str, Any]) -> str:
    """What helm says of values that it must refuse."""
    done = attempt(values)
    assert done.returncode != 0, f"not refused:\n{done.stdout[:2000]}"
    return done.stderr


def of_kind(objects: list[Tree], kind: str) -> list[Tree]:
    return [each for each in objects if each["kind"] == kind]


def the(objects: list[Tree], kind: str) -> Tree:
    """The one object of a kind."""
    (found,) = of_kind(objects, kind)
    return found


def exporter_file(objects: list[Tree]) -> str:
    """The exporter's configuration file."""
    (found,) = (
        each["data"]["exporter.yaml"]
        for each in of_kind(objects, "ConfigMap")
        if "exporter.yaml" in each.get("data", {})
    )
    text: str = found
    return text


def pods(objects: list[Tree]) -> list[Tree]:
    """The pod templates of the Deployment or the StatefulSet."""
    return [
        each["spec"]["template"] for kind in ("Deployment", "StatefulSet") for each in of_kind(objects, kind)
    ]


def shards(objects: list[Tree]) -> dict[str, dict[str, str]]:
    """The pods of the StatefulSet by name, in order, each with its environment as Kubernetes makes it."""
    workload = the(objects, "StatefulSet")
    names = [f"{workload['metadata']['name']}-{number}" for number in range(workload["spec"]["replicas"])]
    variables = container(workload["spec"]["template"])["env"]
    return {pod: {each["name"]: _value(each, pod) for each in variables} for pod in names}


def _value(variable: Tree, pod: str) -> str:
    fields = {"metadata.name": pod}
    value: str = variable.get("value") or fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
    return value


def container(pod: Tree) -> Tree:
    found: Tree = pod["spec"]["containers"][0]
    return found


def selects(selector: Mapping[str, str], labelled: Tree) -> bool:
    labels: dict[str, str] = labelled["metadata"]["labels"]
    return selector.items() <= labels.items()
