"""Files that a connection needs: each that cannot be used is named by its path, with the reason."""

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from exporter.connection.secrets import SecretError, read_secret
from exporter.connection.tls import TlsFileError, file_ages, tls_context
from exporter.model import Access, Tls
from exporter.settings.kinds import parse_redis_url
from tests.conftest import Certificates

URL = parse_redis_url("redis://10.0.0.1:6379")


def _secret(path: Path) -> str | None:
    return read_secret(Access(URL, password_file=path))


def _refusal(path: Path) -> str:
    with pytest.raises(SecretError) as caught:
        _secret(path)
    assert caught.value.detail == str(caught.value)
    return caught.value.detail


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything; the exporter seldom is root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("written", "secret"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"hunter2\n\n", "hunter2"),
        (b" hunter2 \n", " hunter2 "),
        (b"a\r\nb", "a\r\nb"),
        ("pä$$wörd\n".encode(), "pä$$wörd"),
        (b"\xef\xbb\xbfhunter2\r\n", "hunter2"),
        (b"x" * 65536, "x" * 65536),
    ],
)
def test_a_secret_file_is_read_without_the_line_end_and_the_mark_of_an_editor(
    written: bytes, secret: str, tmp_path: Path
) -> None:
    file = tmp_path / "orders"
    file.write_bytes(written)
    assert _secret(file) == secret


def test_without_a_file_the_password_of_the_settings_counts_and_the_file_wins_over_it(tmp_path: Path) -> None:
    assert read_secret(Access(URL)) is None
    assert read_secret(Access(URL, password="p")) == "p"
    (tmp_path / "orders").write_text("of the file")
    assert read_secret(Access(URL, password="p", password_file=tmp_path / "orders")) == "of the file"


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (b"", "is empty: write the password into it"),
        (b"\n", "is empty: write the password into it"),
        (b"\xef\xbb\xbf\r\n", "is empty: write the password into it"),
        (b"hunter2\xff", "is not UTF-8 text"),
        (b"\xff\xfeh\0u\0n\0t\0e\0r\0", "is UTF-16 text: save it as UTF-8"),
        (b"\xfe\xff\0h\0u\0n\0t\0e\0r", "is UTF-16 text: save it as UTF-8"),
        (b"x" * 65537, "is larger than 64 KiB: is it the right file?"),
    ],
)
def test_a_secret_file_that_holds_no_secret_is_named_with_the_reason_and_without_its_text(
    written: bytes, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "orders"
    file.write_bytes(written)
    assert _refusal(file) == f"password_file {file} {why}"


def test_a_secret_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    assert _refusal(tmp_path / "orders") == f"password_file {tmp_path}/orders does not exist"
    assert _refusal(tmp_path) == f"password_file {tmp_path} is a directory: write the path of a file in it"
    (tmp_path / "file").write_text("x")
    inside = tmp_path / "file" / "orders"
    assert _refusal(inside) == f"password_file {inside} cannot be read: Not a directory"
    os.mkfifo(tmp_path / "pipe")
    assert _refusal(tmp_path / "pipe") == f"password_file {tmp_path}/pipe is not a regular file"
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read: Too many levels of symbolic links" in _refusal(tmp_path / "loop")


def test_a_secret_file_of_another_user_is_named_with_our_own_user(tmp_path: Path) -> None:
    file = tmp_path / "orders"
    file.write_text("hunter2")
    file.chmod(0)
    with as_nobody():
        uid = os.geteuid()
        assert (
            _refusal(file) == f"password_file {file} cannot be read by user {uid} (the exporter's): "
            "Permission denied"
        )


def test_a_name_without_a_folder_that_does_not_exist_may_be_the_password_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for mistaken in ("hunter2", "hunter2" * 50):
        assert _refusal(Path(mistaken)) == (
            "password_file names a file that does not exist, without its folder: write the whole path"
        )
    Path("orders").write_text("")
    assert _refusal(Path("orders")) == "password_file orders is empty: write the password into it"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=600))
def test_a_sentence_about_a_file_is_printable_and_bounded_whatever_the_path(name: str) -> None:
    detail = _refusal(Path(f"/no/such/folder/{name}"))
    assert detail.isprintable()
    assert len(detail) <= 500


def _tls_refusal(tls: Tls) -> str:
    with pytest.raises(TlsFileError) as caught:
        tls_context(tls)
    assert caught.value.detail == str(caught.value)
    return caught.value.detail


