"""One Django message by django-anymail's backends and by ours, to the same fakes of thirteen providers.

What the provider would deliver (:mod:`delivered`) and what is said of each recipient is the same, or the difference
has a reason below, and each reason a difference.
"""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import functools
import importlib
import itertools
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.mime.application import MIMEApplication
from typing import Any, NamedTuple

import pytest
from delivered import copies_of
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.utils.functional import lazystr
from test_django_anymail import ATTRIBUTES, configured, sent

from mailer import DeliveryRefused, MailerError
from mailer.contrib.django import EmailBackend
from mailer.relay import PROVIDERS
from mailer.testing import FakeRelay

pytest.importorskip("anymail", reason="django-anymail, of the extra test, is not installed")
from anymail import backends
from anymail.exceptions import AnymailCancelSend, AnymailError, AnymailRecipientsRefused
from anymail.message import AnymailMessage, attach_inline_image
from anymail.signals import post_send, pre_send
from anymail.utils import UNSET

ANN, BOB, CYD = "Ann <ann@example.org>", "bob@example.org", "Cyd <cyd@example.org>"
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"
PROJECT = "11111111-2222-3333-4444-555555555555"

#: Scheme -> its module, the path of its API, its settings.
PEERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "postmark": ("postmark", "/", {"server_token": "TOKEN"}),
    "sendgrid": ("sendgrid", "/v3/", {"api_key": "TOKEN"}),
    "mailgun": ("mailgun", "/v3/", {"api_key": "TOKEN"}),
    "mandrill": ("mandrill", "/api/1.0/", {"api_key": "TOKEN"}),
    "sparkpost": ("sparkpost", "/api/v1/", {"api_key": "TOKEN"}),
    "mailjet": ("mailjet", "/v3.1/", {"api_key": "KEY", "secret_key": "TOKEN"}),
    "brevo": ("brevo", "/v3/", {"api_key": "TOKEN"}),
    "resend": ("resend", "/", {"api_key": "TOKEN"}),
    "mailersend": ("mailersend", "/v1/", {"api_token": "TOKEN", "batch_send_mode": "use-bulk-email"}),
    "mailtrap": ("mailtrap", "/api/", {"api_token": "TOKEN"}),
    "scaleway": (
        "scaleway",
        "/transactional-email/v1alpha1/regions/fr-par/",
        {"secret_key": "TOKEN", "project_id": PROJECT},
    ),
    "unisendergo": ("unisender_go", "/ru/transactional/api/v1/", {"api_key": "TOKEN"}),
    "postal": ("postal", "/", {"api_key": "TOKEN"}),
}
# Amazon SES is left out: django-anymail asks it by boto3, which the test extra does not bring.

# --- the messages -----------------------------------------------------------------------------------------------------


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
SOON = datetime.now(UTC).replace(microsecond=0, hour=12)

# --- both -------------------------------------------------------------------------------------------------------------


class Done(NamedTuple):
    """What came of it: the copies, or the class of error that kept it back; each recipient's outcome."""

    copies: dict[str, list[dict[str, Any]]] | str
    outcomes: dict[str, str]


_OUTCOME = {
    "sent": "accepted",
    "queued": "accepted",
    "rejected": "rejected",
    "invalid": "rejected",
    "failed": "rejected",
    "unknown": "unknown",
}


def _done(provider: str, relay: FakeRelay, backend: Any, one: Any) -> Done:
    relay.requests.clear()
    error: Exception | None = None
    try:
        backend.send_messages([one])
    except (AnymailError, MailerError) as raised:
        error = raised
    except (KeyError, AttributeError) as raised:  # theirs, which the table names
        error = raised
    posts = [request for request in relay.requests if request.method == "POST"]
    status = getattr(one, "anymail_status", None)
    if not posts:
        return Done(type(error).__name__, {})
    if error is not None:
        return Done(copies_of(provider, posts), {"": "raised"})
    return Done(copies_of(provider, posts), {_ascii(to): _OUTCOME[its.status] for to, its in status.recipients.items()})


