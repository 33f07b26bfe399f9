"""SparkPost (Bird): https://developers.sparkpost.com/api/transmissions/

``sparkpost://API-KEY@default``, or ``@eu`` for an account in Europe. ``?subaccount=7`` sends as one of the account's;
``?sandbox=yes`` by its sandbox, which takes five mails in an account's life. Everyone gets a copy of his own: Cc and
Bcc are further recipients who are shown the same To. ``?api=mime`` gives it the mail as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from ..attachment import Attachment
from ..errors import ConfigError, MessageError, Outcome, UnsupportedFeature
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Letter, base64_text, mailbox, named, whole_second
from .meaning import DEFERRED, SETTINGS
from .option import api
from .per_recipient import PerRecipient, is_marked
from .provider import Junk, merged, named_in, yes_no
from .raw import MIME, text_content

__all__ = ["SparkPost"]

_TAKEN = ("recipients", "to", "cc", "bcc")
_MAX_CAMPAIGN_BYTES = 64
_MAX_FURTHER_TAGS = 10
# It writes List-Unsubscribe itself and says nothing of ours; the others it refuses.
_RESERVED = re.compile(r"list-unsubscribe(-post)?|subject|from|to|cc|bcc|reply-to|content-.*", re.IGNORECASE)


def _subaccount(value: str) -> str:
    """A subaccount's number; 0 is the account itself."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,10}", value, re.ASCII):
        raise ValueError("must be the number of a subaccount")
    return value


