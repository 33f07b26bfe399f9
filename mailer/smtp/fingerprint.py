"""Fingerprints: certificates told by their SHA-256, to be pinned."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

__all__ = ["fingerprint_of", "fingerprints_from", "is_pinned"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


def fingerprints_from(given: str | Sequence[str]) -> tuple[str, ...]:
    """Fingerprints as they are compared: 64 hexadecimal digits each, in lower case.

    Args:
        given: Hexadecimal, with colons or without, as openssl and browsers show them; in a string several have commas
            between them.

    Raises:
        ValueError: One is none. The text says what is wrong.
    """
    found = []
    for text in given.split(",") if isinstance(given, str) else given:
        digits = text.strip().replace(":", "").lower() if isinstance(text, str) else ""
        if not _SHA256.fullmatch(digits):
            hint = "; this is SHA-1" if _SHA1.fullmatch(digits) else ""
            raise ValueError(f"must be a certificate's SHA-256, 64 hexadecimal digits{hint}")
        found.append(digits)
    return tuple(dict.fromkeys(found))


def fingerprint_of(certificate: bytes) -> str:
    """The fingerprint of a certificate (DER) as openssl shows it: "AB:CD:..."."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


def is_pinned(certificate: bytes, fingerprints: Sequence[str]) -> bool:
    """Whether a certificate (DER) is one of these.

    Args:
        fingerprints: From :func:`fingerprints_from`.
    """
    found = hashlib.sha256(certificate).hexdigest()
    # All of them, each in constant time: how long it takes tells nothing.
    return any([hmac.compare_digest(found, wanted) for wanted in fingerprints])
