"""SMTP2GO's webhooks: https://developers.smtp2go.com/docs/webhooks-1

It does not sign: the secret is that of basic auth in the webhook's URL, or stands in a custom header. It tells by JSON
or by a form, as the webhook is set, and repeats no metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..event import Event, EventKind
from .call import Call
from .payload import Payload, address_in
from .webhook import Webhook

__all__ = ["Smtp2GoWebhook"]

#: The credential that the mail was sent with: an API key may be it.
_CREDENTIAL = "auth"
_LISTS = ("recipients", "recipients[]")


class Smtp2GoWebhook(Webhook):
    """SMTP2GO's events, one in each call."""

    name = "smtp2go"
    content_types = ("json", "application/x-www-form-urlencoded")
    kinds = {  # where there are two words, the second is how it has been seen to write it
        "processed": EventKind.QUEUED,
        "delivered": EventKind.DELIVERED,
        "bounce": EventKind.BOUNCED,
        "reject": EventKind.REJECTED,  # bounced, complained or unsubscribed before: it does not say which
        "spam": EventKind.COMPLAINED,
        "spam_complaint": EventKind.COMPLAINED,
        "unsubscribe": EventKind.UNSUBSCRIBED,
        "unsubscribed": EventKind.UNSUBSCRIBED,
        "resubscribe": EventKind.SUBSCRIBED,
        "resubscribed": EventKind.SUBSCRIBED,
        "open": EventKind.OPENED,
        "opened": EventKind.OPENED,
        "click": EventKind.CLICKED,
        "clicked": EventKind.CLICKED,
    }

    def items(self, call: Call) -> Iterable[Any]:
        """An object, or the fields of a form, of which some stand several times."""
        if call.body.lstrip()[:1] in (b"{", b"["):
            return super().items(call)
        form: dict[str, Any] = {}
        for name, value in call.pairs():
            if name in _LISTS:
                form.setdefault(_LISTS[0], []).append(value)
            else:
                form[name] = value
        return [form]

    def read(self, item: Payload, call: Call) -> Iterator[Event]:
        """One; of a mail that is under way to several, one for each."""
        shown = Payload({key: value for key, value in item.data.items() if key != _CREDENTIAL})
        to = (item.text("rcpt"),) if item.text("rcpt") else item.texts(*_LISTS)
        for one in to or ("",):
            yield self._event(shown, one)

    def _event(self, item: Payload, to: str) -> Event:
        word = item.text("event")
        return self.made(
            word,
            item,
            provider_id=item.id("email_id"),
            event_id=item.id("id"),
            recipient=address_in(to),
            time=item.time("time"),
            is_hard={"hard": True, "soft": False}.get(item.text("bounce")) if word == "bounce" else None,
            text=item.text("message", "context"),
            url=item.text("click_url", "link", "url"),
            user_agent=item.text("user-agent"),
        )
