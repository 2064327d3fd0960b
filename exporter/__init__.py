"""Redis and Valkey connections for Prometheus, told from one held connection per server."""

from importlib.metadata import PackageNotFoundError, version

NAME = "redis-connection-exporter"

try:
    __version__ = version(NAME)
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0+unknown"
