"""Say what is wrong with an object, by the schemas that Kubernetes and the Prometheus operator publish."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

from tests.conftest import need
from tests.servers.kinds import CACHE

OPERATOR_VERSION = "v0.93.1"
OPERATOR_SCHEMAS = CACHE / f"prometheus-operator-{OPERATOR_VERSION}"
OPERATOR_RESOURCES = ("servicemonitors", "podmonitors", "scrapeconfigs", "prometheusrules")


def faults(thing: dict[str, Any], kubernetes: str) -> list[str]:
    """Everything that a schema refuses, unknown keys included."""
    if thing["apiVersion"].startswith("monitoring.coreos.com/"):
        return list(_operator_faults(thing))
    try:
        kubernetes_validate.validate(thing, kubernetes, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{error.json_path}: {error.message}"]
    return []


def _operator_faults(thing: dict[str, Any]) -> Iterator[str]:
    for error in Draft202012Validator(_operator_schema(thing["kind"], thing["apiVersion"])).iter_errors(
        thing
    ):
        yield f"{error.json_path}: {error.message}"


@cache
def _operator_schema(kind: str, api_version: str) -> dict[str, Any]:
    need(OPERATOR_SCHEMAS.exists(), "the operator's schemas are not there: `make test` gets them where Go is")
    file = OPERATOR_SCHEMAS / f"monitoring.coreos.com_{kind.lower()}s.yaml"
    definition = yaml.load(file.read_text(), yaml.CSafeLoader)
    (version,) = (each for each in definition["spec"]["versions"] if api_version.endswith(f"/{each['name']}"))
    schema: dict[str, Any] = _strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _strict(node: Any) -> Any:
    """Refuse unknown keys, which the API server would silently drop."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    strict = {key: _strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict
