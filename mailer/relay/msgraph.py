"""Microsoft Graph sendMail: https://learn.microsoft.com/en-us/graph/api/user-sendmail

``msgraph://default`` is the mailbox of the user whose access token it is, ``msgraph://news%40example.com@default`` the
one that an application, or a user who may, sends from; ``@us``, ``@dod`` and ``@china`` are the national clouds. Its
success has no body and no id. It takes one text, html or plain: ``?api=mime`` gives it the whole mail.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from .. import header
from ..address import Address
from ..attachment import Attachment
from ..errors import ConfigError, MessageError, UnsupportedFeature
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt
from .addressed import addressed
from .exchange import Request, Response
from .letter import Letter, base64_text, unfolded
from .mailbox import Mailbox
from .meaning import SETTINGS
from .option import api, yes_no
from .provider import Junk, merged
from .raw import MIME

__all__ = ["MicrosoftGraph"]

#: Of a whole request; more needs several calls for one mail.
_MAX_BYTES = 4_000_000
# Who gets the mail is the envelope's to say.
_TAKEN = ("to", "cc", "bcc", "torecipients", "ccrecipients", "bccrecipients")
_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
_IMPORTANCE = {1: "high", 2: "high", 3: "normal", 4: "low", 5: "low"}


class MicrosoftGraph(Mailbox):
    """A mailbox in Microsoft 365 or Outlook.com, by Graph's version 1.0.

    Attributes:
        user: Its address or its object's id; "" is the mailbox of the user whose access token it is.
        save_to_sent: Whether the mail is kept in the mailbox's folder of sent items.
        api: "json" gives the mail in parts, "mime" whole.
    """

    name = "msgraph"
    bases = {
        "default": "https://graph.microsoft.com/v1.0",
        "us": "https://graph.microsoft.us/v1.0",
        "dod": "https://dod-graph.microsoft.us/v1.0",
        "china": "https://microsoftgraph.chinacloudapi.cn/v1.0",
    }
    by_smtp = "smtp+office365"
    remedies = {
        "InvalidAuthenticationToken": "(tokens for it have the scope https://graph.microsoft.com/.default, not SMTP's)",
        "ErrorAccessDenied": "(the application needs the permission Mail.Send of Microsoft Graph)",
    }
    features = Features.of_api(sender=True)
    mime = MIME
    needs_to = True
    limits = Limits(size_bytes=_MAX_BYTES)
    statuses = {404: SETTINGS}  # there is no such mailbox
    # For hours: nothing that trying again within seconds would change.
    errors = {"ErrorExceededMessageLimit": SETTINGS, "ErrorQuotaExceeded": SETTINGS}
    rate = "1000/m"  # 10,000 in ten minutes
    options = {"api": api, "save_to_sent": yes_no}

    def __init__(self, user: str = "", *, base: str = "", api: str = "json", save_to_sent: bool = True) -> None:
        """Make it for a mailbox.

        Args:
            user: Its address or its object's id; "" is the mailbox of the user whose access token it is.
            base, api: See :class:`Provider`. The base gets the access tokens: trust it.
            save_to_sent: Keep the mail in the mailbox's folder of sent items.

        Raises:
            ConfigError: That is no user, or the whole mail is given (``api="mime"``), which is always kept.
        """
        is_id = isinstance(user, str) and _ID.fullmatch(user) is not None
        super().__init__("" if is_id else user, base=base, api=api)
        if is_id:
            self.user = user
        if api == "mime" and not save_to_sent:
            raise ConfigError(f"{self.name}: save_to_sent=no is for api=json: a whole mail is kept always")
        self.save_to_sent = save_to_sent

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: a text beside html, and headers whose names do not begin with "x-"."""
        yield from super().left_out(letter)
        message = letter.message
        if letter.content is not None:
            if message.message_id is not None:
                yield "message_id", f"may be replaced by {self.name}", True
            return
        if message.text is not None and message.html is not None:
            yield "text", f"is not carried by {self.name} beside html, but by api=mime", True
        own = [name for name, _ in message.headers if not name.lower().startswith("x-")]
        if own:
            text = f"{', '.join(own)} are not carried by {self.name}, which takes x-... alone; but by api=mime"
            yield "headers", text, False

    def refuse(self, letter: Letter) -> None:
        """Also: a whole mail that is too large in base64, and a Sender whose local part is not ASCII."""
        super().refuse(letter)
        if letter.message.sender is not None and not self.takes(letter.message.sender):
            raise UnsupportedFeature(f"its local part is not ASCII, which {self.name} does not take", field="sender")
        size = 0 if letter.content is None else (len(letter.content) + 2) // 3 * 4
        if size > _MAX_BYTES:
            text = f"the mail has {size} bytes in base64, {self.name} takes {_MAX_BYTES}"
            raise UnsupportedFeature(text, field="attachments" if letter.message.attachments else "")

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail, in parts or whole."""
        letter = self.letter(mail)
        url = f"{self.base}/{f'users/{self.quoted_user}' if self.user else 'me'}/sendMail"
        if letter.content is not None:
            headers = (("Accept", "application/json"), ("Content-Type", "text/plain"))
            return Request(url, headers, b64encode(addressed(mail, letter)))
        options = dict(letter.message.provider_options)
        within = options.pop("message", {})
        if not isinstance(within, Mapping):
            raise MessageError("message must be a mapping, laid over the mail's own", field="provider_options")
        body = {"message": merged(_message(letter), within, _TAKEN), "saveToSentItems": self.save_to_sent}
        return Request.json(url, merged(body, options, ("message", *_TAKEN)), {})

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """202 without a body, and without an id of the mail."""
        if isinstance(data, dict) and data.get("error"):
            return self.refused(data, mail, response)
        if response.status != 202:
            raise Junk("it is no 202")
        if response.content.strip():
            raise Junk("it has a body, where none is documented")
        asked = response.headers.get("request-id", "")
        text = self.words(f"request-id {asked}") if asked else ""
        return self.taken(mail, response, text=text)

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"error": {"code": "ErrorAccessDenied", "message": "...", "innerError": {...}}}``"""
        error = data.get("error") if isinstance(data, dict) else None
        if not isinstance(error, dict):
            return (error if isinstance(error, str) and error else None), ""
        code, text = error.get("code"), error.get("message")
        return self.said(code if isinstance(code, str) and code else None, text)


