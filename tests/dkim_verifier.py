"""The independent verifier: dkimpy, its DNS answered from keys. Each signature of a mail is held to it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import dkim

from mailer.dkim import DkimKey

__all__ = ["signatures", "verified"]


def verified(mail: bytes, keys: Iterable[DkimKey]) -> list[bool]:
    """Whether each DKIM-Signature of the mail holds, from the top."""
    records = {f"{key.dns_name}.".encode(): key.dns_record.encode() for key in keys}

    def answer(name: bytes, timeout: int = 5) -> bytes | None:
        return records.get(name)

    verifier = dkim.DKIM(mail)
    results = []
    for index in range(len(signatures(mail))):
        try:
            results.append(verifier.verify(idx=index, dnsfunc=answer))
        except dkim.DKIMException:
            results.append(False)
    return results


def signatures(mail: bytes) -> list[dict[str, str]]:
    """The tags of each DKIM-Signature, from the top, without blanks in their values; read by RFC 6376 section 3.2."""
    head = mail.partition(b"\r\n\r\n")[0].decode()
    found = []
    for field in re.split(r"\r\n(?![ \t])", head):
        name, _, body = field.partition(":")
        if name.lower() == "dkim-signature":
            tags = [tag.partition("=") for tag in body.strip().removesuffix(";").split(";")]
            found.append({name.strip(): re.sub(r"\s", "", value) for name, _, value in tags})
            assert len(found[-1]) == len(tags), "a tag stands twice"
    return found
