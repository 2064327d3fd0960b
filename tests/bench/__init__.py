"""The benchmark: this exporter and redis_exporter side by side on the same real servers."""
