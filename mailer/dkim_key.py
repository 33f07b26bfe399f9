"""DKIM keys: the private one that signs, and the DNS record that its public half is found by (RFC 6376 section 3.6)."""

from __future__ import annotations

import functools
import hashlib
import re
import textwrap
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .address import Address
from .errors import AddressError, ConfigError
from .field import shown
from .redaction import Unpickled, forgets_arguments

if TYPE_CHECKING:
    from typing import Self

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["RSA_BITS", "DkimKey", "signing_domain"]

RSA_BITS = 2048
"""Of a new RSA key (RFC 8301 section 3.2: signers SHOULD use at least 2048)."""
_MIN_BITS = 1024  # RFC 8301 section 3.2: signers MUST use at least 1024
_MAX_BITS = 4096  # and verifiers MUST be able to validate keys up to 4096; larger ones they need not
_SEED_BYTES = 32  # an Ed25519 private key (RFC 8032 section 5.1.5)
_STRING_BYTES = 255  # of one string in a TXT record (RFC 1035 section 3.3)
# RFC 6376 section 3.1: selector = sub-domain *( "." sub-domain ); sub-domain as RFC 5321 section 4.1.2 has it.
_LABEL = r"(?!-)[a-z0-9-]{1,63}+(?<!-)"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+", re.ASCII | re.IGNORECASE)
_ARMOUR = re.compile(r"(-----BEGIN [A-Z0-9 ]{1,40}-----)([^-]{1,20000})(-----END [A-Z0-9 ]{1,40}-----)")


def signing_domain(domain: object) -> str:
    """A domain as a d= tag has it: a host name in A-labels, lower case.

    Raises:
        ConfigError: It is something else.
    """
    if isinstance(domain, str):
        try:
            name = Address("", "dkim", domain).key[1]
        except AddressError:
            name = ""
        if "." in name and not name.startswith("["):
            return name
    raise ConfigError(f"dkim: {shown(domain)} is no domain to sign for, like 'example.com'")


