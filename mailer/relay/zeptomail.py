"""ZeptoMail (Zoho): https://www.zoho.com/zeptomail/help/api/email-sending.html

``zeptomail://SEND-MAIL-TOKEN@default``, or the account's data centre: ``@eu``, ``@in``, ``@au``, ``@jp``, ``@cn``. The
token goes without the word ``Zoho-enczapikey`` before it. A stored template is named by its key, which has dots, or by
its alias, which has none. The id of a mail is that of its request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..address import Address
from ..attachment import Attachment
from ..envelope import NULL_SENDER, NullSender
from ..errors import Outcome, UnsupportedFeature
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Letter, as_text, base64_text
from .meaning import ACCOUNT, SETTINGS
from .plain_words import PlainWords
from .provider import Junk, merged, named_in

__all__ = ["ZeptoMail"]

_TAKEN = ("to", "cc", "bcc")
_MAX_FILES = 60
_BAD_ADDRESS = "SM_113"


class ZeptoMail(PlainWords):
    """ZeptoMail's sending API, version 1.1."""

    name = "zeptomail"
    bases = {
        "default": "https://api.zeptomail.com/v1.1",
        "eu": "https://api.zeptomail.eu/v1.1",
        "in": "https://api.zeptomail.in/v1.1",
        "au": "https://api.zeptomail.com.au/v1.1",
        "jp": "https://api.zeptomail.jp/v1.1",
        "cn": "https://api.zeptomail.com.cn/v1.1",
    }
    features = Features.of_api(return_path=True, provider_template=True, metadata=True, tracking=True)
    has_unique_headers = True
    template_has_subject = True
    needs_to = True
    batch_size = 500
    texts = ("subject", "text", "html")
    limits = Limits(to=340, cc=100, bcc=100, reply_to=40)
    # Codes of the details, which say more than those they stand in.
    errors = {
        "SERR_157": ACCOUNT,  # the token
        "SERR_156": SETTINGS,  # our address is not among those that may send
        "SM_111": SETTINGS,  # the sender's domain is not verified
        "SM_128": SETTINGS,  # the account is under review
        "SM_133": SETTINGS,  # what a trial may send is sent
        "SMI_115": SETTINGS,  # what may be sent in a day is sent
        "AE_101": SETTINGS,  # the account is blocked
        "LE_101": SETTINGS,  # credits are out of date
        "LE_102": SETTINGS,  # credits are used up
    }

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: the null sender, and files beside a stored template."""
        yield from super().left_out(letter)
        message = letter.message
        if message.return_path is NULL_SENDER:
            yield "return_path", f"that is empty is not carried by {self.name}", False
        if message.provider_template is not None and message.attachments:
            yield "attachments", f"beside a stored template are not carried by {self.name}", False

    def refuse(self, letter: Letter) -> None:
        """Also: more files than it takes."""
        super().refuse(letter)
        if (count := len(letter.message.attachments)) > _MAX_FILES:
            text = f"{count} are more than the {_MAX_FILES} that {self.name} takes"
            raise UnsupportedFeature(text, field="attachments")

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail, plain or of a stored template."""
        letter = self.letter(mail)
        return self._post(
            letter, {kind: list(map(_recipient, those)) for kind, those in letter.kinds().items() if those}
        )

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails that are alike: a copy for each recipient, with what is filled in for him."""
        letter, places = self.as_one(mails)
        variables = self.variables(mails, places)
        to = [_recipient(self.only(mail)) for mail in mails]
        for recipient, own in zip(to, variables, strict=False):
            recipient["merge_info"] = dict(own)
        return self._post(self.bare(letter, metadata=None, variables=variables), {"to": to}, "/batch")

    def _post(self, letter: Letter, recipients: Mapping[str, Any], kind: str = "") -> Request:
        message = letter.message
        body: dict[str, Any] = {"from": _mailbox(message.from_[0]), **recipients}
        path = "/email"
        if message.provider_template is not None:
            path = "/email/template"
            key = "template_key" if "." in message.provider_template else "template_alias"
            body[key] = message.provider_template
            if message.context:
                body["merge_info"] = dict(message.context)
        else:
            body |= _content(letter)
        if message.reply_to:
            body["reply_to"] = [_mailbox(address) for address in message.reply_to]
        if message.return_path is not None and not isinstance(message.return_path, NullSender):
            body["bounce_address"] = message.return_path.ascii
        if letter.headers:
            body["mime_headers"] = dict(letter.headers)
        if metadata := letter.metadata:
            body["client_reference"] = as_text(dict(metadata))
        for key, flag in (("track_opens", message.track_opens), ("track_clicks", message.track_clicks)):
            if flag is not None:
                body[key] = flag
        return Request.json(
            self.base + path + kind,
            merged(body, message.provider_options, _TAKEN),
            {"Authorization": f"Zoho-enczapikey {self.token}"},
        )

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"data": [{"code": "EM_104", "message": "Email request received"}], "message": "OK", "request_id"}``"""
        data = self.fields_of(data)
        if data.get("error"):
            return self.refused(data, mail, response)
        items = data.get("data")
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise Junk("it has no list of data")
        return self.taken(
            mail,
            response,
            self.id_of(data.get("request_id")),
            text=self.words("; ".join(item["message"] for item in items if isinstance(item.get("message"), str))),
        )

    def refused(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """Nobody was sent to. Whose addresses are bad are at fault; the others can be sent to without them."""
        receipt = super().refused(data, mail, response)
        details = _details(data)
        said = [detail.get("target_value") for detail in details if detail.get("code") == _BAD_ADDRESS]
        bad = named_in(" ".join(value for value in said if isinstance(value, str)), mail)
        if not bad or len(said) < len(details):
            return receipt
        results = [
            replace(result, outcome=Outcome.REJECTED, scope=Scope.RECIPIENT)
            if result.address.key in bad
            else replace(result, outcome=Outcome.DEFERRED)
            for result in receipt.results
        ]
        return receipt.with_(results=tuple(results))

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"error": {"code": "TM_4001", "message", "details": [{"code": "SM_111", "message", "target"}]}}``"""
        error = data.get("error") if isinstance(data, dict) else None
        if not isinstance(error, dict):
            return None, ""
        details = _details(data)
        codes = [detail.get("code") for detail in details] + [error.get("code")]
        said = [error.get("message")]
        for detail in details:
            said += [detail.get("message"), detail.get("target"), detail.get("target_value")]
        text = "; ".join(dict.fromkeys(part for part in said if isinstance(part, str) and part))
        return next((code for code in codes if isinstance(code, str) and code), None), text


def _details(data: Any) -> list[Mapping[str, Any]]:
    error = data.get("error") if isinstance(data, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _content(letter: Letter) -> dict[str, Any]:
    """What a stored template brings itself."""
    message = letter.message
    body: dict[str, Any] = {"subject": message.subject}
    if message.html is not None:
        body["htmlbody"] = message.html
    if message.text is not None or message.html is None:
        body["textbody"] = message.text or ""
    if letter.files:
        body["attachments"] = [{"name": attachment.name, **_file(attachment)} for attachment in letter.files]
    if letter.inline:
        body["inline_images"] = [{"cid": a.content_id or a.name, **_file(a)} for a in letter.inline]
    return body


def _mailbox(address: Address) -> dict[str, str]:
    return {"address": address.ascii, "name": address.name} if address.name else {"address": address.ascii}


def _recipient(address: Address) -> dict[str, Any]:
    return {"email_address": _mailbox(address)}


def _file(attachment: Attachment) -> dict[str, str]:
    return {"mime_type": attachment.content_type, "content": base64_text(attachment)}
