"""TLS contexts from the files of an access."""

import ssl
from functools import lru_cache
from pathlib import Path

from exporter.model import Tls


class TlsFileError(Exception):
    """A file of TLS cannot be used; the text says which, and why."""


def file_ages(tls: Tls) -> tuple[int, ...]:
    """When each file was last changed, 0 where there is none; it may block."""
    return tuple(map(_age, (tls.ca_file, tls.cert_file, tls.key_file)))


def _age(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError:
        return 0


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Make a context, anew only when a file has changed; it may block."""
    try:
        return _context(tls, file_ages(tls))
    except OSError as error:
        reason = error.filename or error.strerror or "not PEM"
        raise TlsFileError(f"a TLS file cannot be used: {reason}") from error


@lru_cache(maxsize=64)
def _context(tls: Tls, _ages: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