class DkimKey(Unpickled):
    """A private key, and where its public half is published. Shows nothing of itself but that.

    Attributes:
        domain: The signing domain (d=), in A-labels.
        selector: Which of the domain's keys it is (s=).
        algorithm: "rsa-sha256" or "ed25519-sha256".
        senders: The From domains that it signs for, those below them included; "*" is every domain.
    """

    __slots__ = ("_is_rsa", "_private", "algorithm", "domain", "selector", "senders")

    def __init__(
        self,
        domain: str,
        selector: str,
        private: RSAPrivateKey | Ed25519PrivateKey,
        *,
        senders: str | Iterable[str] | None = None,
    ) -> None:
        """Make it of a key of the ``cryptography`` package.

        Args:
            senders: As the attribute, U-labels or A-labels; None: the signing domain.

        Raises:
            ConfigError: The domain or the selector is none, the key is of another kind, or RSA of a size that
                verifiers need not take.
        """
        self.domain = signing_domain(domain)
        # 253: what a name in DNS has room for.
        if not isinstance(selector, str) or not _SELECTOR.fullmatch(selector) or len(self._name_of(selector)) > 253:
            raise ConfigError(f"dkim: {shown(selector)} is no selector: letters, digits and '-', like 'mail2026'")
        self.selector = selector.lower()
        given = self.domain if senders is None else senders
        given = (given,) if isinstance(given, str) else tuple(given)
        self.senders = tuple(["*" if name == "*" else signing_domain(name) for name in given])
        if not self.senders:
            raise ConfigError(f"dkim: {self}: senders is empty: leave it out, or name a domain")
        kinds = _kinds()
        key: Any = private
        self._private = key
        self._is_rsa = isinstance(key, kinds.rsa)
        if not self._is_rsa and not isinstance(key, kinds.ed25519):
            kind = type(key).__name__
            raise ConfigError(f"dkim: {self}: a key is RSA or Ed25519, not {kind}: make one with 'mailer dkim keygen'")
        if self._is_rsa and not _MIN_BITS <= key.key_size <= _MAX_BITS:
            raise ConfigError(
                f"dkim: {self}: an RSA key of {key.key_size} bits: verifiers take {_MIN_BITS} to {_MAX_BITS} "
                f"(RFC 8301), and {RSA_BITS} is right: make one with 'mailer dkim keygen'"
            )
        self.algorithm = "rsa-sha256" if self._is_rsa else "ed25519-sha256"

    # --- ways in ------------------------------------------------------------------------------------------------------

    @classmethod
    @forgets_arguments
    def parse(
        cls, domain: str, selector: str, text: str | bytes, *, senders: str | Iterable[str] | None = None
    ) -> Self:
        r"""Read a private key.

        Args:
            domain, selector, senders: As the constructor's.
            text: PEM (PKCS#8, or PKCS#1 for RSA), unencrypted; the same base64 without its BEGIN and END lines; or an
                Ed25519 seed of 32 bytes in base64. ``\n`` stands for a line end, as in an environment variable.

        Raises:
            ConfigError: It is none of these, or as the constructor says. The text shows nothing of the key.
        """
        return cls(domain, selector, _read(text), senders=senders)

    @classmethod
    def generate(cls, domain: str, selector: str, kind: str = "rsa", *, bits: int = RSA_BITS) -> Self:
        """A new key.

        Args:
            kind: "rsa" or "ed25519".
            bits: Of RSA: 2048, 3072 or 4096.

        Raises:
            ConfigError: None of these, or as the constructor says.
        """
        kinds = _kinds()
        if kind == "ed25519":
            return cls(domain, selector, kinds.ed25519.generate())
        if kind != "rsa" or bits not in (2048, 3072, 4096):
            raise ConfigError(f"dkim: no key of {shown(kind)} and {bits} bits: ed25519, or rsa of 2048, 3072 or 4096")
        return cls(domain, selector, kinds.new_rsa(public_exponent=65537, key_size=bits))

    # --- signing ------------------------------------------------------------------------------------------------------

    def sign(self, data: bytes) -> bytes:
        """The signature over the header's data (RFC 6376 section 3.7, RFC 8463 section 3)."""
        kinds = _kinds()
        if self._is_rsa:
            return self._private.sign(data, kinds.pkcs1v15, kinds.sha256)  # type: ignore[no-any-return]
        # RFC 8463 section 3: Ed25519 in its pure form, over the SHA-256 of the data.
        return self._private.sign(hashlib.sha256(data).digest())  # type: ignore[no-any-return]

    # --- its public half ----------------------------------------------------------------------------------------------

    def _name_of(self, selector: str) -> str:
        return f"{selector}._domainkey.{self.domain}"

    @property
    def dns_name(self) -> str:
        """The name of its TXT record, without a final dot: ``selector._domainkey.example.com``."""
        return self._name_of(self.selector)

    @property
    def dns_record(self) -> str:
        """What the TXT record there says: ``v=DKIM1; k=rsa; p=...``."""
        kinds = _kinds()
        public = self._private.public_key()
        if self._is_rsa:
            # As RFC 6376 appendix C has it ("openssl rsa -pubout"), and everyone else, though its section 3.6.1 says
            # RSAPublicKey.
            raw = public.public_bytes(kinds.encoding.DER, kinds.public.SubjectPublicKeyInfo)
        else:
            raw = public.public_bytes(kinds.encoding.Raw, kinds.public.Raw)
        return f"v=DKIM1; k={'rsa' if self._is_rsa else 'ed25519'}; p={b64encode(raw).decode()}"

    @property
    def zone_line(self) -> str:
        """The record as a zone file has it, in strings of at most 255 octets."""
        record = self.dns_record
        strings = [record[at : at + _STRING_BYTES] for at in range(0, len(record), _STRING_BYTES)]
        quoted = " ".join(f'"{string}"' for string in strings)
        return f"{self.dns_name}. IN TXT {quoted if len(strings) == 1 else f'( {quoted} )'}"

    def fault_in(self, records: Sequence[str]) -> str | None:
        """What is wrong with the TXT records at its name, as DNS has them; None if what it signs will verify.

        Args:
            records: Each one's strings put together; none where there is no such name.
        """
        if len(records) != 1:
            return f"there are {len(records)} TXT records, where one may be" if records else "there is no TXT record"
        tags: dict[str, str] = {}
        for tag in records[0].strip().removesuffix(";").split(";"):
            name, _, value = tag.partition("=")
            tags[name.strip()] = "".join(value.split())
        wanted = dict(tag.split("=", 1) for tag in self.dns_record.split("; "))
        # RFC 6376 section 3.6.1, and 8301 section 3.1 for the hash: defaults, and what keeps a verifier from using it.
        for is_wrong, text in (
            (tags.get("v", "DKIM1") != "DKIM1", "it is not of version DKIM1"),
            ("p" not in tags, "it has no key (p=)"),
            (tags.get("p") == "", "its key is revoked (p= is empty)"),
            (tags.get("k", "rsa") != wanted["k"], f"it says k={tags.get('k', 'rsa')}, and the key is {wanted['k']}"),
            (tags.get("p") != wanted["p"], "it has another key"),
            ("h" in tags and "sha256" not in tags["h"].split(":"), "it does not allow sha256 (h=)"),
            (not {"*", "email"} & set(tags.get("s", "*").split(":")), "it is not for mail (s=)"),
        ):
            if is_wrong:
                return text
        return None

    def private_pem(self) -> str:
        """The private key as PEM (PKCS#8), to be kept secret."""
        kinds = _kinds()
        pem = self._private.private_bytes(kinds.encoding.PEM, kinds.private.PKCS8, kinds.unencrypted)
        return pem.decode("ascii")  # type: ignore[no-any-return]

    def __str__(self) -> str:
        return self.dns_name

    def __repr__(self) -> str:
        return f"<DkimKey {self.algorithm} {self.dns_name}>"


