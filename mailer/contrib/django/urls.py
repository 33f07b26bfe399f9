"""Where providers and readers call: ``path("mail/", include("mailer.contrib.django.urls"))``.

===========================  ===========================================================================================
``mail/webhooks/postmark``   what Postmark tells; ``MAILER_WEBHOOKS`` has the secret
``mail/tracking/TOKEN``      the setting ``url`` of the plug-in ``tracking`` is ``https://shop.example.com/mail/tracking``
``mail/unsubscribe/TOKEN``   that of ``list_unsubscribe``, ``https://shop.example.com/mail/unsubscribe``
===========================  ===========================================================================================

``include("mailer.contrib.django.urls"), {"mailer": "news"}`` is for another mailer than the default one.
"""

from __future__ import annotations

from django.urls import path

from .endpoints import tracking, unsubscribe, webhooks

__all__ = ["app_name", "urlpatterns"]

app_name = "mailwright"
urlpatterns = [
    path("webhooks/<path:rest>", webhooks, name="webhooks"),
    path("tracking/<path:rest>", tracking, name="tracking"),
    path("unsubscribe/<path:rest>", unsubscribe, name="unsubscribe"),
]
