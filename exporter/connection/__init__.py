"""The connection to a server: its secrets and certificates, and the meaning of what goes wrong with it."""
