"""Sentences that lead to the cause: which file, user or place failed, why, and what to write instead."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.connection.secrets import SecretError, read_secret
from exporter.model import Access
from exporter.settings.kinds import parse_redis_url

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
