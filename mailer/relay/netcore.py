"""Netcore Email API, formerly Pepipost: https://emaildocs.netcorecloud.com

``netcore://API-KEY@default`` (or ``pepipost://``). It takes html and AMP: a text alone is sent as html that shows it, a
text beside html is left out. An account with another entry point names it: ``netcore://KEY@api.pepipost.com``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..features import Features, Limits
from ..mail import Mail
from ..message import Message
from ..receipt import Receipt
from .exchange import Request, Response
from .letter import Letter, base64_text, named, shown_as_html, whole_second
from .provider import Junk, Provider, merged
from .template_number import template_number

__all__ = ["Netcore"]

_TAKEN = ("personalizations", "bcc")


class Netcore(Provider):
    """Netcore's sending API, version 5.1."""

    name = "netcore"
    bases = {"default": "https://emailapi.netcorecloud.net/v5.1"}
    features = Features.of_api(
        inline=False, amp_html=True, send_at=True, provider_template=True, tags=True, metadata=True, tracking=True
    )
    has_unique_headers = True
    limits = Limits(reply_to=1)

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: some names, and the text beside html."""
        yield from super().left_out(letter)
        message = letter.message
        if any(address.name for address in (*letter.cc, *letter.bcc, *message.reply_to)):
            yield "names", f"of cc, bcc and reply_to are not carried by {self.name}", True
        if message.provider_template is None and message.text and message.html is not None:
            yield "text", f"is not carried by {self.name} beside html", True
        elif message.provider_template is None and message.text:
            yield "text", f"is carried by {self.name} as html", True

    def refuse(self, letter: Letter) -> None:
        """Also: a stored template that is no number."""
        super().refuse(letter)
        if letter.message.provider_template is not None:
            template_number(letter.message.provider_template, self.name)

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail: to all its recipients together, or, where all are hidden, one copy for each."""
        letter = self.letter(mail)
        message = letter.message
        body: dict[str, Any] = {
            "from": named(message.from_[0]),
            "subject": message.subject,
            "personalizations": [*self._personalizations(letter)],
        }
        if message.reply_to:
            body["reply_to"] = message.reply_to[0].ascii
        if message.provider_template is not None:
            body["template_id"] = template_number(message.provider_template, self.name)
        else:
            body["content"] = _content(message)
        if message.attachments:
            body["attachments"] = [{"name": a.name, "content": base64_text(a)} for a in message.attachments]
        settings = {
            key: value
            for key, value in (("open_track", message.track_opens), ("click_track", message.track_clicks))
            if value is not None
        }
        if settings:
            body["settings"] = settings
        if message.tags:
            body["tags"] = list(message.tags)
        if message.send_at is not None:
            body["schedule"] = int(whole_second(message.send_at).timestamp())
        return Request.json(
            f"{self.base}/mail/send", merged(body, message.provider_options, _TAKEN), {"api_key": self.token}
        )

    def _personalizations(self, letter: Letter) -> Iterable[dict[str, Any]]:
        message = letter.message
        more: dict[str, Any] = {}
        if message.provider_template is not None and message.context:
            more["attributes"] = dict(message.context)
        if letter.headers:
            more["headers"] = dict(letter.headers)
        token = json.dumps(metadata, ensure_ascii=False, default=str) if (metadata := letter.metadata) else None
        for to, cc, bcc in letter.copies:
            one: dict[str, Any] = {"to": [named(address) for address in to]}
            for key, hidden in (("cc", cc), ("bcc", bcc)):
                if hidden:
                    one[key] = [{"email": address.ascii} for address in hidden]
            if token is not None:
                one |= {f"token_{key}": token for key in ("to", "cc", "bcc") if key in one}
            yield one | more

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"status": "success", "message": "OK", "data": {"message_id": "..."}}``"""
        data = self.fields_of(data)
        if data.get("status") == "error":
            return self.refused(data, mail, response)
        inner = data.get("data")
        if data.get("status") != "success" or not isinstance(inner, dict):
            raise Junk("it says neither success nor error")
        return self.taken(
            mail, response, self.id_of(inner.get("message_id")), text=self.words(_first_text(data.get("message")))
        )

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"status": "error", "error": [{"message": ...}]}`` or ``"message"``: what is documented varies."""
        if not isinstance(data, dict):
            return None, ""
        return None, _first_text(data.get("error")) or _first_text(data.get("message"))


def _first_text(value: Any, depth: int = 0) -> str:
    """The first text in what an error may be: text, a list, an object with a message or description."""
    if isinstance(value, str):
        return value
    inner: Iterable[Any] = ()
    if isinstance(value, list):
        inner = value
    elif isinstance(value, dict):
        inner = [value.get(key) for key in ("message", "description", "error", "field")]
    return next((text for text in (_first_text(item, depth + 1) for item in inner) if text), "") if depth < 4 else ""


def _content(message: Message) -> list[dict[str, str]]:
    shown_html = shown_as_html(message.text or "") if message.html is None else message.html
    content = [{"type": "html", "value": shown_html}]
    if message.amp_html is not None:
        content.append({"type": "amp", "value": message.amp_html})
    return content
