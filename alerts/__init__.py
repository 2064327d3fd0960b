"""Alert and recording rules for Prometheus; alerts.yml is generated."""
