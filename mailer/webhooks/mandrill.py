"""Mandrill's webhooks: https://mailchimp.com/developer/transactional/docs/webhooks/

The secret is the webhook's authentication key. What is signed begins with the URL exactly as it was given to Mandrill,
so that has to be known: behind a proxy the URL that a request seems to have is mostly another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ConfigError, ProtocolError
from ..event import Event, EventKind, RejectReason
from .call import Call, json_of
from .payload import Payload
from .proof import Proof, base64_bytes, hmac_of
from .webhook import Webhook

__all__ = ["MandrillWebhook"]

_FIELD = "mandrill_events"


class MandrillWebhook(Webhook):
    """Mandrill's events, JSON in a form, signed with HMAC-SHA1."""

    name = "mandrill"
    needs_url = True
    content_types = ("application/x-www-form-urlencoded",)
    kinds = {
        "send": EventKind.SENT,
        "deferral": EventKind.DEFERRED,
        "delivered": EventKind.DELIVERED,
        "hard_bounce": EventKind.BOUNCED,
        "soft_bounce": EventKind.BOUNCED,
        "open": EventKind.OPENED,
        "click": EventKind.CLICKED,
        "spam": EventKind.COMPLAINED,
        "unsub": EventKind.UNSUBSCRIBED,
        "reject": EventKind.REJECTED,
    }
    reasons = {  # for which an address stands on its list
        "spam": RejectReason.SPAM,
        "unsub": RejectReason.UNSUBSCRIBED,
        "hard-bounce": RejectReason.BOUNCED,
        "soft-bounce": RejectReason.BOUNCED,
        "invalid": RejectReason.INVALID,
        "custom": RejectReason.BLOCKED,
        "rule": RejectReason.BLOCKED,
    }

    def verify(self, call: Call, proof: Proof) -> None:
        """HMAC over the URL and the form's fields in the order of their names."""
        if not call.url:
            raise ConfigError(f"webhooks of {self.name} are signed over their URL: give url=, as {self.name} has it")
        shown = base64_bytes(proof.header(call, "x-mandrill-signature")) or b""
        try:
            form = call.form()
        except ProtocolError as error:
            raise proof.refused("its signature is not over its body, which is no form") from error
        signed = (call.url + "".join(name + form[name] for name in sorted(form))).encode("utf-8", "surrogatepass")
        proof.check_any([hmac_of(secret, signed, "sha1") for secret in proof.secrets], [shown])

    def call_id(self, call: Call) -> str:
        """The signature: it has no time, so that an old call is as good as a new one."""
        return call.header("x-mandrill-signature")

    def items(self, call: Call) -> Iterable[Any]:
        """A JSON list in one field of the form."""
        data = json_of(call.form().get(_FIELD, ""))
        if not isinstance(data, list):
            raise ProtocolError(f"the field {_FIELD} of the webhook's body is no JSON list")
        return data

    def event(self, item: Payload, call: Call) -> Event:
        """One of the list: about a mail, or about what changed in the account's lists, which is "unknown"."""
        word, mail = item.text("event"), item.at("msg")
        kind = self.kinds.get(word, EventKind.UNKNOWN)
        stands_on = mail.at("reject").text("reason") or item.at("reject").text("reason")
        replies = [reply for one in mail.each("smtp_events") if (reply := one.text("diag"))]
        return self.made(
            kind,
            item,
            provider_id=item.id("_id") or mail.id("_id"),
            recipient=mail.address("email") or item.at("reject").address("email"),
            time=item.time("ts"),
            reject_reason=self.reasons.get(stands_on) if kind is EventKind.REJECTED else None,
            is_hard={"hard_bounce": True, "soft_bounce": False}.get(word),
            text=mail.text("diag") or (replies[-1] if replies else "") or mail.text("bounce_description") or stands_on,
            url=item.text("url"),
            user_agent=item.text("user_agent"),
            tags=mail.texts("tags"),
            metadata=mail.mapping("metadata"),
        )
