"""What TLS needs to know: a client's settings, whom it trusts, what it shows of itself; and in words why it failed."""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
from typing import TYPE_CHECKING

from .errors import ConfigError
from .redaction import forgets_arguments

if TYPE_CHECKING:
    import ssl

__all__ = ["alert_reason", "handshake_reason", "tls_context"]

#: The oldest protocol that may be asked for, to its name in Python's ``ssl.TLSVersion``.
_MINIMA = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}

_CERTIFICATE = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
#: Of an encrypted key: PKCS #8 (RFC 5958) says it in the label, the older form in a header (RFC 1421).
_ENCRYPTED_KEY = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: *4, *ENCRYPTED")
_MAX_FILE_BYTES = 16 * 1024 * 1024


# --- settings ---------------------------------------------------------------------------------------------------------


@forgets_arguments
def tls_context(
    *,
    verify: bool = True,
    ca_file: str | None = None,
    cert_file: str | None = None,
    key_file: str | None = None,
    key_password: str | None = None,
    tls_min: str = "1.2",
) -> ssl.SSLContext:
    """Return a client's TLS settings: TLS 1.2 or later, the chain and the host name checked (RFC 8314, RFC 9525).

    Without a certificate of our own it is made once for each combination, and anew when the CA file has changed.

    Args:
        verify: False accepts any certificate, so anyone in the middle can read and change everything.
        ca_file: A PEM file with the only certificates to trust: authorities, or servers themselves. None: the system's.
        cert_file: A PEM file with the certificate to show if the server asks for one, and what leads from it to its
            authority. None: nothing is shown.
        key_file: A PEM file with its private key; None: it stands in ``cert_file``.
        key_password: What the key is encrypted with.
        tls_min: The oldest version to speak, "1.2" or "1.3".

    Raises:
        ConfigError: A file cannot be read, is not PEM, or does not hold what it should. The text names option and file.
    """
    state = _state_of("ca_file", ca_file) if ca_file is not None else None
    if cert_file is None:
        return _shared_context(verify, ca_file, state, tls_min)
    context = _new_context(verify, ca_file, tls_min)
    _load_identity(context, cert_file, key_file, key_password)
    return context


def _new_context(verify: bool, ca_file: str | None, tls_min: str) -> ssl.SSLContext:
    import ssl

    if ca_file is not None and not _CERTIFICATE.search(_pem("ca_file", ca_file, "x509")):
        raise ConfigError(f"ca_file: {ca_file!r} holds no certificate (-----BEGIN CERTIFICATE-----)")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise ConfigError(f"ca_file: {ca_file!r} holds a certificate that cannot be read: {_said(exc)}") from exc
    context.minimum_version = ssl.TLSVersion[_MINIMA[tls_min]]
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # a server's own certificate may be the anchor
    # RFC 9525 section 2: the common name is no place for a host name.
    context.hostname_checks_common_name = False
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@functools.lru_cache(maxsize=16)
def _shared_context(verify: bool, ca_file: str | None, state: tuple[int, ...] | None, tls_min: str) -> ssl.SSLContext:
    """``state`` is the CA file's, which may change."""
    return _new_context(verify, ca_file, tls_min)


def _load_identity(context: ssl.SSLContext, cert_file: str, key_file: str | None, key_password: str | None) -> None:
    import ssl

    if not _CERTIFICATE.search(_pem("cert_file", cert_file, "x509")):
        raise ConfigError(f"cert_file: {cert_file!r} holds no certificate (-----BEGIN CERTIFICATE-----)")
    option, path = ("cert_file", cert_file) if key_file is None else ("key_file", key_file)
    key = _pem(option, path, "pkey")
    if not _KEY.search(key):
        remedy = "" if key_file is not None else "; name the file that does in key_file"
        raise ConfigError(f"{option}: {path!r} holds no private key (-----BEGIN PRIVATE KEY-----){remedy}")
    is_encrypted = _ENCRYPTED_KEY.search(key) is not None
    if is_encrypted and not key_password:
        raise ConfigError(f"{option}: the private key in {path!r} is encrypted: give its password as key_password")
    try:
        # A function, lest OpenSSL ask the terminal.
        context.load_cert_chain(cert_file, path, lambda: key_password or "")
    except (OSError, ValueError) as exc:
        if isinstance(exc, ssl.SSLError) and exc.reason == "KEY_VALUES_MISMATCH":
            said = f"the private key in {path!r} does not belong to the certificate in {cert_file!r}"
        elif is_encrypted:
            said = f"the private key in {path!r} is not opened by key_password"
        else:
            said = f"certificate and private key in {path!r} cannot be used: {_said(exc)}"
        raise ConfigError(f"{option}: {said}") from exc


