"""The password of an access."""

import os

from exporter.connection.files import FileError, read_file
from exporter.limits import SECRET_BYTES
from exporter.model import Access
from exporter.text import decode_text, trim_secret


class SecretError(FileError):
    """A secret cannot be read; `detail` names the file and says why, without any of its content."""


def read_secret(access: Access) -> str | None:
    """Read the password; None where there is none. It blocks: a file may lie on a disk that does not answer.

    Raises:
        SecretError: the file cannot be read, or holds no secret.

    """
    path = access.password_file
    if path is None:
        return access.password
    if path.name == str(path) and not os.path.exists(path):  # noqa: PTH110  Path.exists raises for a long name
        # Not repeated: whoever mistook the key has written the password itself.
        raise SecretError(
            "password_file names a file that does not exist, without its folder: write the whole path"
        )
    try:
        secret = trim_secret(decode_text(read_file("password_file", path, SECRET_BYTES)))
    except FileError as error:
        raise SecretError(error.detail) from None
    except ValueError as error:
        raise SecretError(f"password_file {path} {error}") from None
    if not secret:
        raise SecretError(f"password_file {path} is empty: write the password into it")
    return secret
