"""DANE for SMTP (RFC 7672): whether a server's certificate is one that its domain's TLSA records name.

The records must have come authenticated by DNSSEC; who asked for them answers for that. Then the domain itself says
what to trust: the server's key or certificate (DANE-EE), or an authority of its choice (DANE-TA).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .binding import der_element

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["Tlsa", "names_an_authority", "refusal", "usable"]

_DANE_TA, _DANE_EE = 2, 3
_CERTIFICATE, _KEY = 0, 1


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698 section 2.1).

    Attributes:
        usage: 3 (DANE-EE): the server's own; 2 (DANE-TA): of an authority in its chain; 0, 1 (PKIX): not for SMTP.
        selector: 0: the whole certificate; 1: its public key (SubjectPublicKeyInfo).
        matching: 0: the thing itself; 1: its SHA-256; 2: its SHA-512.
        data: That, in DER or as a digest.
    """

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


_MATCHERS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: lambda data: hashlib.sha256(data).digest(),
    2: lambda data: hashlib.sha512(data).digest(),
}
_DIGEST_BYTES = {1: 32, 2: 64}


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """Those that mean something for SMTP (RFC 7672 section 3.1): of usage 2 or 3, with known parameters, well-formed.

    Where there are records, but none that can be used, TLS is mandatory all the same, if unauthenticated (section 2.2).
    """
    return tuple(record for record in records if _is_usable(record))


def _is_usable(record: Tlsa) -> bool:
    if record.usage not in (_DANE_TA, _DANE_EE) or record.selector not in (_CERTIFICATE, _KEY):
        return False
    if record.matching in _DIGEST_BYTES:
        return len(record.data) == _DIGEST_BYTES[record.matching]
    try:
        return record.matching == 0 and der_element(record.data)[2] == b""
    except (IndexError, ValueError):
        return False


def names_an_authority(records: Iterable[Tlsa]) -> bool:
    """Whether the host's name matters: it does for an authority's certificates, not for the server's own."""
    return any(record.usage == _DANE_TA for record in records)


def refusal(records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime) -> str:
    """Why the certificate does not hold; "" if it does.

    Args:
        records: Usable ones, at least one. It is enough that one of them fits.
        chain: What the server showed: its certificate, then those of authorities; each in DER.
        names: What the certificate may be for: the MX host and the recipient's domain (section 3.2.2), A-labels. For
            DANE-EE neither names nor dates are looked at: the record itself binds the key to the host (section 3.1.1).
        now: For the dates on an authority's certificates.

    Raises:
        ConfigError: Only DANE-TA records could fit, and to check them the extra ``crypto`` is missing.
    """
    if not chain:
        return "the server showed no certificate"
    if any(_fits(record, chain[0]) for record in records if record.usage == _DANE_EE):
        return ""
    said = "the certificate is none that the TLSA records name"
    # A whole certificate in the record need not come with the chain.
    told = [record.data for record in records if (record.selector, record.matching) == (_CERTIFICATE, 0)]
    for anchor in (*chain[1:], *told):
        if any(_fits(record, anchor) for record in records if record.usage == _DANE_TA):
            said = _chain_refusal(anchor, chain, names, now)
            if not said:
                return ""
    return said


def _fits(record: Tlsa, certificate: bytes) -> bool:
    try:
        subject = certificate if record.selector == _CERTIFICATE else _public_key(certificate)
    except (IndexError, ValueError):
        return False
    return _MATCHERS[record.matching](subject) == record.data


def _public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo, DER, whole (RFC 5280 section 4.1): of the first seven fields the last."""
    rest = der_element(der_element(certificate)[1])[1]  # tbsCertificate
    if rest[0] == 0xA0:  # [0] version, which version 1 leaves out
        rest = der_element(rest)[2]
    for _ in range(5):  # serialNumber, signature, issuer, validity, subject
        rest = der_element(rest)[2]
    return rest[: len(rest) - len(der_element(rest)[2])]


def _chain_refusal(anchor: bytes, chain: Sequence[bytes], names: Sequence[str], now: datetime) -> str:
    """Why the chain does not lead from the server's certificate to this one, for any of these names; "" if it does."""
    try:
        from cryptography import x509
    except ImportError as error:
        raise ConfigError(
            "a DANE-TA record needs cryptography to be checked: pip install 'mailwright[crypto]', or say dane=no"
        ) from error
    try:
        leaf, *others = [x509.load_der_x509_certificate(certificate) for certificate in chain]
        trusted = x509.load_der_x509_certificate(anchor)
    except ValueError as error:
        return f"a certificate cannot be read: {error}"
    reasons = [_path_refusal(trusted, leaf, others, name, now) for name in names]
    return "" if "" in reasons else f"the chain to the authority that the TLSA records name does not hold: {reasons[0]}"


def _path_refusal(
    anchor: x509.Certificate, leaf: x509.Certificate, others: list[x509.Certificate], name: str, now: datetime
) -> str:
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

    def issues(policy: object, certificate: x509.Certificate, basic: x509.BasicConstraints) -> None:
        if not basic.ca:
            raise ValueError("a certificate that is no authority's has issued another")

    def signs(policy: object, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
        if usage is not None and not usage.key_cert_sign:
            raise ValueError("a certificate has issued another, and its key is not for that")

    # Laxer than for the web, whose rules of form no private authority follows: what RFC 5280 needs for a path.
    either = Criticality.AGNOSTIC
    authority = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, either, issues)
    authority = authority.may_be_present(x509.KeyUsage, either, signs)
    server = ExtensionPolicy.permit_all().require_present(x509.SubjectAlternativeName, either, None)
    try:
        policy = PolicyBuilder().store(Store([anchor])).time(now)
        policy = policy.extension_policies(ca_policy=authority, ee_policy=server)
        policy.build_server_verifier(x509.DNSName(name)).verify(leaf, others)
    except (VerificationError, ValueError) as error:
        return str(error).partition(" (encountered")[0]
    return ""
