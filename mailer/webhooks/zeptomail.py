"""ZeptoMail's webhooks: https://www.zoho.com/zeptomail/help/webhooks.html

The secret is the authentication key of the mail agent's webhooks, by which it signs; or, where its settings have
headers to send instead, one of your own in one of them or in the URL. The signature is over what is told, not over its
time: that keeps out who sends an old call again as it was, and not who knows that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from ..errors import ProtocolError
from ..event import Event, EventKind
from .call import Call, json_of
from .payload import Payload, is_address_at_fault
from .proof import Proof, base64_bytes, hmac_of
from .webhook import Webhook

__all__ = ["ZeptoMailWebhook"]

_SIGNATURE = "producer-signature"


class ZeptoMailWebhook(Webhook):
    """ZeptoMail's events, one in each call, JSON alone or in a form, signed with HMAC-SHA256."""

    name = "zeptomail"
    content_types = ("json", "application/x-www-form-urlencoded")
    kinds = {
        "delivered": EventKind.DELIVERED,
        "hardbounce": EventKind.BOUNCED,
        "softbounce": EventKind.BOUNCED,
        "feedback_loop": EventKind.COMPLAINED,
        "spam": EventKind.COMPLAINED,
        "email_open": EventKind.OPENED,
        "email_link_click": EventKind.CLICKED,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """``ts=<milliseconds>;s=<base64, percent-encoded>;s-algorithm=HmacSHA256``; without it a shared secret."""
        if not call.header(_SIGNATURE):
            return proof.check_shared(call)
        given = _parameters(call, proof)
        shown = base64_bytes(unquote(given.get("s", ""))) or b""
        proof.check_any([hmac_of(secret, _told(call)) for secret in proof.secrets], [shown])
        stamp = given.get("ts", "")
        is_time = stamp.isascii() and stamp.isdigit() and len(stamp) < 20
        proof.check_moment(f"{int(stamp) / 1000:.3f}" if is_time else "")
        return None

    def call_id(self, call: Call) -> str:
        """Its own id of what it tells."""
        return Payload(json_of(_told(call))).id("webhook_request_id")

    def items(self, call: Call) -> Iterable[Any]:
        """The object."""
        data = json_of(_told(call))
        if not isinstance(data, dict):
            raise ProtocolError(f"the webhook's body of {self.name} is no JSON object")
        return [data]

    def read(self, item: Payload, call: Call) -> Iterator[Event]:
        """One for each mail, and each that happened to it."""
        words = item.texts("event_name")
        word = words[0] if words else ""
        for message in [*item.each("event_message")] or [Payload(None)]:
            details = [detail for data in message.each("event_data") for detail in data.each("details")]
            for detail in details or [Payload(None)]:
                yield self._event(word, item, message, detail)

    def _event(self, word: str, item: Payload, message: Payload, detail: Payload) -> Event:
        info = message.at("email_info")
        to = [one for each in info.each("to") for one in each.each("email_address")]
        to = to or [one for each in message.each("to") for one in each.each("email_address")]
        alone = to[0].address("address") if len(to) == 1 else None
        text = detail.text("diagnostic_message", "reason")
        is_hard = None
        if word == "hardbounce":
            is_hard = is_address_at_fault(text) is not False
        elif word == "softbounce":
            is_hard = False
        return self.made(
            word,
            item,
            provider_id=message.id("request_id"),
            event_id=item.id("webhook_request_id"),
            recipient=detail.address("bounced_recipient") or alone,
            time=detail.time("time"),
            is_hard=is_hard,
            text=text,
            url=detail.text("clicked_link", "link", "url"),
            user_agent=detail.text("user_agent"),
            metadata=_metadata(info),
        )


def _parameters(call: Call, proof: Proof) -> dict[str, str]:
    """Those of the signature; its whole may be percent-encoded."""
    value = call.header(_SIGNATURE)
    parts = [part.partition("=") for part in (value if ";" in value else unquote(value)).split(";")]
    given = {name.strip(): value.strip() for name, _, value in parts}
    if len(given) < len(parts):
        raise proof.refused("its signature stands there twice")
    return given


def _told(call: Call) -> bytes:
    """What is signed: the JSON, which is the body, or the value of the one field of the form that it is."""
    pairs: list[tuple[str, str]] = []
    if call.body.lstrip()[:1] != b"{":
        with contextlib.suppress(ProtocolError):
            pairs = call.pairs()
    return pairs[0][1].encode("utf-8") if len(pairs) == 1 else call.body


def _metadata(info: Payload) -> dict[str, Any]:
    """What went out as the reference: an object in JSON if it was we who sent it."""
    reference = info.mapping("client_reference")
    if reference or not info.text("client_reference"):
        return reference
    return {"client_reference": info.text("client_reference")}
