"""The three dashboards, written by a program so that no query can name a metric that does not exist."""
