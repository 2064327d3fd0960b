"""The password of an access."""

from exporter.model import Access


class SecretError(Exception):
    """A secret cannot be read; the text says which file, and why."""


def read_secret(access: Access) -> str | None:
    """Read the password; it may block."""
    if access.password_file is None:
        return access.password
    try:
        return access.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SecretError(f"password_file cannot be read: {reason}") from None
