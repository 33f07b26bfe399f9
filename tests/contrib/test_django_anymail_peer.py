"""One Django message by django-anymail's backends and by ours, to the same fakes of thirteen providers.

What the provider would deliver (:mod:`delivered`) and what is said of each recipient is the same, or the difference
has a reason (:mod:`django_anymail_reasons`), and each reason a difference.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import pkgutil
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from delivered import copies_of
from django.core import mail
from django.utils.functional import lazystr
from test_django_anymail import ATTRIBUTES, configured, sent

from mailer import DeliveryRefused, MailerError
from mailer.contrib.django import EmailBackend
from mailer.relay import PROVIDERS
from mailer.testing import FakeRelay

pytest.importorskip("anymail", reason="django-anymail, of the extra test, is not installed")
from anymail import backends
from anymail.exceptions import AnymailCancelSend, AnymailError, AnymailRecipientsRefused
from anymail.signals import post_send, pre_send
from anymail.utils import UNSET
from django_anymail_cases import ALWAYS, ANN, CASES, SETTINGS, message
from django_anymail_reasons import REASONS, Reason

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
