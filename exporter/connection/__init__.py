"""The connection to a server: bytes, replies, addresses, secrets. Only connect.py knows redis-py."""
