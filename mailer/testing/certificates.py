"""Certificates made on the fly, good ones and bad ones, by an authority that only tests trust.

Needs ``cryptography`` (the extra ``crypto``).
"""

from __future__ import annotations

import functools
import ipaddress
import os
import ssl
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..smtp.binding import server_end_point

__all__ = ["TLS_FAULTS", "Authority", "Identity"]

#: What a server's TLS may be: the name -> what a client that checks says of it.
TLS_FAULTS = {
    "good": "nothing: issued by the authority for localhost, 127.0.0.1 and ::1",
    "expired": "its time ended yesterday",
    "not_yet_valid": "its time begins tomorrow",
    "wrong_host": "it is for other.example",
    "common_name_only": "it names the host in the common name alone, and other.example where it counts",
    "self_signed": "nobody issued it but itself",
    "unknown_ca": "it is from an authority that nobody trusts",
    "old_protocol": "a good certificate under TLS 1.1 at most",
}
_HOSTS = ("localhost", "127.0.0.1", "::1")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server shows of itself.

    Attributes:
        context: For the server's side of a handshake.
        end_point: tls-server-end-point of its certificate (RFC 5929), for SCRAM's channel binding; None if unknown.
        certificate: PEM.
        key: PEM.
    """

    context: ssl.SSLContext
    end_point: bytes | None = field(default=None, repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)


class Authority:
    """Issues certificates.

    Attributes:
        pem: Its own certificate, for whoever is to trust it.
    """

    def __init__(self, name: str = "mailer.testing authority") -> None:
        self._key = _new_key()
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._certificate = self._signed(self._name, self._key, is_authority=True)
        self.pem = _pem(self._certificate)
        self._made: dict[str, Identity] = {}

    def identity(self, fault: str = "good") -> Identity:
        """The identity of a server: the certificate made when it is first asked for, the context each time anew.

        Args:
            fault: One of `TLS_FAULTS`.

        Raises:
            ValueError: It is none of them.
        """
        if fault not in TLS_FAULTS:
            raise ValueError(f"there is no TLS fault {fault!r}; there are: {', '.join(TLS_FAULTS)}")
        if fault not in self._made:
            self._made[fault] = self._new(fault)
        made = self._made[fault]
        # A context can be changed by whoever has it; so nobody has another's.
        return replace(made, context=_context(made.certificate + made.key, is_old=fault == "old_protocol"))

    def issue(self, *hosts: str, days: int = 30) -> Identity:
        """An identity for host names or IP addresses: a server's, or a client's for its side of mutual TLS."""
        return self._identity(hosts, last=_now() + days * _DAY)

    def client_context(self) -> ssl.SSLContext:
        """What a client needs that trusts this authority alone: for `smtplib` and the like."""
        return ssl.create_default_context(cadata=self.pem.decode("ascii"))

    def _new(self, fault: str) -> Identity:
        if fault == "expired":
            return self._identity(_HOSTS, first=_now() - 10 * _DAY, last=_now() - _DAY)
        if fault == "not_yet_valid":
            return self._identity(_HOSTS, first=_now() + _DAY, last=_now() + 10 * _DAY)
        if fault in ("wrong_host", "common_name_only"):
            return self._identity(["other.example"], common_name="localhost" if fault == "common_name_only" else "")
        if fault == "self_signed":
            return self._identity(_HOSTS, is_own_issuer=True)
        if fault == "unknown_ca":
            return Authority("nobody's authority").identity()
        return self._identity(_HOSTS)

    def _identity(
        self,
        hosts: Sequence[str],
        *,
        first: datetime | None = None,
        last: datetime | None = None,
        common_name: str = "",
        is_own_issuer: bool = False,
    ) -> Identity:
        key = _new_key()
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else [])
        if is_own_issuer:
            name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
        made = self._signed(name, key, hosts=hosts, first=first, last=last, is_own_issuer=is_own_issuer)
        certificate = _pem(made)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        end_point = server_end_point(made.public_bytes(serialization.Encoding.DER))
        return Identity(_context(certificate + secret), end_point, certificate, secret)

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        hosts: Sequence[str] = (),
        first: datetime | None = None,
        last: datetime | None = None,
        is_authority: bool = False,
        is_own_issuer: bool = False,
    ) -> x509.Certificate:
        issuer, signer = (name, key) if is_own_issuer else (self._name, self._key)
        usage = dict.fromkeys(_USAGES, False) | dict.fromkeys(
            ["key_cert_sign", "crl_sign"] if is_authority else ["digital_signature"], True
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first or _now() - _DAY)
            .not_valid_after(last or _now() + 30 * _DAY)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        if hosts:
            # "must be critical if the subject is empty" (RFC 5280 section 4.2.1.6)
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=not list(name)
            )
        return builder.sign(signer, hashes.SHA256())


_USAGES = [
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
]


@functools.cache
def authority() -> Authority:
    """The one that all servers of this process share: making keys costs time, and none is a secret."""
    return Authority()


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _now() -> datetime:
    return datetime.now(UTC)


def _context(pem: bytes, *, is_old: bool = False) -> ssl.SSLContext:
    """A server's context with this certificate and key, which `ssl` reads from files only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        context.load_cert_chain(path)
    finally:
        os.unlink(path)
    if is_old:
        _limit_to_old(context)
    return context


def _limit_to_old(context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")  # without which OpenSSL 3 has no TLS below 1.2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
