"""Real Redis servers with real trouble, and the exporter on top, for a first look."""
