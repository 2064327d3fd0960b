"""`host:port` in URLs and in addresses to listen on."""

import ipaddress
import re

HOST_NAME = r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?"
_HOST = re.compile(HOST_NAME + r"|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]")
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 65535
_NOT_A_HOST = "not a host: write a name, an IPv4 address or an IPv6 address in [brackets]"


def split_place(text: str, *, scheme: str = "", default_port: int) -> tuple[str, int | None]:
    """Split `host:port`, `[v6]:port` or `host` into its parts; the host may be empty.

    `scheme` (`redis://`) and `default_port` make up the example in an error. Of what was read, an error
    repeats an IPv6 address without brackets, which is no secret, and nothing else.

    Raises:
        ValueError: it is none of these.

    """
    host, bracket, rest = text.rpartition("]")
    if bracket:
        host, separator, port = host + bracket, rest[:1], rest[1:]
        if separator not in ("", ":"):
            raise ValueError(_NOT_A_HOST)
    else:
        _refuse_without_brackets(text, scheme, default_port)
        host, _, port = text.partition(":")
    if host and not _HOST.fullmatch(host):
        raise ValueError(_NOT_A_HOST)
    if bracket and not is_ipv6(host[1:-1]):
        raise ValueError(
            f"not an IPv6 address: write one in the brackets, as in {scheme}[::1]:{default_port}"
        )
    if port and (not _PORT.fullmatch(port) or int(port) > _MAX_PORT):
        raise ValueError(f"not a port: write a number up to {_MAX_PORT}, as in {scheme}host:{default_port}")
    return host.strip("[]"), int(port) if port else None


def _refuse_without_brackets(text: str, scheme: str, default_port: int) -> None:
    """Refuse `::1:6379`; its last group is the port if what stands before it is an address too."""
    before, _, last = text.rpartition(":")
    if "%" in text and ":" in before:  # behind it can be anything
        raise ValueError(f"put the address in brackets: {scheme}[::1]:{default_port}")
    if _PORT.fullmatch(last) and is_ipv6(before):
        raise ValueError(f"put the address in brackets: {scheme}[{before}]:{last}")
    if is_ipv6(text):
        raise ValueError(f"put the address in brackets: {scheme}[{text}]:{default_port}")


def is_ipv6(text: str) -> bool:
    """Whether it is an IPv6 address, without brackets."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
