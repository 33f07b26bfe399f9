"""DANE (RFC 7672): which records mean something, and which certificate they name. Digests are OpenSSL's."""

from __future__ import annotations

import base64
import datetime
import hashlib
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.smtp.dane import Tlsa, names_an_authority, refusal, usable

NOW = datetime.datetime.now(datetime.UTC)

# openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 ... -subj /CN=mx.vector.test
CERTIFICATE = base64.b64decode("""
MIIBpDCCAUqgAwIBAgIUIK+efOQs4l8eZCTYTeFBQJ6pJ7MwCgYIKoZIzj0EAwIwGTEXMBUGA1UEAwwObXgudmVjdG9yLnRlc3QwIBcNMjYxMTI1
MTQ0NTAxWhgPMjEyNjExMDExNDQ1MDFaMBkxFzAVBgNVBAMMDm14LnZlY3Rvci50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELbi3cCrS
gRfLFfBaqn0Am6omi1iOr7ULR/6m/U2fiI0J4ws/4jEiwHoatS1Uwyt9T2fxgQcHs/qAN+yUYjJusKNuMGwwHQYDVR0OBBYEFFhizlETgl8F9Ebc
v7RH6C0atJJuMB8GA1UdIwQYMBaAFFhizlETgl8F9Ebcv7RH6C0atJJuMA8GA1UdEwEB/wQFMAMBAf8wGQYDVR0RBBIwEIIObXgudmVjdG9yLnRl
c3QwCgYIKoZIzj0EAwIDSAAwRQIgZfGWmJu4ARNwWRnLS7Dd4VZ59dmlGLszDzJwDO3d5acCIQDyXsAZ9wLY82l7loCqKqUv+WV2zgAdWsysOF7C
EnXD7Q==
""")
KEY = (
    "3059301306072a8648ce3d020106082a8648ce3d030107034200042db8b7702ad28117cb15f05aaa7d009baa268b588eafb50b47fea6fd4d9f"
    "888d09e30b3fe23122c07a1ab52d54c32b7d4f67f1810707b3fa8037ec9462326eb0"
)
# openssl x509 -outform DER | openssl dgst; openssl x509 -pubkey | openssl pkey -pubin -outform DER | openssl dgst
DIGESTS = {
    (0, 1): "5ab56bfb65a9ac40320a887b1550bd3ceed20a4dc79a1cd8e55bb55829ab509a",
    (1, 1): "8fc4c541caa7f008b037178544c31e25077875a6117bd33c709a8fc7335c764c",
    (0, 2): "36ce38b1c395d06238e800eca91437cb114f7651cf67f627e40400b0c69735ce"
    "05a45607633a92e5cca945845bdec9b03b08bbb2494e368724fdb98862eeb147",
    (1, 2): "09e5dc0bce368ee42dd884cdbfaf2de016e27b739939639937d2497d715931d5"
    "cd442f6f4b9a8b4e185cd5a0cc09ebca9b1bf6602ecd4ca5c9f1e8660b2973f3",
    (0, 0): CERTIFICATE.hex(),
    (1, 0): KEY,
}


@pytest.mark.parametrize(("selector", "matching"), DIGESTS)
def test_check_53_openssls_digests_match(selector: int, matching: int) -> None:
    """Of a certificate that has expired by then, and for another name: DANE-EE looks at neither (section 3.1.1)."""
    data = bytes.fromhex(DIGESTS[selector, matching])
    then = NOW.replace(year=2300)
    record = Tlsa(3, selector, matching, data)
    assert usable([record]) == (record,)
    assert refusal([record], [CERTIFICATE], ["other.test"], then) == ""
    wrong = Tlsa(3, selector, matching, data[:-1] + bytes([data[-1] ^ 1]))
    assert "none that the TLSA records name" in refusal([wrong], [CERTIFICATE], ["mx.vector.test"], NOW)
    assert refusal([wrong, record], [CERTIFICATE], [], NOW) == ""  # one is enough: a key is being rolled


@pytest.mark.parametrize(
    "record",
    [
        Tlsa(0, 1, 1, bytes(32)),  # PKIX-TA
        Tlsa(1, 1, 1, bytes(32)),  # PKIX-EE
        Tlsa(255, 1, 1, bytes(32)),
        Tlsa(3, 2, 1, bytes(32)),
        Tlsa(3, 1, 3, bytes(32)),
        Tlsa(3, 1, 1, bytes(31)),
        Tlsa(3, 1, 2, bytes(32)),
        Tlsa(3, 1, 0, b""),
        Tlsa(3, 1, 0, b"\x30\x82\xff\xff"),
        Tlsa(3, 0, 0, CERTIFICATE + b"\x00"),
    ],
    ids=str,
)
def test_check_53_what_means_nothing_for_smtp_is_not_used(record: Tlsa) -> None:
    assert usable([record]) == ()


