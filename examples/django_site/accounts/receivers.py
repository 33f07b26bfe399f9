"""What the app does when a provider tells of an address that is none: whoever gave it cannot log in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.dispatch import receiver

from mailer import Event, EventKind
from mailer.contrib.django.signals import event_received


@receiver(event_received)
def deactivate(event: Event, **given: Any) -> None:
    """Of a bounce that is for good."""
    if event.kind is EventKind.BOUNCED and event.is_hard and event.recipient is not None:
        User.objects.filter(email__iexact=event.recipient.addr_spec, is_staff=False).update(is_active=False)
