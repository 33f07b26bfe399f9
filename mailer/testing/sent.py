"""A mail that was sent, to be looked at: its bytes as the standard library reads them, and what it was made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage, MIMEPart
from email.message import Message as StandardMessage
from email.parser import BytesParser
from email.policy import SMTP
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..address import Address
from ..envelope import Envelope
from ..errors import AddressError
from ..html_to_text import html_to_text
from ..mail import Content, Mail
from ..receipt import Receipt
from ..standard import bytes_of
from .codes import codes_in
from .urls import links_in_html, links_in_text

if TYPE_CHECKING:
    from ..message import Message

__all__ = ["SentAttachment", "SentMail", "decoded_text", "file_of", "links", "one_time_codes"]


@dataclass(frozen=True, slots=True, repr=False)
class SentAttachment:
    """A file in a sent mail, decoded.

    Attributes:
        name: Its file name; "" if it has none.
        content_type: Without parameters: "image/png".
        content: Its bytes; of an attached message the message's.
        content_id: What ``cid:`` links name, without angle brackets, or None.
        inline: Shown within the html rather than listed.
    """

    name: str
    content_type: str
    content: bytes
    content_id: str | None = None
    inline: bool = False

    def __bytes__(self) -> bytes:
        return self.content

    def __repr__(self) -> str:
        return f"<SentAttachment {self.name!r} {self.content_type}, {len(self.content)} bytes>"


class SentMail:
    """One mail as a backend was given it.

    What the header and the body say is read back from the bytes, by the standard library.

    Attributes:
        mail: As it was sealed.
        receipt: What became of it; None if that is not known here.
        backend: The URL of the backend that it was meant for, secrets masked.
        content: All its bytes.
    """

    def __init__(self, mail: Mail, receipt: Receipt | None = None, backend: str = "") -> None:
        self.mail = mail
        self.receipt = receipt
        self.backend = backend
        self.content = bytes(mail.content)  # now: what it attaches from disk may be gone later

    @classmethod
    def of(cls, given: Any) -> SentMail:
        """The view of a `SentMail`, a `Mail`, what a test server received, bytes, or a message of Django's or `email`.

        Raises:
            TypeError: It is none of these.
        """
        if isinstance(given, SentMail):
            return given
        return cls(given if isinstance(given, Mail) else _read(given))

    # --- what it was made of ------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The mail's id, as on its receipt."""
        return self.mail.id

    @property
    def envelope(self) -> Envelope:
        """Who it went to, and from whom, whatever the header says."""
        return self.mail.envelope

    @property
    def recipients(self) -> tuple[Address, ...]:
        """Those of the envelope."""
        return self.mail.envelope.recipients

    @property
    def message(self) -> Message | None:
        """What it was composed from, rendered and filtered; None for ready-made mail."""
        return self.mail.message

    @property
    def template(self) -> str | None:
        """The name of the template that it was rendered from."""
        return self.mail.template

    @property
    def tags(self) -> tuple[str, ...]:
        """The message's tags."""
        return self.mail.message.tags if self.mail.message else ()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The message's metadata."""
        return self.mail.message.metadata if self.mail.message else {}

    # --- as it is read ------------------------------------------------------------------------------------------------

    @cached_property
    def parsed(self) -> EmailMessage:
        """The bytes as the standard library reads them."""
        return BytesParser(policy=SMTP).parsebytes(self.content)

    @property
    def subject(self) -> str:
        """Decoded; "" if there is none."""
        return str(self.parsed["Subject"] or "")

    @property
    def from_(self) -> tuple[Address, ...]:
        """Who it is from."""
        return self._mailboxes("From")

    @property
    def to(self) -> tuple[Address, ...]:
        """Those of the To field."""
        return self._mailboxes("To")

    @property
    def cc(self) -> tuple[Address, ...]:
        """Those of the Cc field."""
        return self._mailboxes("Cc")

    @property
    def reply_to(self) -> tuple[Address, ...]:
        """Those of the Reply-To field."""
        return self._mailboxes("Reply-To")

    @property
    def bcc(self) -> tuple[Address, ...]:
        """The message's; of ready-made mail the recipients whom no field names."""
        if self.mail.message is not None:
            return self.mail.message.bcc
        named = {address.key for address in (*self.to, *self.cc)}
        return tuple(address for address in self.recipients if address.key not in named)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """All fields of the header in order, decoded."""
        return tuple((name, str(value)) for name, value in self.parsed.items())

    @cached_property
    def text(self) -> str | None:
        """The text/plain part with "\\n" line ends, without the last; None if there is none."""
        return self._body("plain")

    @cached_property
    def html(self) -> str | None:
        """The text/html part, likewise."""
        return self._body("html")

    @cached_property
    def attachments(self) -> tuple[SentAttachment, ...]:
        """All files in it, inline ones too, in order."""
        return tuple(map(file_of, _files(self.parsed)))

    def attachment(self, name: str) -> SentAttachment:
        """The attachment of this name. Raises AssertionError, which names those that there are."""
        found = [one for one in self.attachments if one.name == name]
        if not found:
            there = ", ".join(repr(one.name) for one in self.attachments) or "none"
            raise AssertionError(f"no attachment {name!r} in {self}; there are: {there}")
        return found[0]

    # --- what its reader is to do -------------------------------------------------------------------------------------

    @cached_property
    def links(self) -> list[str]:
        """See :func:`links`."""
        return list(dict.fromkeys([*links_in_html(self.html or ""), *links_in_text(self.text or "")]))

    def link(self, fitting: str | re.Pattern[str] | Callable[[str], bool] = "") -> str:
        """The one link that has this text in it, or fits the pattern or predicate.

        Raises:
            AssertionError: There is none, or several; the text names those that there are.
        """
        return _only([link for link in self.links if _has(link, fitting)], self.links, f"link{_said(fitting)}", self)

    @cached_property
    def codes(self) -> list[str]:
        """See :func:`one_time_codes`."""
        read = html_to_text(self.html) if self.html is not None else ""
        return list(dict.fromkeys([*codes_in(self.text or ""), *codes_in(read)]))

    @property
    def code(self) -> str:
        """The only one-time code in it. Raises AssertionError if there is none, or several."""
        return _only(self.codes, self.codes, "one-time code", self)

    def __bytes__(self) -> bytes:
        return self.content

    def __repr__(self) -> str:
        to = ", ".join(address.addr_spec for address in self.recipients[:3])
        more = f" and {len(self.recipients) - 3} more" if len(self.recipients) > 3 else ""
        return f"<SentMail {self.subject!r} to {to}{more}>"

    def _mailboxes(self, name: str) -> tuple[Address, ...]:
        found = []
        for value in self.parsed.get_all(name, ()):
            for one in value.addresses:
                try:
                    found.append(Address(one.display_name, one.username, one.domain))
                except AddressError:  # of ready-made mail anything may be there; see ``headers``
                    continue
        return tuple(found)

    def _body(self, kind: str) -> str | None:
        part = self.parsed.get_body((kind,))
        return None if part is None else decoded_text(part).removesuffix("\n")


