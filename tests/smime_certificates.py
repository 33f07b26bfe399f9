"""Keys and certificates for tests of S/MIME, made on the way and kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

__all__ = ["NOW", "certificate", "key_of", "pem"]

NOW = datetime.now(UTC)


@cache
def key_of(kind: str) -> Any:
    if kind.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind.partition("-")[0]))


def pem(key: Any, password: bytes | None = None) -> str:
    cipher = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher).decode()


@cache
def certificate(kind: str, *addresses: str, days: tuple[int, int] = (-1, 30), by: str = "ec-authority") -> str:
    """PEM, of a key of this kind, for these addresses; signed by the authority of tests."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, " ".join(addresses) or "nobody")])
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    is_authority = addresses == ("authority",)
    builder = (
        x509.CertificateBuilder()
        .subject_name(issuer if is_authority else subject)
        .issuer_name(issuer)
        .public_key(key_of(kind).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    )
    if addresses and not is_authority:
        names = x509.SubjectAlternativeName([x509.RFC822Name(one) for one in addresses])
        builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
    return builder.sign(key_of(by), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
