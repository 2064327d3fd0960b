"""Real Redis and Valkey servers of several versions."""