def links(mail: Any) -> list[str]:
    """The http and https URLs in a mail: those that its html links to, then those of its text; unescaped, each once.

    Args:
        mail: Whatever :meth:`SentMail.of` takes.
    """
    return SentMail.of(mail).links


def one_time_codes(mail: Any, pattern: str | re.Pattern[str] | None = None) -> list[str]:
    """The codes in a mail that its reader is to type in, in order, each once.

    Args:
        mail: Whatever :meth:`SentMail.of` takes.
        pattern: What a code is like; its first group, if it has any, is the code. None finds what is most likely one:
            see :func:`mailer.testing.codes.codes_in`.
    """
    sent = SentMail.of(mail)
    if pattern is None:
        return list(sent.codes)
    texts = [sent.text or "", html_to_text(sent.html) if sent.html is not None else ""]
    found = [match for text in texts for match in re.finditer(pattern, text)]
    return list(dict.fromkeys([match[1] if match.re.groups else match[0] for match in found]))


def _only(fitting: list[str], there: list[str], what: str, mail: SentMail) -> str:
    if len(fitting) != 1:
        how_many = f"are {len(fitting)}" if fitting else "is none"
        listed = "".join(f"\n  {one}" for one in fitting or there) or " nothing like it"
        raise AssertionError(f"exactly one {what} was expected in {mail}, and there {how_many}:{listed}")
    return fitting[0]


def _has(text: str, fitting: str | re.Pattern[str] | Callable[[str], bool]) -> bool:
    if isinstance(fitting, str):
        return fitting in text
    return bool(fitting.search(text) if isinstance(fitting, re.Pattern) else fitting(text))


def _said(fitting: object) -> str:
    return f" with {fitting!r}" if fitting != "" else ""


def decoded_text(part: MIMEPart) -> str:
    """A text part with "\\n" line ends; of a character set that Python does not know, its ASCII."""
    try:
        text: str = part.get_content()
    except LookupError:
        payload = part.get_payload(decode=True)
        text = payload.decode("ascii", "replace") if isinstance(payload, bytes) else ""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _files(part: EmailMessage, *, is_root: bool = True) -> Iterator[EmailMessage]:
    """The leaves that are no body: those with a disposition, a name or a content id, and what is no text."""
    if part.get_content_maintype() == "multipart":
        for child in part.iter_parts():
            yield from _files(child, is_root=False)  # type: ignore[arg-type]  # the policy makes them so
        return
    is_file = part.get_content_disposition() is not None or bool(part.get_filename()) or "Content-ID" in part
    if is_file or part.get_content_maintype() != "text":
        yield part


def file_of(part: EmailMessage) -> SentAttachment:
    """A part as the file that it is, decoded."""
    if part.get_content_maintype() == "message":
        content = b"".join(child.as_bytes() for child in part.get_payload() or () if isinstance(child, EmailMessage))
    else:
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
    content_id = str(part["Content-ID"]).strip().strip("<>") if "Content-ID" in part else None
    is_inline = part.get_content_disposition() == "inline"
    return SentAttachment(part.get_filename() or "", part.get_content_type(), content, content_id, is_inline)


def _read(given: Any) -> Mail:
    """A mail of what is none of ours; its envelope as that says it, else from its header."""
    content = given if isinstance(given, bytes) else getattr(given, "content", None)
    if not isinstance(content, bytes):
        standard = given.message() if callable(getattr(given, "message", None)) else given
        if not isinstance(standard, StandardMessage):
            raise TypeError(
                f"{type(given).__name__} is no mail: give a SentMail, a Mail, what a test server received, bytes, or a"
                " message of Django's or of email's"
            )
        content = bytes_of(standard)
    envelope = getattr(given, "envelope", None)
    if not isinstance(envelope, Envelope):
        parsed = BytesParser(policy=SMTP).parsebytes(content)
        named = [one for name in ("To", "Cc", "Bcc") for value in parsed.get_all(name, ()) for one in value.addresses]
        recipients = given.recipients() if callable(getattr(given, "recipients", None)) else named
        senders = [one.addr_spec for value in parsed.get_all("From", ()) for one in value.addresses]
        envelope = Envelope(senders[0] if senders else None, [str(one) for one in recipients])
    return Mail("", envelope, None, Content.of(content))
