"""The clients of one server: when to list them, in one list or in batches, and what it costs the server."""
