"""What it means that a TLS handshake failed, as Python's ssl tells it: a sentence with the cure."""

import ssl
from dataclasses import replace

from exporter.model import Access, RedisUrl

_PLAIN_SCHEMES = {"rediss": "redis", "valkeys": "valkey"}
_TLS_SCHEMES = {plain: tls for tls, plain in _PLAIN_SCHEMES.items()}
# Of OpenSSL's X509_V_ERR_...: a certificate without a known signer, and one for another name or address.
_NO_SIGNER = (18, 19, 20, 21)
_OTHER_NAME = (62, 64)
# Parts of OpenSSL's names of errors, which differ a little between its versions.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
_OUR_CERTIFICATE = ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "CERTIFICATE_EXPIRED")
_VERSIONS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE")
_KEYS = "tls.cert_file: and tls.key_file:"
_NAME_CURE = "write tls.server_name: as it stands in"


def plain_url(url: RedisUrl) -> RedisUrl:
    """The same place without TLS."""
    return replace(url, tls=False, scheme=_PLAIN_SCHEMES.get(url.scheme, url.scheme))


def tls_url(url: RedisUrl) -> RedisUrl:
    """The same place with TLS."""
    return replace(url, tls=True, scheme=_TLS_SCHEMES.get(url.scheme, url.scheme))


def explain_handshake(error: ssl.SSLError, access: Access) -> str:
    """Explain an error of the handshake, or of the first read, where TLS 1.3 refuses our certificate."""
    place, reason = access.url.place, getattr(error, "reason", None) or type(error).__name__

    def is_any(parts: tuple[str, ...]) -> bool:
        return any(part in reason for part in parts)

    if isinstance(error, ssl.SSLCertVerificationError):
        return _about_their_certificate(error, access)
    if is_any(_NO_TLS):
        return f"{place} does not speak TLS: write {plain_url(access.url)}"
    if is_any(_VERSIONS):
        return f"{place} shares no TLS version with the exporter, which speaks 1.2 and later"
    if is_any(("UNRECOGNIZED_NAME",)):
        return f"{place} has no certificate for the name that it was asked for: {_NAME_CURE} its certificate"
    return _about_our_certificate(reason, access) or f"TLS with {place}: {reason}"


def _about_our_certificate(reason: str, access: Access) -> str | None:
    place, file = access.url.place, access.tls.cert_file
    if "HANDSHAKE_FAILURE" in reason:  # how TLS 1.2 refuses for want of a certificate, among others
        wants = f"wants a client certificate (write {_KEYS}), or " if file is None else ""
        or_else = "shares no TLS version or cipher with the exporter"
        return f"{place} refused the TLS handshake: perhaps it {wants}{or_else}"
    if file is None and "CERTIFICATE_REQUIRED" in reason:
        return f"{place} wants a client certificate: write {_KEYS}"
    if file is not None and any(part in reason for part in _OUR_CERTIFICATE):
        return f"{place} refused the client certificate in cert_file {file} ({reason})"
    return None


def _about_their_certificate(error: ssl.SSLCertVerificationError, access: Access) -> str:
    whose, message = f"the certificate of {access.url.place}", error.verify_message
    file = access.tls.ca_file
    if error.verify_code in _OTHER_NAME:
        return f"{whose} is for another name ({message}): {_NAME_CURE} the certificate"
    if error.verify_code in _NO_SIGNER:
        file = access.tls.ca_file
        cure = (
            f"write the CA that signed it into ca_file {file}"
            if file
            else "write tls.ca_file: with the CA that signed it"
        )
        return f"{whose} is not trusted ({message}): {cure}"
    return f"{whose} is not trusted: {message}"