def _read(text: str | bytes) -> Any:
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    if not isinstance(text, str):
        raise ConfigError(f"dkim: a key is a text, not {type(text).__name__}")
    text = text.strip().replace("\\r", "").replace("\\n", "\n")
    if "ENCRYPTED" in text:
        raise _wrong("it is encrypted: take its passphrase off with 'openssl pkey -in FILE'")
    found = list(_ARMOUR.finditer(text))  # a certificate, or parameters, may stand before it
    armour = next((one for one in found if "PRIVATE KEY" in one[1]), found[0] if found else None)
    kinds = _kinds()
    try:
        if armour is not None:
            if "PRIVATE KEY" not in armour[1]:
                raise _wrong("it is not the private half")
            # Line ends may have become blanks on the way here, or \n within an environment variable.
            lines = textwrap.wrap("".join(armour[2].split()), 64)
            return kinds.load_pem("\n".join([armour[1], *lines, armour[3], ""]).encode("ascii"), None)
        raw = b64decode("".join(text.split()), validate=True)
        return kinds.ed25519.from_private_bytes(raw) if len(raw) == _SEED_BYTES else kinds.load_der(raw, None)
    except ConfigError:
        raise
    except Exception:  # noqa: BLE001 - of base64, ASN.1 or OpenSSL, whose words may quote it
        problem = _wrong("it is neither PEM of a private key nor base64 of one")
    raise problem


def _wrong(why: str) -> ConfigError:
    return ConfigError(f"dkim: the key cannot be read: {why}")


class _Kinds:
    """The names of ``cryptography`` that are needed here, once it is loaded."""

    def __init__(self) -> None:
        try:
            from cryptography.hazmat.primitives import hashes, serialization
            from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
        except ImportError as error:
            raise ConfigError("dkim needs cryptography: pip install 'mailwright[crypto]'") from error
        self.rsa, self.new_rsa = rsa.RSAPrivateKey, rsa.generate_private_key
        self.ed25519 = ed25519.Ed25519PrivateKey
        self.pkcs1v15, self.sha256 = padding.PKCS1v15(), hashes.SHA256()
        self.load_pem, self.load_der = serialization.load_pem_private_key, serialization.load_der_private_key
        self.encoding, self.private = serialization.Encoding, serialization.PrivateFormat
        self.public, self.unencrypted = serialization.PublicFormat, serialization.NoEncryption()


_kinds = functools.cache(_Kinds)
