"""DKIM signatures over mails as they are sent (RFC 6376, RFC 8301, RFC 8463): relaxed/relaxed, never with l=.

The header is signed as it stands; the body is hashed in chunks, as it will be sent, so that a large mail is never held
whole. What is signed of the header:

* the fields that say who it is from and to, what about, when, and how the body is to be read, each once more than it
  stands there ("oversigned"), so that none can be added (RFC 6376 section 8.15);
* those of lists, threads and reports likewise where they stand; where they do not, a mailing list may add its own.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .address import Address
from .dkim_key import DkimKey
from .dkim_relaxed import RelaxedBody, relaxed_field
from .errors import ConfigError, MessageError
from .field import shown
from .mail import Content, Piece

__all__ = ["DkimKey", "DkimSigner", "signed_data"]

# RFC 6376 section 5.4.1 says which make sense. In the order of h=.
_ALWAYS = ("from to cc subject date message-id reply-to mime-version content-type content-transfer-encoding").split()
# Feedback-ID: Gmail's feedback loop reads only a signed one. TLS-Required: RFC 8689 section 5.
_WHERE_PRESENT = (
    "sender in-reply-to references auto-submitted list-id list-unsubscribe list-unsubscribe-post list-help"
    " list-subscribe list-post list-owner list-archive resent-from resent-sender resent-to resent-cc resent-date"
    " resent-message-id content-id content-description content-language content-disposition"
    " disposition-notification-to feedback-id tls-required archived-at"
).split()
# Servers on the way write or remove them (RFC 6376 section 5.4.1), or they are of signatures.
_NEVER = frozenset(
    "return-path received comments keywords bcc resent-bcc dkim-signature authentication-results arc-seal"
    " arc-message-signature arc-authentication-results delivered-to".split()
)
_FIELD_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,76}", re.ASCII)  # without ":" and ";", which h= is parted by

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_END = b"\r\n\r\n"
# Nearly every From: an address alone, or in angle brackets behind a name without quotes, commas and comments.
_PLAIN_FROM = re.compile(rb"[ \t]*(?:[^@<>(),:;\"\\]*<)?[^\s@<>(),:;\"\\\[\]]+@([A-Za-z0-9.-]+)>?[ \t]*")
_ENCODED_WORD = re.compile(rb"=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=")
_FOLD = 76


class DkimSigner:
    """Signs mails with the keys that fit their From.

    A key fits where the From's domain is one of its ``senders`` or below it: its own domain, by default, so that the
    signature counts for DMARC. Of several such the longest decides, and all its keys sign: RSA and Ed25519 side by side
    (RFC 8463 section 5), for verifiers that know only one of them. Keys for "*" sign every mail besides.

    Args:
        keys: The keys.
        headers: Names of further header fields to sign, where they stand.
        unsigned: Names of those not to sign, for a server on the way replaces them; From is always signed.
        expires_s: For how long the signature holds, in seconds (x=); None: for ever.

    Raises:
        ConfigError: No key at all, two of one domain and selector, a header that must not be signed, or a time that
            is none.
    """

    def __init__(
        self,
        keys: Iterable[DkimKey],
        *,
        headers: Iterable[str] = (),
        unsigned: Iterable[str] = (),
        expires_s: int | None = None,
    ) -> None:
        self.keys = tuple(keys)
        if not self.keys:
            raise ConfigError("dkim: there is no key: make one with 'mailer dkim keygen'")
        self._by_sender: dict[str, list[DkimKey]] = {}
        names: set[str] = set()
        for key in self.keys:
            if key.dns_name in names:
                raise ConfigError(f"dkim: {key} is given twice: each key has a selector of its own")
            names.add(key.dns_name)
            for sender in key.senders:
                self._by_sender.setdefault(sender, []).append(key)
        self._signed = [*_ALWAYS, *_WHERE_PRESENT]
        for name in headers:
            lower = name.lower() if isinstance(name, str) else ""
            if not _FIELD_NAME.fullmatch(lower) or lower in _NEVER:
                raise ConfigError(f"dkim: {shown(name)} is no header field to sign")
            if lower not in self._signed:
                self._signed.append(lower)
        self._unsigned = {name.lower() if isinstance(name, str) else "" for name in unsigned}
        if strange := self._unsigned - set(self._signed[1:]):  # RFC 6376 section 5.4: From MUST be signed
            raise ConfigError(f"dkim: {shown(min(strange))} is no header field that could be left unsigned")
        if expires_s is not None and (type(expires_s) is not int or expires_s < 1):
            raise ConfigError(f"dkim: expires_s={shown(expires_s)}: must be a whole number of seconds, 1 or more")
        self._expires_s = expires_s

    def keys_for(self, domain: str) -> list[DkimKey]:
        """Those that sign a mail From this domain, in A-labels and lower case; none if none fits."""
        labels = domain.split(".")
        above = [".".join(labels[at:]) for at in range(len(labels))]
        fitting = next((self._by_sender[name] for name in above if name in self._by_sender), [])
        return list(dict.fromkeys([*fitting, *self._by_sender.get("*", ())]))

    def signed(self, content: Content, *, now: int, unsigned: Iterable[str] = ()) -> Content | None:
        """The mail with its signatures in front.

        What is read from elsewhere on each iteration (files) must then give what was signed: if it does not, iterating
        raises MessageError at the end of that piece, before the mail is whole.

        Args:
            content: The whole mail.
            now: Seconds since 1970, for t=.
            unsigned: Names of further header fields not to sign this time, in lower case.

        Returns:
            None if no key fits its From.

        Raises:
            MessageError: It has no From, or several, or one that cannot be read; or cannot be read itself.
        """
        pieces: list[Piece] = []
        chunks = _chunks(content, pieces)
        head, rest = _header(chunks)
        fields = _fields(head)
        keys = self.keys_for(_from_domain(fields))
        if not keys:
            return None
        body = RelaxedBody()
        body.update(rest)
        for chunk in chunks:
            body.update(chunk)
        body_hash = b64encode(body.digest()).decode()
        names = self._names(fields, self._unsigned.union(unsigned))
        data = signed_data(fields, names)
        signatures = [self._signature(key, names, data, body_hash, now) for key in keys]
        return content.made_of(["".join(signatures).encode("ascii"), *pieces])

    def _names(self, fields: dict[str, list[bytes]], unsigned: set[str]) -> list[str]:
        """What h= lists: each field as often as it stands there, and once more."""
        names: list[str] = []
        for name in self._signed:
            count = len(fields.get(name, ()))
            if (count or name in _ALWAYS) and (name not in unsigned or name == "from"):
                names += [name] * (count + 1)
        return names

    def _signature(self, key: DkimKey, names: Sequence[str], data: bytes, body_hash: str, now: int) -> str:
        """The field, folded, with its CRLF."""
        tags = [
            "v=1;",
            f"a={key.algorithm};",
            "c=relaxed/relaxed;",
            f"d={key.domain};",
            f"s={key.selector};",
            f"t={now};",
            *([] if self._expires_s is None else [f"x={now + self._expires_s};"]),
        ]
        tokens = [*[f" {tag}" for tag in tags], f" h={names[0]}", *[f":{name}" for name in names[1:]]]
        tokens[-1] += ";"
        lines = _folded("DKIM-Signature:", tokens, f" bh={body_hash};", " b=")
        # RFC 6376 section 3.7: the field itself comes last, its b= empty, without a CRLF behind it.
        unsigned = relaxed_field(b"dkim-signature", lines.partition(":")[2].encode("ascii"))
        value = b64encode(key.sign(data + unsigned)).decode("ascii")
        return lines + "\r\n ".join([value[at : at + _FOLD - 3] for at in range(0, len(value), _FOLD - 3)]) + "\r\n"


def _folded(name: str, tokens: Iterable[str], *last: str) -> str:
    """A field's lines, folded before a blank or behind a colon; the last ones begin lines of their own."""
    lines = [name]
    for token in tokens:
        if len(lines[-1]) + len(token) < _FOLD:
            lines[-1] += token
        elif token.startswith(":"):  # within h=, where folding white space may stand around each
            lines[-1] += ":"
            lines.append(f" {token[1:]}")
        else:
            lines.append(token)
    return "\r\n".join([*lines, *last])


