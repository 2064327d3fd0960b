"""TLS contexts from the files of an access."""

import re
import ssl
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from exporter.connection.files import FileError, read_file
from exporter.limits import CERTIFICATE_BYTES
from exporter.model import Tls
from exporter.text import UTF16

_CERTIFICATE = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_PASSPHRASE = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")
_DER = b"\x30\x82"
_CONVERT = {"certificate": "openssl x509 -inform der", "private key": "openssl pkey -inform der"}


class TlsFileError(FileError):
    """A file of TLS cannot be used; `detail` names it and says why, without any of its content."""


def file_ages(tls: Tls) -> tuple[int, ...]:
    """When each file was last changed, in nanoseconds; 0 where there is none. It blocks."""
    return tuple(map(_age, (tls.ca_file, tls.cert_file, tls.key_file)))


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Make a context, anew only when a file has changed: loading CAs takes milliseconds. It blocks.

    Raises:
        TlsFileError: a file cannot be used.

    """
    try:
        return _context(replace(tls, server_name=None), file_ages(tls))  # one for all names
    except FileError as error:
        raise TlsFileError(error.detail) from None


def _age(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns if path is not None else 0
    except OSError:  # whoever reads it says so
        return 0


@lru_cache(maxsize=64)
def _context(tls: Tls, _ages: tuple[int, ...]) -> ssl.SSLContext:
    if tls.ca_file is not None:
        _check_certificate("ca_file", tls.ca_file)
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None and tls.key_file is not None:
        _load_chain(context, tls.cert_file, tls.key_file)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_chain(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    _check_certificate("cert_file", cert)
    _check_key("key_file", key)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # never ask at a terminal
    except OSError as error:  # ssl.SSLError is one too
        reason = getattr(error, "reason", None)
        if reason == "KEY_VALUES_MISMATCH":
            problem = f"key_file {key} does not belong to the certificate in cert_file {cert}"
        elif reason:
            problem = f"cert_file {cert} and key_file {key} cannot be used: {reason}"
        else:  # the certificate has been read before
            problem = f"key_file {key} cannot be used: its PEM is damaged"
        raise FileError(problem) from None


def _check_certificate(key: str, path: Path) -> None:
    """Refuse a file that holds no certificate: OpenSSL's own errors name neither the file nor the reason."""
    _read_pem(key, path, _CERTIFICATE, "certificate", other=_KEY)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:
        raise FileError(f"{key} {path} cannot be used: its PEM is damaged") from None


def _check_key(key: str, path: Path) -> None:
    if _PASSPHRASE.search(_read_pem(key, path, _KEY, "private key", other=_CERTIFICATE)):
        raise FileError(f"{key} {path} has a passphrase: write a key without one")


def _read_pem(
    key: str, path: Path, wanted: re.Pattern[bytes], thing: str, *, other: re.Pattern[bytes]
) -> bytes:
    name, content = f"{key} {path}", read_file(key, path, CERTIFICATE_BYTES)
    if wanted.search(content):  # comments around it may be in any encoding
        return content
    if other.search(content):
        wrong = "private key" if other is _KEY else "certificate"
        raise FileError(f"{name} holds a {wrong} and no {thing}: were the two files swapped?")
    if not content.strip():
        raise FileError(f"{name} is empty")
    if content.startswith(UTF16):
        raise FileError(f"{name} is UTF-16 text: save it as UTF-8")
    if content.startswith(_DER):
        raise FileError(f"{name} holds no PEM {thing}: it is DER, convert it with {_CONVERT[thing]}")
    raise FileError(f"{name} holds no PEM {thing}")
