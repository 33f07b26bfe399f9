"""Webhooks: what providers tell after they took a mail, checked and in one form.

:func:`parse` is pure: it reads no clock if it is given ``now``, and opens no connection.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ..clock import utc_now
from ..errors import ConfigError
from ..event import Event, EventKind, RejectReason
from ..redaction import forgets_arguments
from .call import MAX_BODY_BYTES, Call, Headers
from .proof import Proof
from .webhook import Webhook

if TYPE_CHECKING:
    from .app import AsgiWebhooks, WsgiWebhooks

__all__ = [
    "MAX_BODY_BYTES",
    "PROVIDERS",
    "TOLERANCE_S",
    "AsgiWebhooks",
    "Event",
    "EventKind",
    "RejectReason",
    "Webhook",
    "WsgiWebhooks",
    "certificate_url",
    "parse",
    "webhook_of",
]

#: Provider -> the file of this package, and the class in it.
PROVIDERS = {
    "sendgrid": ("sendgrid", "SendGridWebhook"),
    "mailgun": ("mailgun", "MailgunWebhook"),
    "postmark": ("postmark", "PostmarkWebhook"),
    "resend": ("resend", "ResendWebhook"),
    "brevo": ("brevo", "BrevoWebhook"),
    "sparkpost": ("sparkpost", "SparkPostWebhook"),
    "mailjet": ("mailjet", "MailjetWebhook"),
    "mandrill": ("mandrill", "MandrillWebhook"),
    "ses": ("ses", "SesWebhook"),
    "mailersend": ("mailersend", "MailerSendWebhook"),
    "netcore": ("netcore", "NetcoreWebhook"),
    "pepipost": ("netcore", "PepipostWebhook"),
    "mailtrap": ("mailtrap", "MailtrapWebhook"),
    "scaleway": ("scaleway", "ScalewayWebhook"),
    "unisendergo": ("unisender_go", "UnisenderGoWebhook"),
    "unione": ("unisender_go", "UniOneWebhook"),
    "postal": ("postal", "PostalWebhook"),
    "smtp2go": ("smtp2go", "Smtp2GoWebhook"),
    "zeptomail": ("zeptomail", "ZeptoMailWebhook"),
    "azure": ("azure", "AzureWebhook"),
    "http+json": ("http_json", "HttpJsonWebhook"),
    "https+json": ("http_json", "HttpsJsonWebhook"),
}

#: How old a signature may be, and how far ahead, in seconds: what Svix and Stripe chose.
TOLERANCE_S = 300.0


@forgets_arguments
def parse(
    provider: str | Webhook,
    headers: Headers,
    body: bytes | str,
    secret: str | Sequence[str],
    *,
    url: str = "",
    now: datetime | None = None,
    tolerance_s: float = TOLERANCE_S,
    certificates: Mapping[str, bytes] | None = None,
    max_bytes: int = MAX_BODY_BYTES,
) -> list[Event]:
    """The events that a call to a webhook tells. The signature is checked before anything is read.

    Args:
        provider: Its name, as in its URL, or a :class:`Webhook` of your own.
        headers: As they came, in any case.
        body: As it came, undecoded: the signature is over these octets.
        secret: The signing key of the provider's settings; for a provider that does not sign, a secret of your own that
            it sends with each call, "user:password" of basic auth or a token in the URL; for SES the ARN of the topic.
            Of several any one will do.
        url: The URL that the provider was given, as it was given: where the signature is over it (Mandrill), or the
            secret is in it.
        now: The time, with a time zone; None is the clock's.
        tolerance_s: How far from it a signature's time may lie, in seconds. What the provider tells again after an
            outage is signed anew.
        certificates: URL to certificate in PEM, where the provider signs by one (SES): see :func:`certificate_url`.
        max_bytes: The longest body that is read.

    Returns:
        In the order of the body; none for what is about no mail. What is new at the provider has the kind "unknown".

    Raises:
        ConfigError: There is no such provider, or the secret is empty or not of the form that the provider's has.
        AuthError: The call is not from the provider, or an old one sent again: answer 403.
        ProtocolError: The body is too large, or is not what the provider documents: answer 400.
    """
    webhook = webhook_of(provider)
    call = Call.of(headers, body, url, max_bytes=max_bytes)
    proof = Proof.of(webhook.name, secret, now or utc_now(), tolerance_s, certificates)
    webhook.verify(call, proof)
    return webhook.events(call)


def certificate_url(
    provider: str | Webhook, headers: Headers, body: bytes | str, *, max_bytes: int = MAX_BODY_BYTES
) -> str | None:
    """Where the certificate lies that a call is signed by; None if it needs none, or names none that may be trusted.

    A host of the provider's own, over https: safe to fetch, before the call is verified, if redirects are not followed.
    What was fetched may be kept for months: a provider that changes its certificate changes the URL.

    Raises:
        ConfigError: There is no such provider.
        ProtocolError: The body is too large.
    """
    return webhook_of(provider).certificate_url(Call.of(headers, body, max_bytes=max_bytes))


def webhook_of(provider: str | Webhook) -> Webhook:
    """The webhook of that name.

    Raises:
        ConfigError: There is none.
    """
    if isinstance(provider, Webhook):
        return provider
    entry = PROVIDERS.get(provider) if isinstance(provider, str) else None
    if entry is None:
        near = difflib.get_close_matches(str(provider), PROVIDERS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PROVIDERS)}"
        raise ConfigError(f"there are no webhooks of {str(provider)[:80]!r}; {hint}")
    module, name = entry
    made: Webhook = getattr(importlib.import_module(f"{__name__}.{module}"), name)()
    return made


def __getattr__(name: str) -> object:
    """The apps, loaded when they are first used: to parse needs no mailer."""
    if name not in ("AsgiWebhooks", "WsgiWebhooks"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.app"), name)