def test_files_of_tls_make_a_context_and_make_it_anew_only_when_one_has_changed(
    certificates: Certificates, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    comments = "# Label: F\u0151tan\u00fas\u00edtv\u00e1ny\n".encode() + b"# in Latin-1: \xe9\n"
    ca.write_bytes(comments + certificates.ca.read_bytes())
    tls = Tls(ca, certificates.client_cert, certificates.client_key)
    context = tls_context(tls)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert len(context.get_ca_certs()) == 1
    assert tls_context(replace(tls, server_name="orders.example")) is context
    ages = file_ages(tls)
    os.utime(ca, (1, 1))
    assert file_ages(tls) != ages
    assert tls_context(tls) is not context
    trusting = tls_context(Tls(insecure_skip_verify=True))
    assert (trusting.check_hostname, trusting.verify_mode) == (False, ssl.CERT_NONE)
    assert file_ages(Tls()) == (0, 0, 0)


def test_a_tls_file_that_was_broken_counts_again_as_soon_as_it_is_mended(
    certificates: Certificates, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    assert _tls_refusal(Tls(ca)) == f"ca_file {ca} does not exist"
    ca.write_text("")
    assert _tls_refusal(Tls(ca)) == f"ca_file {ca} is empty"
    ca.write_bytes(certificates.ca.read_bytes())
    assert tls_context(Tls(ca)).get_ca_certs()


def _cut(pem: bytes) -> bytes:
    lines = pem.splitlines(keepends=True)
    return b"".join([lines[0], *lines[2:]])


def _locked(pem: bytes, form: serialization.PrivateFormat) -> bytes:
    key = serialization.load_pem_private_key(pem, None)
    locked = serialization.BestAvailableEncryption(b"a passphrase")
    return key.private_bytes(serialization.Encoding.PEM, form, locked)


def _der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def _der_key(_: bytes) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: b"hello", "holds no PEM certificate"),
        (_der, "holds no PEM certificate: it is DER, convert it with openssl x509 -inform der"),
        (lambda pem: pem.decode().encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        (_cut, "cannot be used: its PEM is damaged"),
        (lambda pem: pem[: len(pem) // 2], "cannot be used: its PEM is damaged"),
        (lambda _: b"x" * (4 * 1024 * 1024 + 1), "is larger than 4096 KiB: is it the right file?"),
    ],
)
def test_a_file_that_holds_no_certificate_is_named_with_the_reason(
    make: Callable[[bytes], bytes], why: str, certificates: Certificates, tmp_path: Path
) -> None:
    file = tmp_path / "file.pem"
    file.write_bytes(make(certificates.client_cert.read_bytes()))
    assert _tls_refusal(Tls(ca_file=file)) == f"ca_file {file} {why}"
    chain = Tls(cert_file=file, key_file=certificates.client_key)
    assert _tls_refusal(chain) == f"cert_file {file} {why}"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda _: b"", "is empty"),
        (lambda _: b"hello", "holds no PEM private key"),
        (_der_key, "holds no PEM private key: it is DER, convert it with openssl pkey -inform der"),
        (_cut, "cannot be used: its PEM is damaged"),
        (
            lambda pem: _locked(pem, serialization.PrivateFormat.PKCS8),
            "has a passphrase: write a key without one",
        ),
        (
            lambda pem: _locked(pem, serialization.PrivateFormat.TraditionalOpenSSL),
            "has a passphrase: write a key without one",
        ),
    ],
)
def test_a_file_that_holds_no_usable_key_is_named_with_the_reason(
    make: Callable[[bytes], bytes], why: str, certificates: Certificates, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(make(certificates.client_key.read_bytes()))
    tls = Tls(cert_file=certificates.client_cert, key_file=file)
    assert _tls_refusal(tls) == f"key_file {file} {why}"


def test_a_certificate_and_a_key_that_were_mixed_up_are_both_named(
    certificates: Certificates, tmp_path: Path
) -> None:
    cert, key = certificates.client_cert, certificates.client_key
    assert _tls_refusal(Tls(cert_file=cert, key_file=certificates.key)) == (
        f"key_file {certificates.key} does not belong to the certificate in cert_file {cert}"
    )
    swapped = _tls_refusal(Tls(cert_file=key, key_file=cert))
    assert swapped == f"cert_file {key} holds a private key and no certificate: were the two files swapped?"
    assert _tls_refusal(Tls(cert_file=cert, key_file=cert)) == (
        f"key_file {cert} holds a certificate and no private key: were the two files swapped?"
    )
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    tls_context(Tls(cert_file=both, key_file=both))
    assert _tls_refusal(Tls(cert_file=cert, key_file=tmp_path)) == (
        f"key_file {tmp_path} is a directory: write the path of a file in it"
    )
