"""Redis and Valkey connections for Prometheus, told from one held connection per server."""

NAME = "redis-connection-exporter"
__version__ = "0.1.0"  # pyproject.toml reads it here; importlib.metadata would cost 30 ms at each start
