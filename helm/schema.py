"""The schema of the chart's values: what values.yaml holds by default tells what may stand there."""

import re
from collections.abc import Mapping
from typing import Any

from exporter.settings.tree import Auth, Settings, Target

# What the chart has other words for: targets and auth stand beside config, shards counts the shards.
BESIDE_CONFIG = ("targets", "auth", "shard")

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_TEXT_BY_NAME: Schema = {"type": "object", "additionalProperties": _TEXT}
_OPEN: Schema = {"type": "object"}
_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"

# What pydantic says and Helm would misread: its durations are not those of ISO 8601.
_DROPPED = ("$defs", "default", "format", "properties", "title")

# Kubernetes' own structures, which values.yaml fills by default: the API server knows their keys.
_KUBERNETES = re.compile(
    r"strategy|podSecurityContext|securityContext|resources|(liveness|readiness|startup)Probe"
)
_TEXT_BY_NAME_KEYS = re.compile(r"(.*\.)?(\w*[lL]abels|\w*[aA]nnotations|nodeSelector)")


def _one_of(*words: str) -> Schema:
    return {"enum": list(words)}


def _closed(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    closed = {"type": "object", "additionalProperties": False, "properties": properties}
    return closed | ({"required": list(required)} if required else {})


_SPECIAL: Mapping[str, Schema] = {
    "shards": {"type": "integer", "minimum": 1, "maximum": 1000},
    "image.pullPolicy": _one_of("Always", "IfNotPresent", "Never"),
    "dnsPolicy": _one_of("", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "command": _TEXTS,
    "extraArgs": _TEXTS,
    "jobName": {"type": "string", "pattern": "redis-connection"},
    "service.type": _one_of("ClusterIP", "NodePort", "LoadBalancer"),
    "service.port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "service.ipFamilyPolicy": _one_of("", "SingleStack", "PreferDualStack", "RequireDualStack"),
    "service.ipFamilies": {"type": "array", "items": _one_of("IPv4", "IPv6")},
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"]},
    "podDisruptionBudget.unhealthyPodEvictionPolicy": _one_of("", "IfHealthyBudget", "AlwaysAllow"),
    "prometheusRule.disabled": _TEXTS,
    "networkPolicy.egress.ports": {"type": "array", "items": {"type": "integer"}},
    "ingress.hosts": _TEXTS,
} | {
    f"{monitor}.scheme": _one_of("http", "https")
    for monitor in ("serviceMonitor", "podMonitor", "scrapeConfig")
}


def schema_of_values(values: Mapping[str, Any], described: Mapping[str, str]) -> Schema:
    """Make the schema; a key with a description gets it."""
    schema = _schema(values, "", described)
    properties = schema["properties"]
    # A parent chart puts values of its own there.
    properties["global"].pop("additionalProperties")
    properties["enabled"] = {"type": "boolean", "description": "For the condition of a parent chart."}
    properties["podDisruptionBudget"]["properties"]["minAvailable"] = {"type": ["integer", "string"]}
    targets = properties["targets"]
    targets["items"] = _target()
    properties["auth"] |= _with_secrets(_settings(Auth.model_json_schema()))
    settings = _settings(Settings.model_json_schema())
    properties["config"] = _closed(
        {key: each for key, each in settings["properties"].items() if key not in BESIDE_CONFIG}
    )
    return {"$schema": "http://json-schema.org/draft-07/schema#"} | schema


def _schema(value: object, path: str, described: Mapping[str, str]) -> Schema:
    schema = _SPECIAL.get(path) or _kind(value, path, described)
    return schema | ({"description": described[path]} if path in described else {})


def _kind(value: object, path: str, described: Mapping[str, str]) -> Schema:
    match value:
        case bool():
            return {"type": "boolean"}
        case int() | float():
            whole = isinstance(value, int) and "thresholds" not in path
            return {"type": "integer", "minimum": 0} if whole else {"type": "number"}
        case str():
            return _TEXT
        case list():
            return {"type": "array"}
        case dict():
            return _group(value, path, described)
    raise TypeError(f"{path}: no schema for {value!r}")


def _group(value: Mapping[str, object], path: str, described: Mapping[str, str]) -> Schema:
    if _TEXT_BY_NAME_KEYS.fullmatch(path):
        return _TEXT_BY_NAME
    if not value or _KUBERNETES.fullmatch(path):
        return _OPEN
    return _closed(
        {key: _schema(each, f"{path}.{key}".lstrip("."), described) for key, each in value.items()}
    )


def _target() -> Schema:
    target = _with_secrets(_settings(Target.model_json_schema()))
    target["properties"]["tls"]["properties"] |= {
        "caSecret": _reference("ca.crt", "Secret with the CA certificates, in place of ca_file."),
        "caConfigMap": _reference("ca.crt", "The same from a ConfigMap."),
        "certSecret": _closed({"name": _TEXT, "certKey": _TEXT, "keyKey": _TEXT}, ("name",))
        | {"description": "Secret with the client certificate, in place of cert_file and key_file."},
    }
    return target


def _with_secrets(section: Schema) -> Schema:
    """Let a section name a Secret. A password passes: the chart's own error says what to write."""
    section["properties"] |= {
        "password": {},
        "passwordSecret": _reference("password", "Secret with the password, in place of password_file."),
    }
    return section


def _reference(key: str, description: str) -> Schema:
    name = {"type": "string", "minLength": 1}
    reference = _closed({"name": name, "key": _TEXT | {"default": key}}, ("name",))
    return reference | {"description": description}


def _settings(schema: Schema) -> Schema:
    """Make pydantic's schema a plain one: no references, no secrets, nothing that Helm would misread."""
    definitions = schema.get("$defs", {})

    def plain(node: Any) -> Any:  # noqa: ANN401  any value of JSON
        if isinstance(node, list):
            return [plain(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return plain(definitions[node["$ref"].rpartition("/")[2]])
        if "anyOf" in node:  # a value or null; Helm leaves out what is null
            values = [plain(each) for each in node["anyOf"] if each != {"type": "null"}]
            note = {"description": node["description"]} if "description" in node else {}
            return (values[0] if len(values) == 1 else {"anyOf": values}) | note
        kept = {key: plain(value) for key, value in node.items() if key not in _DROPPED}
        if "properties" in node:
            open_ = {key: each for key, each in node["properties"].items() if not _is_secret(each)}
            kept["properties"] = {key: plain(each) for key, each in open_.items()}
        return kept | ({"pattern": _DURATION} if node.get("format") == "duration" else {})

    result: Schema = plain(schema)
    return result


def _is_secret(node: Schema) -> bool:
    return any(each.get("writeOnly") for each in (node, *node.get("anyOf", ())))