class SparkPost(PerRecipient):
    """SparkPost's Transmissions API, version 1.

    Attributes:
        subaccount: The number of the subaccount that sends, or "".
    """

    name = "sparkpost"
    bases = {"default": "https://api.sparkpost.com/api/v1", "eu": "https://api.eu.sparkpost.com/api/v1"}
    features = Features.of_api(
        amp_html=True, send_at=True, provider_template=True, tags=True, metadata=True, tracking=True
    )
    has_unique_headers = True
    template_has_subject = True
    metadata_room = (inf, 10_000)
    limits = Limits(tags=1 + _MAX_FURTHER_TAGS, size_bytes=20_000_000, schedule_s=3 * 24 * 3600)
    errors = {"7001": SETTINGS}  # the From domain is not verified
    statuses = {420: DEFERRED}  # the sending quota: nothing is sent, and will be later
    mime = replace(MIME, send_at=True, tags=True, metadata=True, tracking=True, provider_options=True)
    options = {"subaccount": _subaccount, "sandbox": yes_no, "api": api}
    # No limit is published. Who is refused may go unnamed, and leaves the whole request in doubt: so not the most.
    batch_size = 500
    texts = ("subject", "text", "html", "amp_html", "headers")

    def __init__(
        self, token: str, *, base: str = "", subaccount: str = "", sandbox: bool = False, api: str = "json"
    ) -> None:
        """See :class:`Provider`, and the attributes. ConfigError also for a subaccount that is no number."""
        super().__init__(token, base=base, sandbox=sandbox, api=api)
        try:
            self.subaccount = subaccount and _subaccount(subaccount)
        except ValueError as error:
            raise ConfigError(f"{self.name}: subaccount {error}") from None

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: what a stored template replaces, and headers that it writes itself or would evaluate."""
        yield from super().left_out(letter)
        message = letter.message
        if any(len(tag.encode()) > _MAX_CAMPAIGN_BYTES for tag in message.tags[:1]):
            yield "tags", f"of more than {_MAX_CAMPAIGN_BYTES} bytes are not carried first by {self.name}", True
        if letter.content is not None:
            return
        if message.provider_template is not None:
            for field, asked in (
                ("attachments", message.attachments),
                ("reply_to", message.reply_to),
                ("headers", letter.headers),
            ):
                if asked:
                    yield (
                        field,
                        f"beside a stored template is not carried by {self.name}: the template has its own",
                        False,
                    )
            yield "from_", "is the stored template's own", True
            return
        own = [name for name, _ in letter.headers if _RESERVED.fullmatch(name)]
        if own:
            yield "headers", f"{', '.join(own)} are {self.name}'s own", False
        addresses = (*message.from_, *message.reply_to, *letter.to, *letter.cc)
        texts = (message.subject, *[value for _, value in letter.headers], *[address.name for address in addresses])
        if any("{{" in text for text in texts):
            yield "headers", f"with '{{{{', in the subject and names too, are evaluated by {self.name}", False

    def refuse(self, letter: Letter) -> None:
        """Also: content in which anything would be evaluated, which cannot be switched off there."""
        super().refuse(letter)
        if letter.content is not None and (is_marked(letter) or b"{{" in bytes(letter.content)):
            raise UnsupportedFeature(f"with '{{{{' is evaluated by {self.name}; api=json carries that", field="raw")

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One transmission."""
        letter = self.letter(mail)
        if letter.content is None:
            return self._request(letter, self._recipients(letter))
        tags = {"tags": list(letter.message.tags[1 : 1 + _MAX_FURTHER_TAGS])} if letter.message.tags[1:] else {}
        return self._request(letter, [{"address": {"email": a.ascii}, **tags} for a in mail.envelope.recipients])

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails that are alike: each a recipient with metadata and variables of his own."""
        letter, places = self.as_one(mails)
        recipients = [recipient for mail in mails for recipient in self._recipients(self.letter(mail))]
        metadata, variables = self.own(mails, "metadata"), self.variables(mails, places)
        for key, own in (("metadata", metadata), ("substitution_data", variables)):
            for recipient, values in zip(recipients, own, strict=False):
                if values:
                    recipient[key] = dict(values)
        letter = self.bare(letter, metadata=metadata, variables=variables)
        return self._request(letter, recipients, has_places=places.count > 0)

    def _request(self, letter: Letter, recipients: list[dict[str, Any]], *, has_places: bool = False) -> Request:
        message = letter.message
        is_templated = message.provider_template is not None
        content = {"template_id": message.provider_template} if is_templated else _content(letter)
        body: dict[str, Any] = {"recipients": recipients, "content": content}
        if options := self._options(letter, has_places):
            body["options"] = options
        if message.tags and len(message.tags[0].encode()) <= _MAX_CAMPAIGN_BYTES:
            body["campaign_id"] = message.tags[0]
        if metadata := letter.metadata:
            body["metadata"] = dict(metadata)
        if is_templated and message.context:
            body["substitution_data"] = dict(message.context)
        headers = {"Authorization": self.token} | ({"X-MSYS-SUBACCOUNT": self.subaccount} if self.subaccount else {})
        return Request.json(f"{self.base}/transmissions", merged(body, message.provider_options, _TAKEN), headers)

    def _options(self, letter: Letter, has_places: bool) -> dict[str, Any]:
        message = letter.message
        options: dict[str, Any] = {}
        if message.provider_template is None and letter.content is None and not has_places:
            options["perform_substitutions"] = False  # what looks like a variable is meant as it stands
        for key, value in (("open_tracking", message.track_opens), ("click_tracking", message.track_clicks)):
            if value is not None:
                options[key] = value
        if message.send_at is not None:
            options["start_time"] = whole_second(message.send_at).isoformat()
        if self.sandbox:
            options["sandbox"] = True
        return options

    def _recipients(self, letter: Letter) -> list[dict[str, Any]]:
        """To, shown to each of them and to the others; where all are hidden, each is shown himself alone."""
        more: dict[str, Any] = {"tags": list(letter.message.tags[1 : 1 + _MAX_FURTHER_TAGS])}
        more = more if more["tags"] else {}
        to = letter.to or letter.cc
        others = [address for address in (*letter.cc, *letter.bcc) if address not in to]
        if len(to) + len(others) == 1 or not to:
            return [{"address": named(address), **more} for address in (*to, *others)]
        header_to = ", ".join(map(mailbox, to))
        return [{"address": {"email": address.ascii, "header_to": header_to}, **more} for address in (*to, *others)]

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"results": {"id", "total_accepted_recipients", "total_rejected_recipients", "rcpt_to_errors"}}``"""
        data = self.fields_of(data)
        results = data.get("results")
        if not isinstance(results, dict):
            if data.get("errors"):
                return self.refused(data, mail, response)
            raise Junk("it has no results")
        taken, refused = results.get("total_accepted_recipients"), results.get("total_rejected_recipients")
        if type(taken) is not int or type(refused) is not int or taken + refused != len(mail.envelope.recipients):
            raise Junk("its numbers of recipients are not those of the mail")
        said = _faults(results.get("rcpt_to_errors")) or _faults(data.get("errors"))
        if taken == 0:
            text = self.words(said) or "all recipients are refused"
            return Receipt.for_all(mail, Outcome.REJECTED, text=text, scope=Scope.RECIPIENT)
        given = self.id_of(results.get("id"))
        if refused == 0 and said:
            raise Junk("it names faults, and nobody whom it refused")
        bad = named_in(said, mail) if refused else set()
        # It counts those whom it refuses, and may not name them.
        is_known = len(bad) == refused
        rest = Outcome.ACCEPTED if is_known else Outcome.UNKNOWN
        text = self.words(said if is_known else f"{refused} refused, and it does not say who: {said}")
        return Receipt(
            id=mail.id,
            results=tuple(
                [
                    RecipientResult(address, Outcome.REJECTED, text=text, scope=Scope.RECIPIENT)
                    if address.key in bad
                    else RecipientResult(
                        address,
                        rest,
                        response.code,
                        text=text,
                        provider_id=given if rest is Outcome.ACCEPTED else None,
                        scope=Scope.MESSAGE,
                    )
                    for address in mail.envelope.recipients
                ]
            ),
        )

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"errors": [{"message", "description", "code"}]}``; the code is text."""
        errors = data.get("errors") if isinstance(data, dict) else None
        first = errors[0] if isinstance(errors, list) and errors else None
        code = first.get("code") if isinstance(first, dict) else None
        return (code if isinstance(code, str) and code else None), _faults(errors)


def _faults(errors: Any) -> str:
    """The words of all of them, each once."""
    said = [
        error.get(key)
        for error in (errors if isinstance(errors, list) else ())
        if isinstance(error, Mapping)
        for key in ("message", "description")
    ]
    return "; ".join(dict.fromkeys(text for text in said if isinstance(text, str) and text))


def _content(letter: Letter) -> dict[str, Any]:
    message = letter.message
    if letter.content is not None:
        return {"email_rfc822": text_content(letter)}
    content: dict[str, Any] = {"from": named(message.from_[0]), "subject": message.subject}
    if message.reply_to:
        content["reply_to"] = ", ".join(map(mailbox, message.reply_to))
    if message.html is not None:
        content["html"] = message.html
    if message.text is not None or message.html is None:
        content["text"] = message.text or ""
    if message.amp_html is not None:
        content["amp_html"] = message.amp_html
    headers = {name: value for name, value in letter.headers if not _RESERVED.fullmatch(name)}
    if letter.to and letter.cc:
        headers["CC"] = ", ".join(map(mailbox, letter.cc))
    if headers:
        content["headers"] = headers
    if letter.files:
        content["attachments"] = [_file(attachment, attachment.name) for attachment in letter.files]
    if letter.inline:  # whose name there is their content id
        content["inline_images"] = [_file(image, image.content_id or image.name) for image in letter.inline]
    return content


def _file(attachment: Attachment, name: str) -> dict[str, str]:
    if len(name) > 255:
        raise MessageError(
            f"the name {name[:20]!r}... is longer than the 255 characters that are taken", field="attachments"
        )
    return {"name": name, "type": attachment.content_type, "data": base64_text(attachment)}