def _state_of(option: str, path: str) -> tuple[int, ...]:
    """What changes when the file does."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{option}: {path!r} cannot be read: {_said(exc)}") from exc
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{option}: {path!r} is not a file")
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _pem(option: str, path: str, kind: str) -> bytes:
    """What stands in the file."""
    *_, size = _state_of(option, path)
    if size > _MAX_FILE_BYTES:
        raise ConfigError(f"{option}: {path!r} is too large for what it should be ({size} octets)")
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_FILE_BYTES)
    except OSError as exc:
        raise ConfigError(f"{option}: {path!r} cannot be read: {_said(exc)}") from exc
    if content.startswith(b"\x30") and b"-----BEGIN " not in content:  # an ASN.1 sequence
        raise ConfigError(f"{option}: {path!r} is DER, not PEM: openssl {kind} -inform der -in FILE -out FILE.pem")
    return content


# --- why it failed ----------------------------------------------------------------------------------------------------

_NOT_TLS = "the server does not speak TLS on this port: it may want STARTTLS or no TLS, so check port and tls mode"
_TOO_OLD = "the server offers no TLS version that is safe ({} or later)"
_ENDED = "the server closed the connection during the TLS handshake"
_NO_CIPHER = "the server and we have no cipher in common, or it wants a client certificate (cert_file)"

# OpenSSL's reasons for a failed handshake (sslerr.h), as Python names them.
_HANDSHAKE_REASONS = {
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "UNKNOWN_PROTOCOL": _NOT_TLS,
    "HTTP_REQUEST": _NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": _NOT_TLS,
    "RECORD_LAYER_FAILURE": _NOT_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "NO_PROTOCOLS_AVAILABLE": _TOO_OLD,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_CIPHER,
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know this name",
    "UNEXPECTED_EOF_WHILE_READING": _ENDED,
}

# What a server says of our certificate (RFC 8446 section 6.2); with TLS 1.3 it does so when the handshake is over.
_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server wants a client certificate (cert_file)",
    "TLSV1_ALERT_CERTIFICATE_REQUIRED": "the server wants a client certificate (cert_file)",
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not trust the authority of our certificate (cert_file)",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the server says that our certificate has expired (cert_file)",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the server says that our certificate has been revoked (cert_file)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the server does not accept our certificate (cert_file)",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the server does not accept our certificate (cert_file)",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the server does not accept certificates of this kind (cert_file)",
    "TLSV1_ALERT_ACCESS_DENIED": "the server lets nobody in with our certificate (cert_file)",
}

_UNKNOWN_CA = (
    "the certificate was issued by an authority that is not trusted (unknown CA{}): if it should be, name it in ca_file"
)

# Verification results (x509_vfy.h).
_CERTIFICATE_REASONS = {
    2: _UNKNOWN_CA.format(""),
    9: "the certificate is not yet valid: check the clock here and the certificate there",
    10: "the certificate has expired",
    18: "the certificate is self-signed: if it is the right one, name it in ca_file",
    19: _UNKNOWN_CA.format(", self-signed"),
    20: _UNKNOWN_CA.format(""),
    21: _UNKNOWN_CA.format(", or the server does not send what leads to it"),
    23: "the certificate has been revoked",
    62: "the certificate is for another name",
    63: "the certificate is for another name",
    64: "the certificate is for another IP address",
}


def handshake_reason(exc: Exception, host: str, context: ssl.SSLContext) -> str:
    """Why a handshake failed, in words."""
    import ssl

    if isinstance(exc, ssl.SSLCertVerificationError):
        return _CERTIFICATE_REASONS.get(exc.verify_code, f"the certificate does not hold: {exc.verify_message}")
    if isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        return _ENDED
    if isinstance(exc, ssl.SSLError):
        reason = exc.reason or _said(exc)
        known = _HANDSHAKE_REASONS.get(reason) or _ALERTS.get(reason)
        oldest = "1.3" if context.minimum_version is ssl.TLSVersion.TLSv1_3 else "1.2"
        return known.format(oldest) if known else f"the TLS handshake failed: {_in_words(reason)}"
    if isinstance(exc, ValueError):
        return f"{host!r} is not a name that a certificate can bear: {exc}"
    return f"the TLS handshake failed: {_said(exc)}"


def alert_reason(exc: Exception) -> str | None:
    """What the peer says of our certificate, if that is what the error is."""
    return _ALERTS.get(getattr(exc, "reason", None) or "")


def _in_words(reason: str) -> str:
    return reason.replace("_", " ").lower()


def _said(exc: Exception) -> str:
    """What the system or OpenSSL says, without number and Python's class."""
    if reason := getattr(exc, "reason", None):
        return _in_words(reason)
    if isinstance(exc, OSError) and exc.errno in errno.errorcode and exc.strerror:
        return exc.strerror
    return str(exc) or type(exc).__name__
