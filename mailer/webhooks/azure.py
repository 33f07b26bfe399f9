"""Azure Communication Email's events, by Event Grid: https://learn.microsoft.com/azure/event-grid/communication-services-email-events

It does not sign: the secret stands in the webhook's URL. The first call asks whether we want to be told: its answer is
the code that it has, see :meth:`AzureWebhook.reply`, which the apps send; who parses himself finds it in an "unknown"
event. Nothing is fetched. It repeats no metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..event import Event, EventKind, RejectReason
from .call import Call
from .payload import Payload, is_address_at_fault
from .webhook import Webhook

__all__ = ["AzureWebhook"]

_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_DELIVERY = "Microsoft.Communication.EmailDeliveryReportReceived"
_ENGAGEMENT = "Microsoft.Communication.EmailEngagementTrackingReportReceived"
#: The name of a system.
_ORIGIN = re.compile(r"[A-Za-z0-9.-]{1,255}", re.ASCII)


class AzureWebhook(Webhook):
    """Azure's events, in a list, in the schema of Event Grid or that of CloudEvents."""

    name = "azure"
    kinds = {  # by status, or by what the recipient did
        "Delivered": EventKind.DELIVERED,
        "Expanded": EventKind.SENT,  # to those of a list
        "Bounced": EventKind.BOUNCED,
        "Suppressed": EventKind.REJECTED,
        "Quarantined": EventKind.REJECTED,
        "FilteredSpam": EventKind.REJECTED,
        "Failed": EventKind.FAILED,
        "view": EventKind.OPENED,
        "click": EventKind.CLICKED,
    }
    reasons = {
        "Suppressed": RejectReason.BOUNCED,
        "Quarantined": RejectReason.SPAM,
        "FilteredSpam": RejectReason.SPAM,
    }

    def reply(self, call: Call) -> Any:
        """``{"validationResponse": "<code>"}`` to the call that asks for it."""
        items = call.json()
        for item in map(Payload, items if isinstance(items, list) else [items]):
            if item.text("eventType") == _VALIDATION and (code := item.at("data").id("validationCode")):
                return {"validationResponse": code}
        return None

    def permission(self, call: Call) -> Mapping[str, str]:
        """Before events of CloudEvents: https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md"""
        origin = call.header("webhook-request-origin")
        if not _ORIGIN.fullmatch(origin):
            return {}
        return {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}

    def event(self, item: Payload, call: Call) -> Event:
        """One of the list."""
        told, data = item.text("eventType", "type"), item.at("data")
        word = ""
        if told == _DELIVERY:
            word = data.text("status")
        elif told == _ENGAGEMENT:
            word = data.text("engagementType", "engagement").lower()
        kind = self.kinds.get(word, EventKind.UNKNOWN)
        text = data.at("deliveryStatusDetails").text("statusMessage") or data.text("deliveryStatusDetails")
        clicked = data.text("engagementContext") if kind is EventKind.CLICKED else ""
        return self.made(
            kind,
            item,
            provider_id=data.id("messageId"),
            event_id=item.id("id"),
            recipient=data.address("recipient"),
            time=data.time("deliveryAttemptTimeStamp", "userActionTimeStamp") or item.time("eventTime", "time"),
            reject_reason=self.reasons.get(word),
            is_hard=is_address_at_fault(text) is not False if kind is EventKind.BOUNCED else None,
            text=text,
            url=clicked,
            user_agent=data.text("userAgent"),
        )
