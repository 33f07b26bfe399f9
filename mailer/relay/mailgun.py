"""Mailgun: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages

``mailgun://API-KEY@default?domain=mg.example.com``, or ``@eu`` where the domain is Europe's; without ``domain`` it is
From's, and ``provider_options={"domain": "mg.example.com"}`` says another for one mail. ``?sandbox=yes`` has everything
checked and nothing sent; ``?api=mime`` gives it the mail as it is. Its requests are forms; the name of an inline file
is its content id.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from ..address import Address
from ..errors import MessageError, UnsupportedFeature
from ..event import MAIL_ID_KEY
from ..features import Features, Limits
from ..field import shown
from ..mail import Mail
from ..receipt import Receipt
from .batch import Alike, address_of, each_its_own, gathered, packed, to_all
from .exchange import Request, Response
from .form import Field, form_data
from .letter import Letter, as_text, mailbox, whole_second
from .meaning import SETTINGS
from .option import api
from .places import Places
from .provider import Provider, yes_no
from .raw import MIME

__all__ = ["Mailgun"]

# Who gets the mail, and what its recipients see of it, is the envelope's to say.
_TAKEN = frozenset({"to", "cc", "bcc", "h:to", "h:cc", "h:bcc", "recipient-variables", "message"})
_OPTION_BYTES = 16_384
_BATCH_BYTES = 20_000_000  # of 25 MB in all; attachments stand in it once
_MARK = "%recipient"
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_AGAIN = re.compile(r"try again (?:after|in) ([0-9]{1,5}) ?s", re.ASCII | re.IGNORECASE)


def _domain(value: str) -> str:
    """A sending domain in ASCII: it becomes a part of the request's path."""
    if not _DOMAIN.fullmatch(value) or ".." in value:
        raise ValueError("must be a domain in its ASCII form, such as mg.example.com")
    return value.lower()