# --- reading the mail -------------------------------------------------------------------------------------------------


def _chunks(content: Content, pieces: list[Piece]) -> Iterator[bytes]:
    """The content, chunk by chunk; ``pieces`` has its pieces afterwards, those that are read each time guarded."""
    for piece in content.pieces:
        if isinstance(piece, bytes):
            yield piece
            pieces.append(piece)
        else:
            check = 0
            for chunk in piece:  # type: ignore[attr-defined]  # a Piece that is not bytes iterates in bytes
                check = zlib.crc32(chunk, check)
                yield chunk
            pieces.append(_Unchanged(piece, check))


class _Unchanged:
    """A piece that must give what was signed. What happens by chance is found; who changes it on purpose gains nothing
    but a signature that does not hold."""

    __slots__ = ("_check", "_piece")

    def __init__(self, piece: Piece, check: int) -> None:
        self._piece, self._check = piece, check

    def __len__(self) -> int:
        return len(self._piece)

    def __iter__(self) -> Iterator[bytes]:
        check = 0
        for chunk in self._piece:  # type: ignore[attr-defined]  # as above
            check = zlib.crc32(chunk, check)
            yield chunk
        if check != self._check:
            raise MessageError("an attachment changed since the mail was signed: send it anew", field="attachments")


def _header(chunks: Iterator[bytes]) -> tuple[bytes, bytes]:
    """The header without the empty line behind it, and what was read of the body."""
    read = b""
    for chunk in chunks:
        read += chunk
        if _END in read:
            break
    head, _, rest = read.partition(_END)
    return head, rest


