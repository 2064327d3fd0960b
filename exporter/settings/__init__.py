"""What the user may set: one tree for flags, environment, YAML and secret files."""

from exporter.settings.load import Sources, load, load_web
from exporter.settings.tree import Settings

__all__ = ["Settings", "Sources", "load", "load_web"]