class Mailgun(Provider):
    """Mailgun's sending API, version 3.

    Attributes:
        domain: The sending domain, or "" for From's.
    """

    name = "mailgun"
    bases = {"default": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}
    features = Features.of_api(
        amp_html=True, send_at=True, provider_template=True, tags=True, metadata=True, tracking=True
    )
    has_unique_headers = True
    # How far ahead is three days or seven, by the plan.
    limits = Limits(recipients=1000, size_bytes=25_000_000, schedule_s=7 * 24 * 3600)
    statuses = {404: SETTINGS}  # there is no such domain, or not in this region
    mime = replace(MIME, send_at=True, tags=True, metadata=True, tracking=True, provider_options=True)
    options = {"domain": _domain, "sandbox": yes_no, "api": api}
    batch_size = 1000

    def __init__(
        self, token: str, *, base: str = "", domain: str = "", sandbox: bool = False, api: str = "json"
    ) -> None:
        """See :class:`Provider`; ``domain`` is a sending domain, "" takes From's; ``sandbox`` sends nothing."""
        super().__init__(token, base=base, sandbox=sandbox, api=api)
        self.domain = domain

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key, and as the header has it."""
        return (self.token, self._login)

    @property
    def _login(self) -> str:
        return b64encode(f"api:{self.token}".encode()).decode()

    # --- before sending -----------------------------------------------------------------------------------------------

    def refuse(self, letter: Letter) -> None:
        """Also: more headers, metadata and options than it takes."""
        super().refuse(letter)
        is_each_alone = letter.content is None and not letter.to and not letter.cc and len(letter.bcc) > 1
        if is_each_alone and _is_marked(letter, self._said(letter)):
            text = f"are all hidden, and {self.name} would fill in what says {_MARK}: send to each alone"
            raise UnsupportedFeature(text, field="recipients")
        size = self._options_bytes(letter)
        if size > _OPTION_BYTES:
            text = f"with headers, tags and variables have {size} bytes, {self.name} takes {_OPTION_BYTES}"
            raise UnsupportedFeature(text, field="metadata" if letter.message.metadata else "headers")

    def _letter(self, mail: Mail) -> Letter:
        """Without our mail's id, where that would be too much."""
        letter = super()._letter(mail)
        return replace(letter, mail_id="") if letter.mail_id and self._options_bytes(letter) > _OPTION_BYTES else letter

    def _options_bytes(self, letter: Letter) -> int:
        return sum(len(f.name.encode()) + len(f.content) for f in self._options(letter) if f.name[1:2] == ":")

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail: to all its recipients together, or, where all are hidden, one copy for each."""
        letter = self.letter(mail)
        if letter.content is None:
            return self._request(letter, [*self._recipients(letter), *self._said(letter)])
        fields = [Field("to", address.ascii) for address in mail.envelope.recipients]
        return self._request(letter, [*fields, *self._options(letter)], mail.envelope.sender)

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """Mails to one recipient each that differ in what his variables can hold."""
        for group in gathered(mails, self._alike):
            yield from packed(group, self._weight, self.batch_size, _BATCH_BYTES, named=address_of)

    def _weight(self, mail: Mail) -> tuple[int, int]:
        return 1, sum(len(field.content) for field in self._said(self.letter(mail)))

    def _alike(self, mail: Mail) -> object:
        letter = self.letter(mail)
        fields = self._said(letter)
        if len(mail.envelope.recipients) > 1 or letter.content is not None or _is_marked(letter, fields):
            return None
        # Options are laid over what they have in common.
        must_not = letter.message.provider_options
        fixed = [field for field in fields if field.name != _MAIL_ID and (must_not or not _may_differ(field))]
        return _COMMON(letter.message), [field.name for field in fields], fixed

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails that are alike: with variables, each recipient has a copy of his own that names nobody else."""
        letters = [self.letter(mail) for mail in mails]
        rows = [self._said(letter) for letter in letters]
        columns = {str(n): [f.content.decode() for f in fields] for n, fields in enumerate(zip(*rows, strict=True))}
        places = Places(columns, len(mails))
        variables = {
            mail.envelope.recipients[0].ascii: {f"mailer{number}": value for number, value in enumerate(values)}
            for mail, values in zip(mails, places.values, strict=True)
        }
        fields = [
            Field("from", mailbox(letters[0].message.from_[0])),
            *[Field("to", mailbox(address)) for each in letters for address in (*each.to, *each.cc, *each.bcc)],
            Field("recipient-variables", json.dumps(variables, ensure_ascii=False)),
            *[Field(f.name, places.text(str(n), "%recipient.mailer{}%".format)) for n, f in enumerate(rows[0])],
        ]
        return self._request(letters[0], fields)

    def _said(self, letter: Letter) -> list[Field]:
        return [*self._texts(letter), *self._options(letter)]

    def _request(self, letter: Letter, fields: list[Field], sender: Address | None = None) -> Request:
        """A form of these fields, and files.

        Args:
            sender: Of the envelope: its domain sends where the content alone has a From.
        """
        options = dict(letter.message.provider_options)
        domain = _asked_domain(options.pop("domain", self.domain))
        fields = _laid_over(fields, options)
        content_type, content = form_data([*fields, *_files(letter)])
        whose = [*letter.message.from_, *filter(None, (sender,))]
        if not domain and not whose:
            raise UnsupportedFeature("that is empty names no domain: give the URL ?domain=", field="return_path")
        domain = quote(domain or whose[0].ascii.rpartition("@")[2], safe="")
        headers = {"Accept": "application/json", "Content-Type": content_type, "Authorization": f"Basic {self._login}"}
        kind = "messages" if letter.content is None else "messages.mime"
        return Request(f"{self.base}/v3/{domain}/{kind}", tuple(headers.items()), content)

    def _recipients(self, letter: Letter) -> Iterator[Field]:
        yield Field("from", mailbox(letter.message.from_[0]))
        to, cc, bcc = letter.to, letter.cc, letter.bcc
        if not to:  # it must name somebody
            to, cc, bcc = (cc, (), bcc) if cc else (bcc, (), ())
        for key, addresses in (("to", to), ("cc", cc), ("bcc", bcc)):
            yield from (Field(key, mailbox(address)) for address in addresses)
        if not letter.to and not letter.cc and len(to) > 1:
            # Nobody here may see another: with variables, even none, each has a copy that names nobody else.
            yield Field("recipient-variables", json.dumps({address.ascii: {} for address in to}))

    def _texts(self, letter: Letter) -> Iterator[Field]:
        message = letter.message
        if message.subject or message.provider_template is None:
            yield Field("subject", message.subject)
        if message.provider_template is not None:
            yield Field("template", message.provider_template)
            return
        if message.text is not None or message.html is None:
            yield Field("text", message.text or "")
        if message.html is not None:
            yield Field("html", message.html)
        if message.amp_html is not None:
            yield Field("amp-html", message.amp_html)

    def _options(self, letter: Letter) -> Iterator[Field]:
        """What counts together for how much it takes: ``t:``, ``h:``, ``o:`` and ``v:``."""
        message = letter.message
        if message.provider_template is not None and message.context:
            yield Field("t:variables", _json(message.context, "context"))
        if letter.content is None:  # which says them itself
            if message.reply_to:
                yield Field("h:Reply-To", ", ".join(map(mailbox, message.reply_to)))
            yield from (Field(f"h:{name}", value) for name, value in letter.headers)
        yield from (Field("o:tag", tag) for tag in message.tags)
        if message.send_at is not None:
            yield Field("o:deliverytime", format_datetime(whole_second(message.send_at)))
        for key, flag in (("o:tracking-opens", message.track_opens), ("o:tracking-clicks", message.track_clicks)):
            if flag is not None:
                yield Field(key, _yes(flag))
        if self.sandbox:
            yield Field("o:testmode", "yes")
        if metadata := letter.metadata:
            yield Field("o:suppress-headers", "X-Mailgun-Variables")  # or the recipient sees it
            yield from (Field(f"v:{key}", as_text(value)) for key, value in metadata.items())

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"id": "<2026...@mg.example.com>", "message": "Queued. Thank you."}``"""
        if data is None and "mailgun" in response.prose().lower():
            text = "it answers with a banner, not for a mail: check the host in the URL"
            return self.settled(SETTINGS, mail, response, text)
        data = self.fields_of(data)
        return self.taken(mail, response, self.id_of(data.get("id")), text=self.words(self.error_of(data)[1]))

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """One answer, and one id, for them all."""
        return each_its_own(self.receipt(response, to_all(mails)), mails)

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"message": "..."}``"""
        text = data.get("message") if isinstance(data, dict) else None
        return None, text if isinstance(text, str) else ""

    def retry_after_s(self, response: Response) -> float | None:
        """Retry-After, or what its words say: "try again after 30 seconds"."""
        asked = super().retry_after_s(response)
        if asked is not None or response.status != 429:
            return asked
        found = _AGAIN.search(self.error_of(response.json())[1] or response.prose())
        return None if found is None else float(found[1])


