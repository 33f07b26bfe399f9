"""S/MIME: mails signed and encrypted as their readers' programs check and open them (RFC 8551, RFC 1847).

::

    signer = SmimeSigner.parse(certificate_pem, key_pem)
    content = Content.of(signer.signed(bytes(mail.content)))

The header stays outside and in clear, Subject too. What is signed is the body with its Content- fields, in 7-bit lines,
so that no server on the way has a reason to touch it. Loaded on first use, as it loads cryptography.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from .address import Address
from .errors import AddressError, ConfigError, MessageError
from .ready_made import seven_bit
from .redaction import Unpickled, forgets_arguments
from .transfer import BLOCK_BYTES, base64_lines

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.ciphers import algorithms
    from cryptography.hazmat.primitives.serialization import pkcs7
except ImportError as error:
    raise ConfigError("smime: needs cryptography: pip install 'mailwright[crypto]'") from error

__all__ = ["SmimeCertificates", "SmimeSigner", "encrypted"]

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_SIGNED = re.compile(
    rb"content-type[ \t]*:\s*(?:multipart/(?:signed|encrypted)|application/(?:x-)?pkcs7-mime)", re.IGNORECASE
)
_ENCRYPTED = re.compile(
    rb"content-type[ \t]*:\s*(?:multipart/encrypted|application/(?:x-)?pkcs7-mime(?!.*signed-data))",
    re.IGNORECASE | re.DOTALL,
)
_FIXED = re.compile(rb"(?:dkim-signature|arc-[a-z-]+)[ \t]*:", re.IGNORECASE)
_MIN_RSA_BITS = 2048  # RFC 8551 section 4.3: what a sender SHOULD use at least


class SmimeSigner(Unpickled):
    """A certificate with its key, and those that lead to its authority.

    Attributes:
        addresses: Whose signatures it makes, in lower case; empty if the certificate names nobody.
        valid_from: When the certificate begins, in UTC.
        valid_until: When it ends.
    """

    def __init__(
        self,
        certificate: x509.Certificate,
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
        chain: Sequence[x509.Certificate] = (),
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._chain = tuple(chain)
        self.addresses = _addresses_of(certificate)
        self.valid_from, self.valid_until = certificate.not_valid_before_utc, certificate.not_valid_after_utc

    @classmethod
    @forgets_arguments
    def parse(cls, certificates: str, key: str, password: str | None = None) -> SmimeSigner:
        """Read them from PEM: the certificate and its chain, in any order, and the private key.

        Raises:
            ConfigError: They are none, do not belong together, or the key is neither RSA (2048 bits or more) nor EC.
                The text shows nothing of the key.
        """
        found = _certificates(certificates, "certificate")
        fault = "is no private key in PEM"
        secret = None
        try:
            secret = serialization.load_pem_private_key(key.encode(), None if password is None else password.encode())
        except TypeError:
            fault = "has a password and key_password gives none, or the other way round"
        except (ValueError, UnicodeError):
            fault += ", or key_password is not its password"
        if secret is None:
            raise ConfigError(f"smime: key: {fault}")
        if not isinstance(secret, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
            raise ConfigError("smime: key: must be RSA or EC, as mail programs know no other")
        if isinstance(secret, rsa.RSAPrivateKey) and secret.key_size < _MIN_RSA_BITS:
            raise ConfigError(f"smime: key: has {secret.key_size} bits: make one of {_MIN_RSA_BITS} or more")
        own = [one for one in found if one.public_key() == secret.public_key()]
        if not own:
            raise ConfigError("smime: certificate: none of them belongs to the key")
        return cls(own[0], secret, [one for one in found if one is not own[0]])

    def __repr__(self) -> str:
        return f"<SmimeSigner {', '.join(sorted(self.addresses)) or self._certificate.subject.rfc4514_string()}>"

    def signs_for(self, address: Address) -> bool:
        """Whether the certificate names this address, or nobody."""
        return not self.addresses or _key_of(address) in self.addresses

    def signed(self, content: bytes) -> bytes:
        """The mail as multipart/signed (RFC 8551 section 3.5.3). One that is signed or encrypted comes back as it is.

        Args:
            content: A whole mail with CRLF lines.

        Raises:
            MessageError: It cannot be changed, or not be made 7-bit.
        """
        fields, body = _parted(content)
        if any(_SIGNED.match(field) for field in fields):
            return content
        outside, inside = _divided(fields, body)
        builder = pkcs7.PKCS7SignatureBuilder().set_data(inside)
        builder = builder.add_signer(self._certificate, self._key, hashes.SHA256())
        for one in self._chain:
            builder = builder.add_certificate(one)
        signature = builder.sign(
            serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
        )
        # A boundary must not stand in the part: this one would have to be its own hash.
        boundary = b"smime-" + hashlib.sha256(inside).hexdigest()[:40].encode()
        return b"".join(
            [
                *outside,
                b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n',
                b' micalg="sha-256"; boundary="' + boundary + b'"\r\n\r\n--' + boundary + b"\r\n",
                inside,
                b"\r\n--" + boundary + b'\r\nContent-Type: application/pkcs7-signature; name="smime.p7s"\r\n',
                *_attached(b"smime.p7s", signature),
                b"\r\n--" + boundary + b"--\r\n",
            ]
        )


class SmimeCertificates:
    """Certificates of recipients, found by the addresses in them."""

    def __init__(self, certificates: Iterable[x509.Certificate]) -> None:
        self._by_address: dict[str, list[x509.Certificate]] = {}
        for one in certificates:
            for address in _addresses_of(one):
                self._by_address.setdefault(address, []).append(one)

    @classmethod
    def parse(cls, certificates: str) -> SmimeCertificates:
        """Read them from PEM, one behind the other.

        Raises:
            ConfigError: They are none; one names no address, or its key is not RSA.
        """
        found = _certificates(certificates, "recipients")
        for one in found:
            who = one.subject.rfc4514_string()
            if not _addresses_of(one):
                raise ConfigError(f"smime: recipients: the certificate of {who} names no e-mail address")
            if not isinstance(one.public_key(), rsa.RSAPublicKey):
                raise ConfigError(f"smime: recipients: the certificate of {who} is not of an RSA key")
        return cls(found)

    def __repr__(self) -> str:
        return f"<SmimeCertificates of {len(self._by_address)} addresses>"

    def of(self, address: Address, now: datetime) -> x509.Certificate | None:
        """The one of this address that holds longest; None if none holds now."""
        known = self._by_address.get(_key_of(address), ())
        holding = [one for one in known if one.not_valid_before_utc <= now <= one.not_valid_after_utc]
        return max(holding, key=lambda one: one.not_valid_after_utc, default=None)


def encrypted(content: bytes, certificates: Iterable[x509.Certificate]) -> bytes:
    """The mail for the owners of these RSA certificates alone (AES-256-CBC, RFC 8551 section 3.3).

    One that is encrypted comes back as it is; a signed one keeps its signature inside.

    Args:
        content: A whole mail with CRLF lines.

    Raises:
        MessageError: It cannot be changed, or not be made 7-bit.
    """
    fields, body = _parted(content)
    if any(_ENCRYPTED.match(field) for field in fields):
        return content
    outside, inside = _divided(fields, body)
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(inside).set_content_encryption_algorithm(algorithms.AES256)
    for one in dict.fromkeys(certificates):
        builder = builder.add_recipient(one)
    sealed = builder.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    kind = b'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"\r\n'
    return b"".join([*outside, kind, *_attached(b"smime.p7m", sealed)])


# --- mails ------------------------------------------------------------------------------------------------------------


def _parted(content: bytes) -> tuple[list[bytes], bytes]:
    """Its fields, each without the line end, and its body."""
    head, _, body = content.partition(b"\r\n\r\n")
    return _FIELD_END.split(head), body


def _divided(fields: Sequence[bytes], body: bytes) -> tuple[list[bytes], bytes]:
    """Fields that stay outside, with line ends, and the part: its fields and body, in 7-bit lines."""
    if any(_FIXED.match(field) for field in fields):
        raise MessageError("smime: it is signed by DKIM already, which a change would break: sign by S/MIME first")
    own = [field for field in fields if field[:8].lower() == b"content-"]
    outside = [field + b"\r\n" for field in fields if field[:8].lower() != b"content-"]
    if not any(field[:13].lower() == b"mime-version:" for field in fields):
        outside.append(b"MIME-Version: 1.0\r\n")
    if not any(field[:13].lower() == b"content-type:" for field in own):
        own.insert(0, b"Content-Type: text/plain; charset=us-ascii")
    inside = seven_bit(b"\r\n".join([*own, b"", body]))
    if inside is None:
        raise MessageError(
            "smime: its body cannot be made 7-bit without a change to what is signed in it", field="content"
        )
    return outside, inside


def _attached(name: bytes, der: bytes) -> Iterable[bytes]:
    yield b"Content-Transfer-Encoding: base64\r\n"
    yield b'Content-Disposition: attachment; filename="' + name + b'"\r\n\r\n'
    yield from base64_lines(der[at : at + BLOCK_BYTES] for at in range(0, len(der), BLOCK_BYTES))


# --- certificates -----------------------------------------------------------------------------------------------------


def _certificates(pem: str, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, UnicodeError):
        pass
    raise ConfigError(f"smime: {setting}: must be certificates in PEM, -----BEGIN CERTIFICATE-----")


def _addresses_of(certificate: x509.Certificate) -> frozenset[str]:
    """RFC 8550 section 3: in the subjectAltName, or the subject's emailAddress of older ones."""
    names: list[str] = []
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += alternative.get_values_for_type(x509.RFC822Name)
    except x509.ExtensionNotFound:
        pass
    attributes = certificate.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)
    names += [str(attribute.value) for attribute in attributes]
    found = set()
    for name in names:
        try:
            found.add(_key_of(Address.parse(name)))
        except AddressError:
            continue
    return frozenset(found)


def _key_of(address: Address) -> str:
    return address.ascii.lower()