def _fields(head: bytes) -> dict[str, list[bytes]]:
    """Bodies of the header's fields by lower-case name, in their order."""
    fields: dict[str, list[bytes]] = {}
    for field in _FIELD_END.split(head):
        name, colon, body = field.partition(b":")
        if colon:
            fields.setdefault(name.rstrip(b" \t").decode("latin-1").lower(), []).append(body)
    return fields


def signed_data(fields: Mapping[str, Sequence[bytes]], names: Iterable[str]) -> bytes:
    """The fields that h= lists, each name standing for the lowest not yet taken (RFC 6376 section 5.4.2)."""
    left = {name: list(bodies) for name, bodies in fields.items()}
    lines = []
    for name in names:
        if bodies := left.get(name):
            lines.append(relaxed_field(name.encode("ascii"), bodies.pop()) + b"\r\n")
        # One that is not there counts as nothing, without a line end.
    return b"".join(lines)


def _from_domain(fields: Mapping[str, Sequence[bytes]]) -> str:
    """The domain of the (first) From, in A-labels."""
    bodies = fields.get("from", ())
    if len(bodies) != 1:
        raise MessageError(f"a mail is signed for the domain of its one From, and this has {len(bodies)}", field="from")
    if plain := _PLAIN_FROM.fullmatch(bodies[0]):
        return plain[1].decode("ascii").lower()
    # A name may be longer encoded than any is allowed to be, and is of no interest.
    text = _ENCODED_WORD.sub(b"x", bodies[0].replace(b"\r\n", b"")).decode("utf-8", "replace").strip()
    mailboxes = Address.parse_list(text)
    if not mailboxes:
        raise MessageError("names no mailbox to sign for", field="from")
    return mailboxes[0].key[1]