def _message(letter: Letter) -> dict[str, Any]:
    message = letter.message
    kind, content = ("Text", message.text or "") if message.html is None else ("HTML", message.html)
    body: dict[str, Any] = {
        "subject": message.subject,
        "body": {"contentType": kind, "content": content},
        "from": _recipient(message.from_[0]),
        **{f"{key}Recipients": [_recipient(a) for a in those] for key, those in letter.kinds().items() if those},
    }
    if message.sender is not None:
        body["sender"] = _recipient(message.sender)
    if message.reply_to:
        body["replyTo"] = [_recipient(address) for address in message.reply_to]
    if message.priority is not None:
        body["importance"] = _IMPORTANCE[message.priority]
    if headers := [(name, value) for name, value in message.headers if name.lower().startswith("x-")]:
        body["internetMessageHeaders"] = [
            {"name": name, "value": unfolded(header.custom(name, value))} for name, value in headers
        ]
    if message.attachments:
        body["attachments"] = [*map(_attached, letter.files), *map(_shown_inside, letter.inline)]
    return body


def _recipient(address: Address) -> dict[str, Any]:
    named = {"address": address.ascii, "name": address.name} if address.name else {"address": address.ascii}
    return {"emailAddress": named}


def _attached(attachment: Attachment) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": attachment.name,
        "contentType": attachment.content_type,
        "contentBytes": base64_text(attachment),
    }


def _shown_inside(attachment: Attachment) -> dict[str, Any]:
    return _attached(attachment) | {"isInline": True, "contentId": attachment.content_id or attachment.name}
