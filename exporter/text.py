"""Text as people and servers write it: decoded, trimmed, made fit for a log line."""

import codecs

_MOST = 400
# A BOM of UTF-32 in this order begins with that of UTF-16.
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode_text(content: bytes) -> str:
    """Decode UTF-8, without the byte order mark that some editors put first.

    Raises:
        ValueError: it is something else; the text continues a sentence that begins with the file's name.

    """
    if content.startswith(UTF16):
        raise ValueError("is UTF-16 text: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def trim_secret(text: str) -> str:
    """Take off what editors and shells add to a secret: a byte order mark, and the end of the line."""
    return text.removeprefix("\ufeff").rstrip("\r\n")


def as_sentence(text: str, most: int = _MOST) -> str:
    """Make a text printable and short: what servers, paths and settings hold can be anything."""
    return "".join(each if each.isprintable() else "?" for each in text[:most])
