"""When to ask a server what: one loop per target, one Observation from each poll."""
