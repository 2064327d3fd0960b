"""Values to values. Pure: no clock, no log, no settings."""
