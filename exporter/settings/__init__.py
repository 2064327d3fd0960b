"""What the user may set: one tree for flags, environment, YAML and secret files."""

from exporter.settings.load import ConfigError, Fault, Sources, load
from exporter.settings.tree import Settings

__all__ = ["ConfigError", "Fault", "Settings", "Sources", "load"]
