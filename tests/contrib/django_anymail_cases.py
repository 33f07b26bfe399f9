"""The Django messages that are sent by django-anymail's backends and by ours, a function of the provider for each."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.mime.application import MIMEApplication
from typing import Any

from anymail.message import AnymailMessage, attach_inline_image
from django.core.mail import EmailMultiAlternatives
from django.utils.functional import lazystr

__all__ = ["ALWAYS", "ANN", "BOB", "CASES", "SETTINGS", "message"]

ANN, BOB, CYD = "Ann <ann@example.org>", "bob@example.org", "Cyd <cyd@example.org>"
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


def message(
    *to: str, body: str = "Text", html: str | None = None, cls: Any = EmailMultiAlternatives, **more: Any
) -> Any:
    made = cls("Subject", body, "Shop <shop@example.com>", list(to or (ANN, BOB)))
    if html is not None:
        made.attach_alternative(html, "text/html")
    for name, value in more.items():
        setattr(made, name, value)
    return made


def attached() -> Any:
    made = message(ANN, html="<p>x</p>")
    made.attach("notes.txt", "Grüße\n", "text/plain")
    made.attach("report.pdf", b"%PDF-\x00", "application/pdf")
    part = MIMEApplication(b"zip", "zip")
    part.add_header("Content-Disposition", "attachment", filename="größe.zip")
    made.attach(part)
    return made


def inline() -> Any:
    made = message(ANN)
    cid = attach_inline_image(made, PNG, "logo.png", "png", idstring="logo")
    made.attach_alternative(f'<img src="cid:{cid}">', "text/html")
    return made


def unicode() -> Any:
    made = message(
        '"Müller, Ann" <ann@example.org>', "Bob Ж <bob@bücher.example>", body="Grüße 日本 😀\n", html="<p>日本 😀</p>"
    )
    made.subject = "Ж 日本 😀"
    made.from_email = "Läden <shop@example.com>"
    made.reply_to = ["Hélp <help@example.com>"]
    made.metadata = {"wer": "Ä"}
    made.tags = ["größe"]
    return made


def odd_files() -> Any:
    made = message(ANN, html="<p>x</p>")
    made.attach(None, b"\x00\x01", "application/octet-stream")
    made.attach("latin.txt", "caf\xe9".encode("latin-1"), "text/plain; charset=iso-8859-1")
    made.attach("data", b"{}")
    inner = message(BOB, extra_headers={"Message-ID": "<inner@example.com>", "Date": "Tue, 06 May 2031 07:08:09 +0000"})
    made.attach("inner.eml", inner, "message/rfc822")
    return made


def html_first() -> Any:
    made = message(ANN, body="<p>x</p>")
    made.content_subtype = "html"
    made.attach_alternative("x", "text/plain")
    return made


def with_amp() -> Any:
    made = message(ANN, html="<p>x</p>")
    made.attach_alternative("<html amp4email></html>", "text/x-amp-html")
    return made


def message_to(to: list[str], **more: Any) -> Any:
    made = message(**more)
    made.to = to
    return made


def template_with_more(provider: str) -> Any:
    made = message(ANN, body="", subject="", template_id=TEMPLATES.get(provider, "17"), tags=["a"], metadata={"n": "7"})
    made.reply_to = ["help@example.com"]
    made.extra_headers = {"X-A": "1"}
    made.attach("a.pdf", b"%PDF", "application/pdf")
    return made


def batch_with_everything(provider: str) -> Any:
    made = filled_in(provider, merge_data={**EACH, "eve@example.org": {"name": "Eve"}}, tags=["a"], track_opens=True)
    made.metadata = {"common": "1"}
    made.merge_metadata = {"bob@example.org": {"own": "2"}}
    made.reply_to = ["help@example.com"]
    made.attach("a.pdf", b"%PDF", "application/pdf")
    return made


EACH = {"ann@example.org": {"name": "Ann"}, "bob@example.org": {"name": "Bob"}}
#: Provider -> how a text of its customers says {name}; those that are not here fill in nothing.
INLINE = {
    "sendgrid": "-name-", "mailgun": "%recipient.name%", "mandrill": "*|NAME|*", "sparkpost": "{{name}}",
    "mailjet": "[[var:name]]", "brevo": "{{ params.name }}", "mailersend": "{{ name }}", "unisendergo": "{{name}}",
}  # fmt: skip


def filled_in(provider: str, **more: Any) -> Any:
    place = INLINE.get(provider, "{{ name }}")
    made = message(body=f"Hi {place}, bye", html=f"<p>{place}</p>", **more)
    made.subject = f"For {place}"
    return made


#: Case -> the message for a provider.
CASES: dict[str, Callable[[str], Any]] = {
    "plain": lambda _: message(),
    "html": lambda _: message(html="<p>Hi</p>"),
    "html alone": lambda _: message(ANN, body="<p>Hi</p>", content_subtype="html"),
    "html first": lambda _: html_first(),
    "anymail's own class": lambda _: message(ANN, cls=AnymailMessage, tags=["a"], metadata={"n": "7"}),
    "unicode": lambda _: unicode(),
    "cc and bcc": lambda _: message(ANN, cc=[CYD, "dee@example.org"], bcc=["eve@example.org"]),
    "reply to": lambda _: message(ANN, reply_to=["Help <help@example.com>"]),
    "headers": lambda _: message(ANN, extra_headers={"X-Order": "7", "List-Unsubscribe": "<https://x.test/u>"}),
    "lazy": lambda _: message(ANN, body=lazystr("Lazy"), subject=lazystr("Late"), metadata={"k": lazystr("v")}, tags=[lazystr("t")]),
    "attachments": lambda _: attached(),
    "inline": lambda _: inline(),
    "tags": lambda _: message(ANN, tags=["a", "b"]),
    "tag": lambda _: message(ANN, tags=["a"]),
    "metadata": lambda _: message(ANN, metadata={"order": "7", "who": "x"}),
    "numbers in metadata": lambda _: message(ANN, metadata={"order": 7}),
    "tracked": lambda _: message(ANN, html="<p>x</p>", track_opens=True, track_clicks=True),
    "untracked": lambda _: message(ANN, html="<p>x</p>", track_opens=False, track_clicks=False),
    "send_at": lambda _: message(ANN, send_at=SOON),
    "naive send_at": lambda _: message(ANN, send_at=SOON.replace(tzinfo=None)),
    "send_at in unix time": lambda _: message(ANN, send_at=int(SOON.timestamp())),
    "envelope_sender": lambda _: message(ANN, envelope_sender="b@bounce.example.com"),
    "From in headers": lambda _: message(ANN, from_email="b@bounce.example.com", extra_headers={"From": "shop@example.com"}),
    "template": lambda p: message(ANN, body="", subject="", template_id=TEMPLATES.get(p, "17"), merge_global_data={"shop": "Acme", "n": 7}),
    "template with its own From": lambda p: message(ANN, body="", subject="", from_email=None, template_id=TEMPLATES.get(p, "17")),
    "template for each": lambda p: message(body="", subject="", template_id=TEMPLATES.get(p, "17"), merge_data=EACH, merge_global_data={"shop": "Acme"}),
    "filled in for each": lambda p: filled_in(p, merge_data=EACH),
    "filled in by default": lambda p: filled_in(p, merge_data={"ann@example.org": {"name": "Ann"}}, merge_global_data={"name": "you"}),
    "each alone": lambda _: message(merge_data={}),
    "each alone, with copies": lambda _: message(merge_data={}, cc=[CYD], bcc=["eve@example.org"]),
    "metadata for each": lambda _: message(metadata={"a": "0", "b": "0"}, merge_metadata={"ann@example.org": {"a": "1"}, "bob@example.org": {"a": "2"}}),
    "headers for each": lambda _: message(merge_headers={"ann@example.org": {"List-Unsubscribe": "<https://x.test/1>"}, "bob@example.org": {"List-Unsubscribe": "<https://x.test/2>"}}),
    "other headers for each": lambda _: message(merge_headers={"ann@example.org": {"X-Row": "1"}, "bob@example.org": {"X-Row": "2"}}),
    "amp": lambda _: with_amp(),
    "several to be answered": lambda _: message(ANN, reply_to=["Help <help@example.com>", "desk@example.com"]),
    "headers of a thread": lambda _: message(ANN, extra_headers={"In-Reply-To": "<a@example.com>", "References": "<a@example.com>", "X-Number": 7}),
    "bulk": lambda _: message(ANN, extra_headers={"Precedence": "bulk", "Auto-Submitted": "auto-generated"}),
    "Message-ID and Date": lambda _: message(ANN, extra_headers={"Message-ID": "<own@example.com>", "Date": "Tue, 06 May 2031 07:08:09 +0000"}),
    "empty": lambda _: message(ANN, body=""),
    "cc alone": lambda _: message_to([], cc=[CYD]),
    "bcc alone": lambda _: message_to([], bcc=["eve@example.org"]),
    "odd files": lambda _: odd_files(),
    "names with specials": lambda _: message('"Lee, Ann (Ms)" <ann@example.org>', from_email='"Shop, The" <shop@example.com>', reply_to=['"Help; Desk" <help@example.com>']),
    "template with more": lambda p: template_with_more(p),
    "template with structured data": lambda p: message(ANN, body="", subject="", template_id=TEMPLATES.get(p, "17"), merge_data={"ann@example.org": {"items": [{"name": "x", "n": 1}], "total": 1.5}}),
    "batch with everything": lambda p: batch_with_everything(p),
    "esp_extra": lambda p: message(ANN, esp_extra=EXTRAS[p]),
    "defaults": lambda _: message(ANN, tags=["own"], metadata={"env": "test"}),
    "one is refused": lambda _: message(ANN, "gone@example.org"),
    "all are refused": lambda _: message("gone@example.org"),
}  # fmt: skip
TEMPLATES = {"sendgrid": "d-17"}
EXTRAS: dict[str, dict[str, Any]] = {
    "postmark": {"MessageStream": "news"},
    "sendgrid": {"asm": {"group_id": 7}, "ip_pool_name": "p"},
    "mailgun": {"sender_domain": "mg.example.com", "o:dkim": "yes"},
    "mandrill": {"ip_pool": "p", "message": {"subaccount": "s", "important": True}},
    "sparkpost": {"options": {"transactional": True}, "description": "d"},
    "mailjet": {"Globals": {"URLTags": "a=b"}},
    "brevo": {"sender": {"email": "other@example.com"}},
    "resend": {"topic_id": "t"},
    "mailersend": {"settings": {"track_content": True}, "in_reply_to": "<a@example.com>"},
    "mailtrap": {"headers": {"X-A": "1"}},
    "scaleway": {"send_before": "2031-01-01T00:00:00Z"},
    "unisendergo": {"skip_unsubscribe": 1},
    "postal": {"bounce": False},
}
# A stored template of SparkPost has its own From: django-anymail takes another than the app's default for a mistake.
ALWAYS = {"ANYMAIL_SENDGRID_MERGE_FIELD_FORMAT": "-{}-", "DEFAULT_FROM_EMAIL": "Shop <shop@example.com>"}
SETTINGS = {
    "defaults": {
        "ANYMAIL": {
            "SEND_DEFAULTS": {"tags": ["all"], "metadata": {"app": "shop", "env": "live"}, "track_clicks": True}
        }
    }
}
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