def _ascii(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


@functools.cache
def found() -> dict[tuple[str, str, str], tuple[Any, Any]]:
    """Every difference there is: provider, case and path -> what each has."""
    all_: dict[tuple[str, str, str], tuple[Any, Any]] = {}
    with warnings.catch_warnings(), configured():
        warnings.simplefilter("ignore")  # it has dropped SendGrid, and says so
        for provider, (module, path, keywords) in PEERS.items():
            with FakeRelay(provider) as relay:
                relay.refuse("gone@example.org")
                peer_class = importlib.import_module(f"anymail.backends.{module}").EmailBackend
                ours = EmailBackend(url=relay.url)
                for case, make in CASES.items():
                    with configured(**ALWAYS, **SETTINGS.get(case, {})):
                        theirs = peer_class(**keywords, api_url=relay.base + path)
                        one = make(provider)
                        a, b = _done(provider, relay, ours, one), _done(provider, relay, theirs, one)
                    all_ |= {(provider, case, where): pair for where, pair in _differing(a, b)}
                ours.close()
    return all_


def _differing(ours: Done, theirs: Done) -> Iterator[tuple[str, tuple[Any, Any]]]:
    if isinstance(ours.copies, str) or isinstance(theirs.copies, str):
        if not (isinstance(ours.copies, str) and isinstance(theirs.copies, str)):
            word = ours.copies if isinstance(ours.copies, str) else theirs.copies
            yield ("refused by us" if isinstance(ours.copies, str) else "refused by them"), (word, None)
        return
    if ours.outcomes != theirs.outcomes:
        yield "outcomes", (ours.outcomes, theirs.outcomes)
    for address in sorted({*ours.copies, *theirs.copies}):
        a, b = ours.copies.get(address, []), theirs.copies.get(address, [])
        if len(a) != len(b):
            yield "copies", (len(a), len(b))
        for one, other in zip(a, b, strict=False):
            for key in {*one, *other}:
                if one.get(key) != other.get(key):
                    yield key, (one.get(key), other.get(key))


class Reason(NamedTuple):
    """Why the two differ: in which providers and cases (patterns), and where."""

    providers: str
    cases: str
    where: str
    why: str


WE, THEY = "refused by us", "refused by them"
REASONS: list[Reason] = [
    # --- what a mail is complete without is left out with a note on the receipt; unsupported=error makes it strict ---
    Reason("postmark|sparkpost|mailjet|mailtrap|postal", "tags|defaults", THEY, "one tag there: the first is carried"),
    Reason("brevo|resend|mailtrap|scaleway|postal", "(un)?tracked|defaults", THEY, "it takes no word on tracking"),
    Reason("mailersend|postal", "(numbers in )?metadata|anymail's own class|unicode|lazy", THEY, "it has no metadata"),
    Reason("mailersend", "metadata for each|defaults", THEY, "it has no metadata"),
    Reason("brevo|resend|mailtrap", "batch with everything", THEY, "it takes no word on tracking"),
    Reason("mailersend", "template with more|batch with everything", THEY, "it has no metadata"),
    Reason(
        ".*",
        "Message-ID and Date",
        "headers",
        "the provider writes both; as headers they stand beside its own, so they are left out with a note",
    ),
    # --- a batch ---
    Reason(
        "postmark|resend|scaleway|postal",
        "filled in.*|batch with everything",
        THEY,
        "texts are filled in here, whoever carries them",
    ),
    Reason(
        "mailtrap",
        "filled in.*",
        "subject|text|html|variables",
        "it fills in nothing without a template, and sends '{{ name }}'; ours are filled in here",
    ),
    Reason(
        "scaleway|postal",
        "each alone.*|metadata for each|(other )?headers for each",
        THEY,
        "it has no batch: a request for each",
    ),
    Reason("mandrill", "(other )?headers for each", THEY, "a request for each"),
    Reason("unisendergo", "other headers for each", THEY, "a request for each"),
    Reason("unisendergo", "each alone, with copies", THEY, "a request for each"),
    Reason(
        "mandrill",
        "each alone, with copies",
        "to|cc|copies",
        "Cc and Bcc get a copy of each mail, as everywhere; theirs one alone, and shown as To",
    ),
    Reason("mailgun", "batch with everything", "metadata", "who has no such entry has none; theirs is empty for him"),
    # --- recipients, files ---
    Reason(
        "postmark|mailgun|mandrill|sparkpost|brevo|resend|mailersend|mailtrap|scaleway|unisendergo|postal",
        "cc alone|bcc alone",
        "to|cc",
        "an API that wants somebody in To has him there; none sees another",
    ),
    Reason("postmark|mailgun", "cc alone|bcc alone", "outcomes", "without a To the provider refuses it"),
    Reason(
        "sendgrid|mailjet",
        "cc alone|bcc alone",
        THEY,
        "they are put in To, as elsewhere; SendGrid's fails with KeyError",
    ),
    Reason(
        "postmark|sendgrid|mandrill|sparkpost|brevo|mailersend|scaleway|unisendergo|postal",
        "odd files",
        "attachments",
        "a file without a name is 'attachment'; its API may want one",
    ),
    Reason("resend", "odd files", THEY, "theirs fears for names without an ending"),
    Reason("sendgrid|mailtrap|postal", "empty", "text", "a text is needed: an empty line"),
    # --- one provider ---
    Reason(
        "postmark|mandrill|unisendergo|resend", "numbers in metadata", "metadata", "its values are texts by the API"
    ),
    Reason(
        "mailgun",
        "template.*",
        "metadata|variables",
        "a template's variables have a field of their own, and do not show in metadata",
    ),
    Reason(
        "postmark|sendgrid|mailtrap", "template with its own From", "from", "its API requires one: the app's default"
    ),
    Reason(
        "mailgun",
        "template with its own From",
        THEY,
        "its API requires one, and a domain to send from: the app's default",
    ),
    Reason("sparkpost", "headers|headers for each", WE, "it writes List-Unsubscribe itself and says nothing of ours"),
    Reason("brevo", "unicode", THEY, "django-anymail fears for names there; its API takes Unicode"),
    Reason("brevo", "esp_extra", "from", "mappings are laid over within: From keeps its name"),
    Reason(
        "resend",
        "tags?|anymail's own class|unicode|lazy",
        "tags|metadata",
        "its own tags, which its events give back, not a header for the recipient to see",
    ),
    Reason("resend", "template.*", THEY, "Resend has stored templates by now"),
    Reason(
        "mailersend",
        "headers|headers of a thread",
        "headers|options",
        "List-Unsubscribe and References have fields of their own",
    ),
    Reason(
        "mailtrap", "template with more", "tags", "documented as not to stand beside a template; left out with a note"
    ),
    Reason("mailersend", "(other )?headers for each", THEY, "a request for each"),
    Reason(
        "scaleway",
        "tags?|(numbers in )?metadata|anymail's own class|unicode|lazy",
        "headers",
        "it has none: a header would be seen by the recipient",
    ),
    # --- what is said of recipients ---
    Reason("mandrill", ".*send_at.*", "outcomes", "theirs does not know the answer 'scheduled'"),
    Reason(
        "sparkpost",
        "each alone, with copies|one is refused",
        "outcomes",
        "theirs knows only how many were refused, and counts copies as none of its recipients",
    ),
    Reason(
        "mailjet",
        "unicode",
        "outcomes",
        "theirs looks for the domain as it was written, and takes an accepted recipient for a failed one",
    ),
    Reason(
        "mailjet", "one is refused", "outcomes|copies", "who is at fault is refused alone, and the others are sent to"
    ),
    Reason(
        "mailjet", "all are refused", "outcomes", "nobody accepted is an error; theirs says 'failed' and raises nothing"
    ),
    Reason(
        "mailersend",
        "template for each|template with structured data|filled in.*|each alone.*",
        "outcomes",
        "theirs asks for a batch, which gives no word of any; ours for each",
    ),
]


def _explains(reason: Reason, provider: str, case: str, where: str) -> bool:
    return all(
        re.fullmatch(pattern, said)
        for pattern, said in ((reason.providers, provider), (reason.cases, case), (reason.where, where))
    )


def test_every_provider_of_both_is_compared() -> None:
    modules = {module.name for module in pkgutil.iter_modules(backends.__path__)}
    no_provider = {"base", "base_requests", "console", "test", "sendinblue"}  # the last is Brevo's old name
    assert {module for module, _, _ in PEERS.values()} == modules - no_provider - {"amazon_ses"}
    assert set(PEERS) <= set(PROVIDERS)


def test_every_difference_has_a_reason() -> None:
    left = [
        f"{provider}, {case}: {where}: {str(a)[:150]} | {str(b)[:150]}"
        for (provider, case, where), (a, b) in found().items()
        if not any(_explains(reason, provider, case, where) for reason in REASONS)
    ]
    assert not left, "\n" + "\n".join(left)


def test_every_reason_has_a_difference() -> None:
    """A row that explains nothing is out of date; one for several providers is for each of them."""
    idle = [
        (name, reason)
        for reason in REASONS
        for name in (PEERS if reason.providers == ".*" else reason.providers.split("|"))
        if not any(provider == name and _explains(reason, provider, case, where) for provider, case, where in found())
    ]
    assert not idle, idle


def test_most_is_the_same() -> None:
    """Or a table with a reason for everything would pass."""
    differing = {(provider, case) for provider, case, _ in found()}
    assert len(PEERS) * len(CASES) > 450
    assert len(differing) < 0.3 * len(PEERS) * len(CASES)


def test_a_changed_message_would_be_seen() -> None:
    """The reading itself: whatever is changed in a message, the copies differ."""
    changes: list[dict[str, Any]] = [
        {"subject": "Other"},
        {"body": "Other"},
        {"html": "<p>Other</p>"},
        {"from_email": "Shop <other@example.com>"},
        {"reply_to": ["other@example.com"]},
        {"extra_headers": {"X-A": "2"}},
        {"attachments": [("a.txt", b"other", "text/plain")]},
        {"attachments": [("b.txt", b"a", "text/plain")]},
        {"cc": ["Cyd <cyd@example.org>"]},
        {"to": ["Anna <ann@example.org>"]},
    ]
    base: dict[str, Any] = {
        "html": "<p>x</p>",
        "reply_to": ["help@example.com"],
        "extra_headers": {"X-A": "1"},
        "attachments": [("a.txt", b"a", "text/plain")],
    }
    with configured():
        for provider in PEERS:
            with FakeRelay(provider) as relay:
                backend = EmailBackend(url=relay.url)
                seen = []
                for change in ({}, *changes):
                    relay.requests.clear()
                    backend.send_messages([message(ANN, **{**base, **change})])
                    seen.append(copies_of(provider, relay.requests))
                backend.close()
            assert all(copies != seen[0] for copies in seen[1:]), provider


# --- what an attribute means, by its own backend for tests ------------------------------------------------------------

_NOTHING = object()
#: Attribute -> a default, and a message's own value.
VALUES: dict[str, tuple[Any, Any]] = {
    "subject": ("Default", "Own"),
    "cc": (["archive@example.com"], ["cyd@example.org"]),
    "bcc": (["archive@example.com"], ["eve@example.org"]),
    "reply_to": (["desk@example.com"], ["help@example.com"]),
    "extra_headers": ({"X-A": "1", "X-B": "1"}, {"X-B": "2"}),
    "envelope_sender": ("a@bounce.example.com", "B <b@bounce.example.com>"),
    "metadata": ({"a": "1", "b": {"x": "1", "y": "1"}}, {"b": {"y": "2"}, "c": lazystr("3")}),
    "send_at": (datetime(2031, 5, 6, 7, tzinfo=UTC), datetime(2031, 5, 6, 8)),
    "tags": (["a"], [lazystr("b"), "c"]),
    "track_clicks": (True, False),
    "track_opens": (False, True),
    "template_id": ("default", lazystr("own")),
    "merge_data": ({"ann@example.org": {"a": 1, "b": 1}}, {"ann@example.org": {"b": 2}, "bob@example.org": {"c": [3]}}),
    "merge_global_data": ({"a": {"x": 1}}, {"a": {"y": 2}, "b": lazystr("3")}),
    "merge_metadata": ({"ann@example.org": {"a": "1"}}, {"ann@example.org": {"a": "2"}, "bob@example.org": {}}),
    "merge_headers": ({"ann@example.org": {"X-A": "1"}}, {"bob@example.org": {"X-A": "2"}}),
    "esp_extra": ({"e": {"a": 1, "b": 1}, "f": 1}, {"e": {"b": 2}}),
}


def test_attributes_and_defaults_are_read_as_its_own_test_backend_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("anymail.backends.test")
    monkeypatch.setattr(mail, "outbox", [], raising=False)  # it keeps them there, for everybody
    seen = 0
    for name, (default, value) in VALUES.items():
        for given, own in itertools.product((_NOTHING, None, default), (_NOTHING, UNSET, None, value)):
            if name in ("cc", "bcc") and own is None:
                continue  # Django itself fails there
            if name == "subject" and (given is None or own is None):
                continue  # no subject and an empty one are the same to us
            if own is UNSET and name not in ATTRIBUTES:
                continue
            if name == "merge_headers" and own is None:
                continue  # it takes that for a batch, and its providers' backends fail
            with configured(**({} if given is _NOTHING else {"ANYMAIL": {"SEND_DEFAULTS": {name: given}}})):
                body = "" if name == "template_id" else "Text"
                one = message(body=body, **({} if own is _NOTHING else {name: own}))
                module.EmailBackend().send_messages([one])
                ours = [_said(each) for each in sent(one)]
            theirs = _copies(one.anymail_test_params)
            assert ours == theirs, (name, given, own)
            seen += 1
    assert seen > 150


def _said(ours: Any) -> dict[str, Any]:
    """One of our messages in its words."""
    return {
        "to": _addresses(ours.to),
        "cc": _addresses(ours.cc),
        "bcc": _addresses(ours.bcc),
        "reply_to": _addresses(ours.reply_to),
        "subject": ours.subject,
        "text": ours.text or "",
        "headers": {key.lower(): value for key, value in ours.headers},
        "sender": None if ours.return_path is None else ours.return_path.addr_spec,
        "metadata": ours.metadata,
        "send_at": ours.send_at,
        "tags": list(ours.tags),
        "flags": (ours.track_clicks, ours.track_opens),
        "template": ours.provider_template,
        "context": ours.context if ours.provider_template else {},
        "extra": ours.provider_options,
    }


def _copies(params: dict[str, Any]) -> list[dict[str, Any]]:
    """Its parameters as what each recipient of To gets, if that is a batch."""
    known = {"from", "is_batch_send", "html_body", "text_body"}
    template = params.get("template_id")
    common = {
        "to": _addresses(params["to"]),
        "cc": _addresses(params.get("cc", ())),
        "bcc": _addresses(params.get("bcc", ())),
        "reply_to": _addresses(params.get("reply_to", ())),
        "subject": params["subject"],
        "text": params["text_body"],
        "headers": {key.lower(): value for key, value in params.get("extra_headers", {}).items()},
        "sender": params.get("envelope_sender"),
        "metadata": params.get("metadata", {}),
        "send_at": params.get("send_at"),
        "tags": params.get("tags", []),
        "flags": (params.get("track_clicks"), params.get("track_opens")),
        "template": template,
        "context": params.get("merge_global_data", {}) if template else {},
    }
    known |= {*common, *VALUES, "extra_headers"}
    common["extra"] = {key: value for key, value in params.items() if key not in known}
    if not params["is_batch_send"]:
        return [common]
    copies = []
    for address in params["to"]:
        own = {
            name: (params.get(f"merge_{name}") or {}).get(address.addr_spec, {})
            for name in ("data", "metadata", "headers")
        }
        copies.append({
            **common,
            "to": _addresses([address]),
            "context": {**common["context"], **own["data"]} if template else {},
            "metadata": {**common["metadata"], **own["metadata"]},
            "headers": {**common["headers"], **{key.lower(): value for key, value in own["headers"].items()}},
        })  # fmt: skip
    return copies


def _addresses(given: Any) -> list[str]:
    return [str(address) for address in given]


# --- its signals ------------------------------------------------------------------------------------------------------


def test_receivers_of_its_signals_are_called_as_by_its_own_backend() -> None:
    def before(sender: Any, message: Any, esp_name: str, **_: Any) -> None:
        calls.append(("before", esp_name, message.subject))
        if "spam" in message.subject:
            raise AnymailCancelSend
        message.subject = message.subject.upper()
        if message.subject == "TO NOBODY":
            message.to = []

    def after(sender: Any, message: Any, status: Any, esp_name: str, **_: Any) -> None:
        calls.append(("after", esp_name, message.subject, sorted(status.status), sorted(status.recipients)))

    calls: list[Any] = []
    with FakeRelay("mandrill") as relay, configured():
        relay.refuse("gone@example.org")
        module = importlib.import_module("anymail.backends.mandrill")
        both = [EmailBackend(url=relay.url), module.EmailBackend(api_key="TOKEN", api_url=relay.base + "/api/1.0/")]
        said = []
        pre_send.connect(before)
        post_send.connect(after)
        try:
            for backend in both:
                calls.clear()
                relay.requests.clear()
                messages = [message(ANN, subject=name) for name in ("first", "spam", "to nobody")]
                count = backend.send_messages(messages)
                with pytest.raises((DeliveryRefused, AnymailRecipientsRefused)):
                    backend.send_messages([message("gone@example.org", subject="last")])
                said.append((count, list(calls), [r.json["message"]["subject"] for r in relay.requests]))
        finally:
            pre_send.disconnect(before)
            post_send.disconnect(after)
        both[0].close()
    assert said[0] == said[1]
    assert said[0][2] == ["FIRST", "LAST"]
    assert len(said[0][1]) == 6
