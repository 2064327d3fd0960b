"""On the PYTHONPATH of the exporter that is soaked."""