def der(pem: Any) -> bytes:
    return x509.load_pem_x509_certificate(pem.bytes()).public_bytes(serialization.Encoding.DER)


def made(*names: str, expired: bool = False) -> tuple[bytes, list[bytes]]:
    """An authority, and the chain of a server whose certificate an intermediate issued."""
    root = trustme.CA()
    between = root.create_child_ca()
    issued = between.issue_cert(*names, not_after=NOW - datetime.timedelta(days=1) if expired else None)
    return der(root.cert_pem), [*map(der, issued.cert_chain_pems), der(root.cert_pem)]


def test_check_53_an_authority_of_the_domains_choice() -> None:
    root, chain = made("mx.one.test")
    names = ["mx.one.test", "one.test"]
    for anchor in (root, chain[1]):  # the intermediate may be the one that is named
        for record in (Tlsa(2, 0, 0, anchor), Tlsa(2, 0, 1, sha256(anchor)), Tlsa(2, 1, 1, sha256(key_of(anchor)))):
            assert usable([record]) == (record,)
            assert names_an_authority([record])
            assert refusal([record], chain, names, NOW) == "", record
            assert "does not hold" in refusal([record], chain, ["mx.two.test"], NOW)
            assert "does not hold" in refusal([record], made("mx.one.test")[1][:1] + chain[1:], names, NOW)
    whole = Tlsa(2, 0, 0, root)
    assert refusal([whole], chain[:-1], names, NOW) == ""  # a whole certificate need not be shown
    assert "none that" in refusal([Tlsa(2, 0, 1, sha256(root))], chain[:-1], names, NOW)
    assert "none that" in refusal([Tlsa(2, 1, 1, sha256(key_of(made("x.test")[0])))], chain, names, NOW)
    assert refusal([whole], [], names, NOW) == "the server showed no certificate"


def test_check_53_an_authoritys_certificates_must_be_of_today_and_for_one_of_the_names() -> None:
    root, chain = made("mx.one.test", expired=True)
    assert "does not hold" in refusal([Tlsa(2, 0, 0, root)], chain, ["mx.one.test"], NOW)
    root, chain = made("one.test", "*.two.test")
    for names, holds in [(["mx.one.test", "one.test"], True), (["mx.two.test"], True), (["a.mx.two.test"], False)]:
        assert (refusal([Tlsa(2, 0, 0, root)], chain, names, NOW) == "") is holds
    assert "cannot be read" in refusal([Tlsa(2, 0, 0, root)], [b"\x30\x00", root], names, NOW)


@pytest.mark.parametrize(("is_ca", "signs", "holds"), [(True, True, True), (False, True, False), (True, False, False)])
def test_who_may_not_issue_certificates_does_not_vouch_for_others(is_ca: bool, signs: bool, holds: bool) -> None:
    """A customer of the authority must not make certificates for its other customers."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root = issued("root", keys[0], "root", keys[0], is_ca=True, signs=True)
    customer = issued("customer", keys[1], "root", keys[0], is_ca=is_ca, signs=signs)
    leaf = issued("mx.one.test", keys[2], "customer", keys[1], is_ca=False, signs=False)
    assert (refusal([Tlsa(2, 0, 0, root)], [leaf, customer, root], ["mx.one.test"], NOW) == "") is holds


def issued(name: str, key: Any, issuer: str, signer: Any, *, is_ca: bool, signs: bool) -> bytes:
    named = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    builder = x509.CertificateBuilder(
        *(named[1], named[0], key.public_key(), x509.random_serial_number()),
        NOW - datetime.timedelta(days=1),
        NOW + datetime.timedelta(days=1),
    )
    for extension in (
        x509.BasicConstraints(is_ca, None),
        x509.KeyUsage(digital_signature=True, key_cert_sign=signs, encipher_only=False, decipher_only=False, **usage),
        x509.SubjectAlternativeName([x509.DNSName(name)]),
    ):
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@settings(max_examples=25)
@given(st.one_of(st.binary(), st.integers(0, len(CERTIFICATE)).map(lambda end: CERTIFICATE[:end])), st.integers(0, 1))
def test_whatever_a_server_shows_is_taken_or_refused(shown: bytes, selector: int) -> None:
    chain = [shown, CERTIFICATE]
    assert refusal([Tlsa(3, selector, 1, bytes(32))], chain, ["mx.test"], NOW) != ""
    assert refusal([Tlsa(2, 0, 0, CERTIFICATE)], chain, ["mx.test"], NOW) != ""
    assert refusal([Tlsa(3, 0, 0, shown)], chain, ["mx.test"], NOW) == ""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def key_of(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo by cryptography: another reader than ours."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