_MAIL_ID = f"v:{MAIL_ID_KEY}"
_COMMON = Alike("subject", "text", "html", "amp_html", "headers", "metadata")


def _is_marked(letter: Letter, fields: Iterable[Field]) -> bool:
    """Whether it says what would be taken for a variable, where there are any."""
    names = [address.name for address in (*letter.message.from_, *letter.to, *letter.cc, *letter.bcc)]
    return any(_MARK in text.lower() for text in (*names, *[field.content.decode() for field in fields]))


def _may_differ(field: Field) -> bool:
    """Whether a variable can hold what differs in it: encoded words and JSON are made before those are filled in."""
    if field.name.startswith("h:"):
        return field.name != "h:Reply-To" and field.content.isascii()
    if field.name.startswith("v:"):
        return field.content.isascii() and not re.search(rb'["\\]', field.content)
    return field.name in ("subject", "text", "html", "amp-html")


def _files(letter: Letter) -> Iterator[Field]:
    if letter.content is not None:
        yield Field("message", bytes(letter.content), "message.eml", "message/rfc822")
        return
    for attachment in letter.files:
        yield Field("attachment", bytes(attachment), attachment.name, attachment.content_type)
    for attachment in letter.inline:
        yield Field("inline", bytes(attachment), attachment.content_id, attachment.content_type)


def _asked_domain(value: Any) -> str:
    try:
        return value and _domain(value)  # "" asks for From's
    except (TypeError, ValueError) as error:
        raise MessageError(f"domain: {shown(value)} is none: mg.example.com", field="provider_options") from error


def _laid_over(fields: list[Field], options: Mapping[str, Any]) -> list[Field]:
    """The fields with ``provider_options`` in their place: a list is several fields, a mapping is JSON."""
    given: list[Field] = []
    for key, value in options.items():
        if key.lower() in _TAKEN:
            raise MessageError(
                f"{shown(key)} says who gets the mail, and only to, cc and bcc do", field="provider_options"
            )
        values = value if isinstance(value, (list, tuple)) else [value]
        given += [Field(key, _option(item)) for item in values]
    named = {field.name for field in given}
    return [*[field for field in fields if field.name not in named], *given]


def _option(value: Any) -> str:
    if isinstance(value, bool):
        return _yes(value)
    return value if isinstance(value, str) else _json(value, "provider_options")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _json(value: Any, field: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(f"holds what JSON cannot: {error}", field=field) from error
