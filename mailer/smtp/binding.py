"""The channel binding that a certificate gives: what a -PLUS login signs (RFC 5929)."""

from __future__ import annotations

import hashlib

__all__ = ["der_element", "server_end_point"]

# The signature's object identifier, DER, to the hash of tls-server-end-point: its own, but SHA-256 for MD5 and SHA-1
# (RFC 5929 section 4.1). RSA-PSS says its hash in the parameters; Ed25519 and Ed448 have none, and so no binding.
_HASHES = {
    bytes.fromhex("2a864886f70d010104"): "sha256",  # md5WithRSAEncryption
    bytes.fromhex("2a864886f70d010105"): "sha256",  # sha1WithRSAEncryption
    bytes.fromhex("2a864886f70d01010e"): "sha224",  # sha224WithRSAEncryption
    bytes.fromhex("2a864886f70d01010b"): "sha256",
    bytes.fromhex("2a864886f70d01010c"): "sha384",
    bytes.fromhex("2a864886f70d01010d"): "sha512",
    bytes.fromhex("2a8648ce3d0401"): "sha256",  # ecdsa-with-SHA1
    bytes.fromhex("2a8648ce3d040301"): "sha224",
    bytes.fromhex("2a8648ce3d040302"): "sha256",
    bytes.fromhex("2a8648ce3d040303"): "sha384",
    bytes.fromhex("2a8648ce3d040304"): "sha512",
}
_PSS = bytes.fromhex("2a864886f70d01010a")
_PSS_HASHES = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
_SEQUENCE, _OID = 0x30, 0x06


def server_end_point(certificate: bytes) -> bytes | None:
    """The hash of a certificate (DER), by its signature's own hash function; None if that has none we know."""
    try:
        _, whole, _ = der_element(certificate)
        _, _, rest = der_element(whole)  # tbsCertificate
        kind, algorithm, _ = der_element(rest)
        tag, oid, parameters = der_element(algorithm)
        if kind != _SEQUENCE or tag != _OID:
            return None
        name = _pss_hash(parameters) if oid == _PSS else _HASHES.get(oid)
    except (IndexError, ValueError):
        return None
    return hashlib.new(name, certificate).digest() if name else None


def _pss_hash(parameters: bytes) -> str | None:
    """The hash in RSASSA-PSS-params (RFC 4055 section 3.1); SHA-1, the default, counts as SHA-256."""
    _, fields, _ = der_element(parameters)
    if not fields or fields[0] != 0xA0:
        return "sha256"
    _, tagged, _ = der_element(fields)
    _, algorithm, _ = der_element(tagged)
    _, oid, _ = der_element(algorithm)
    return _PSS_HASHES.get(oid)


def der_element(data: bytes) -> tuple[int, bytes, bytes]:
    """The first DER element: its tag, its content, and what follows it."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        octets = length & 0x7F
        length = int.from_bytes(data[2 : 2 + octets], "big")
        start = 2 + octets
    content = data[start : start + length]
    if len(content) != length:
        raise ValueError("cut short")
    return tag, content, data[start + length :]
