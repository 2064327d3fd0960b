"""What is exposed: declaring a metric in the catalogue is emitting it."""
