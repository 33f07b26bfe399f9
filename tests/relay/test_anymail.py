"""Thirteen providers beside django-anymail: the same message is the same request, or the difference has a reason.

Ours is the pure request; its backend sends by ``requests``, whose adapter keeps what it is given. Nothing is connected.
"""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import functools
import itertools
import re
import warnings
from collections.abc import Iterator, Sequence
from email.utils import formataddr, getaddresses
from typing import Any

import pytest
from relay_cases import CASES, WHEN, mail_of, message_of

from mailer import Attachment, Mail, Message, MessageError
from mailer.backends import relay as relay_backend
from mailer.backends.parcel import Parcel
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url

pytest.importorskip("anymail", reason="django-anymail, of the extra test, is not installed")
from anymail.exceptions import AnymailUnsupportedFeature
from anymail_peer import Asked, asked_of, configured, differences, peer_asks, peer_message
from anymail_reasons import REASONS, THEY, WE, explains

TOKEN = "T0ken-7"
PROJECT = "11111111-2222-3333-4444-555555555555"
UNISENDER = "https://go1.unisender.ru/ru/transactional/api/v1/"
#: Scheme -> our URL, its module, its settings.
PEERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "postmark": (f"postmark://{TOKEN}@default", "postmark", {"server_token": TOKEN}),
    "sendgrid": (f"sendgrid://{TOKEN}@default", "sendgrid", {"api_key": TOKEN}),
    "resend": (f"resend://{TOKEN}@default", "resend", {"api_key": TOKEN}),
    "brevo": (f"brevo://{TOKEN}@default", "brevo", {"api_key": TOKEN}),
    "mailgun": (f"mailgun://{TOKEN}@default", "mailgun", {"api_key": TOKEN}),
    "mandrill": (f"mandrill://{TOKEN}@default", "mandrill", {"api_key": TOKEN}),
    "sparkpost": (f"sparkpost://{TOKEN}@default?subaccount=7", "sparkpost", {"api_key": TOKEN, "subaccount": "7"}),
    "mailjet": (f"mailjet://KEY:{TOKEN}@default", "mailjet", {"api_key": "KEY", "secret_key": TOKEN}),
    "mailersend": (f"mailersend://{TOKEN}@default", "mailersend", {"api_token": TOKEN}),
    "mailtrap": (f"mailtrap://{TOKEN}@default", "mailtrap", {"api_token": TOKEN}),
    "scaleway": (f"scaleway://{TOKEN}@default?project={PROJECT}", "scaleway", {"secret_key": TOKEN, "project_id": PROJECT}),
    "unisendergo": (f"unisendergo://{TOKEN}@default", "unisender_go", {"api_key": TOKEN, "api_url": UNISENDER}),
    "postal": (f"postal://{TOKEN}@postal.example.com", "postal", {"api_key": TOKEN, "api_url": "https://postal.example.com/"}),
}  # fmt: skip

#: The same with their options: provider and option -> as above.
OPTIONS: dict[str, tuple[str, str, dict[str, str]]] = {
    "postmark stream": (f"postmark://{TOKEN}@default?stream=news", "postmark", {"server_token": TOKEN, "message_stream": "news"}),
    "mailgun domain": (f"mailgun://{TOKEN}@default?domain=mg.test", "mailgun", {"api_key": TOKEN, "sender_domain": "mg.test"}),
    "mailgun eu": (f"mailgun://{TOKEN}@eu", "mailgun", {"api_key": TOKEN, "api_url": "https://api.eu.mailgun.net/v3"}),
    "sendgrid eu": (f"sendgrid://{TOKEN}@eu", "sendgrid", {"api_key": TOKEN, "api_url": "https://api.eu.sendgrid.com/v3/"}),
    "sparkpost eu": (f"sparkpost://{TOKEN}@eu", "sparkpost", {"api_key": TOKEN, "api_url": "https://api.eu.sparkpost.com/api/v1"}),
    "mailjet us": (f"mailjet://KEY:{TOKEN}@us", "mailjet", {"api_key": "KEY", "secret_key": TOKEN, "api_url": "https://api.us.mailjet.com/v3.1"}),
    "mailersend bulk": (f"mailersend://{TOKEN}@default?bulk=9", "mailersend", {"api_token": TOKEN, "batch_send_mode": "use-bulk-email"}),
    "mailtrap sandbox": (f"mailtrap://{TOKEN}@default?sandbox_id=7", "mailtrap", {"api_token": TOKEN, "sandbox_id": "7"}),
    "mailtrap bulk": (f"mailtrap://{TOKEN}@bulk", "mailtrap", {"api_token": TOKEN, "api_url": "https://bulk.api.mailtrap.io/api/"}),
    "scaleway region": (f"scaleway://{TOKEN}@default?project={PROJECT}&region=nl-ams", "scaleway", {"secret_key": TOKEN, "project_id": PROJECT, "region": "nl-ams"}),
}  # fmt: skip

#: What of the providers' cases is not compared, and why.
NOT_COMPARED = {
    "headers twice": "Django has one value for a header",
    "return_path": "it cannot say the null sender",
    "priority": "it has no such field",
    "merge": "its texts are in each provider's language, ours are rendered; batches are compared below",
    "some are left": "its recipients are those of the message",
    "others are added": "its recipients are those of the message",
    "options not JSON": "there is no request",
    "message_id": "Django makes that itself",
    "date": "Django makes that itself",
    "idempotency_key": "it has no such field",
    "delivery": "it has no such field",
    "require_tls": "it has no such field",
    "too large": "there is no request",
    "unreadable": "there is no request",
}
#: What it can say beyond those.
MORE: dict[str, dict[str, Any]] = {
    "bounces": {"text": "x", "return_path": "bounce@example.com"},
    "plain metadata": {"text": "x", "metadata": {"order": "7"}},
    "names of who is answered": {"text": "x", "reply_to": ('Hélp, "Desk"', "help@example.com")},
    "a name with a comma is answered": {"text": "x", "reply_to": ("Help, Desk", "help@example.com")},
    "names of several": {
        "html": "x",
        "to": [("Müller, Ann", "ann@example.org"), ("Bob (x)", "bob@example.org")],
        "cc": [("Cé <x>", "cyd@example.org"), ("D, E", "dee@example.org")],
    },
    "another type": {
        "html": "x",
        "attachments": [Attachment.from_bytes("x.txt", b"%PDF-", content_type="application/pdf")],
    },
    "another charset": {
        "html": "x",
        "attachments": [Attachment.from_bytes("x.txt", b"\xfc", content_type="text/plain; charset=iso-8859-1")],
    },
    "dynamic template": {"provider_template": "d-17", "context": {"name": "Ann"}, "subject": ""},
    "template, tag and metadata": {"provider_template": "17", "tags": "a", "metadata": {"order": "7"}, "subject": ""},
}
#: A mail for each: what is common, what its message says of each, what ours say.
EACH: dict[str, tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = {
    "each: a copy": ({"text": "x"}, {"merge_data": {}}, [{}, {}]),
    "each: a template": (
        {"provider_template": "17", "subject": ""},
        {"merge_data": {"ann@example.org": {"name": "Ann"}, "bob@example.org": {"name": "Bob"}}},
        [{"context": {"name": "Ann"}}, {"context": {"name": "Bob"}}],
    ),
    "each: a dynamic template": (
        {"provider_template": "d-17", "subject": ""},
        {"merge_data": {"ann@example.org": {"name": "Ann"}, "bob@example.org": {"name": "Bob"}}},
        [{"context": {"name": "Ann"}}, {"context": {"name": "Bob"}}],
    ),
    "each: metadata": (
        {"text": "x"},
        {"merge_metadata": {"ann@example.org": {"row": "1"}, "bob@example.org": {"row": "2"}}},
        [{"metadata": {"row": "1"}}, {"metadata": {"row": "2"}}],
    ),
    "each: headers": (
        {"text": "x"},
        {"merge_headers": {"ann@example.org": {"X-Row": "1"}, "bob@example.org": {"X-Row": "2"}}},
        [{"headers": {"X-Row": "1"}}, {"headers": {"X-Row": "2"}}],
    ),
}  # fmt: skip


# --- the same in both -------------------------------------------------------------------------------------------------


def _mailjet(body: Any) -> Any:
    """What its messages have in common stands in each."""
    common = body.pop("Globals", {})
    body["Messages"] = [{**common, **message} for message in body["Messages"]]
    return body


def _sendgrid(body: Any) -> Any:
    """What is said of all stands in each personalization."""
    for key in ("custom_args", "headers"):
        common = body.pop(key, {})
        for each in body["personalizations"]:
            if common or each.get(key):
                each[key] = {**common, **each.get(key, {})}
    return body


def _sparkpost(body: Any) -> Any:
    """An address as text or in its parts; a copy without a To to show is shown its own; a header's name in any case."""
    content = body["content"]
    if isinstance(sender := content.get("from"), str):
        [(name, email)] = getaddresses([sender])
        content["from"] = {"email": email, **({"name": name} if name else {})}
    for address in (recipient["address"] for recipient in body["recipients"]):
        address.setdefault("header_to", _mailbox(address.pop("name", ""), address["email"]))
    if "headers" in content:
        content["headers"] = {"Cc" if key == "CC" else key: value for key, value in content["headers"].items()}
    return body


def _mailbox(name: str, email: str) -> str:
    return formataddr((name, email)) if name else email


#: Two ways to say one thing, which both programs may choose.
SAME = {"mailjet": _mailjet, "sendgrid": _sendgrid, "sparkpost": _sparkpost}
#: What its URLs end in, and ours do not: documented without, and taken with it.
SAME_URL = {"postmark": "/", "sparkpost": "/", "mandrill": ".json"}


# --- the comparison ---------------------------------------------------------------------------------------------------


def ours(name: str, mails: Sequence[Mail]) -> tuple[list[Asked] | MessageError, bool]:
    """Our requests, or why there is none; and whether something is left out, with a note."""
    backend = backend_from_url((PEERS | OPTIONS)[name][0])
    assert isinstance(backend, RelayBackend)
    provider = backend.provider
    try:
        notes = [note for mail in mails for note in backend.left_out(mail)]
        parts = [part for mail in mails if (part := Parcel.of(mail, provider).part) is not None]
        groups = [parts] if len(parts) == 1 else list(provider.grouped(parts))
        requests = [provider.request(g[0]) if len(g) == 1 else provider.batch_request(g) for g in groups]
    except MessageError as error:
        return error, False
    # That a text is shown as html says nothing about what else was asked for.
    return [asked_of(request) for request in requests], any(not note.startswith("text ") for note in notes)


def theirs(name: str, message: Message, more: dict[str, Any]) -> Asked | Exception:
    """Its request, or why there is none."""
    _, module, keywords = (PEERS | OPTIONS)[name]
    try:
        return peer_asks(module, keywords, peer_message(message, **more))
    except Exception as error:  # it has a fault or two of its own, which the table names
        return error


def compared(name: str, case: str) -> Iterator[tuple[str, Any, Any]]:
    """Where the two differ."""
    if case in EACH:
        common, more, own = EACH[case]
        whole = message_of("plain").with_(
            **{"text": None, **common, "to": ["Ann <ann@example.org>", "bob@example.org"]}
        )
        mails = [mail_of(whole.with_(to=to, **said)) for to, said in zip(whole.to, own, strict=True)]
    else:
        whole = _message(case)
        mails, more = [mail_of(whole)], {}
    we, has_notes = ours(name, mails)
    they = theirs(name, whole, more)
    if isinstance(they, Exception):
        if not isinstance(we, MessageError) and not (has_notes and isinstance(they, AnymailUnsupportedFeature)):
            yield THEY, len(we), repr(they)
    elif isinstance(we, MessageError):
        yield WE, str(we), they.body
    elif len(we) > 1:
        yield "requests", len(we), 1
    else:
        same = SAME.get(name.partition(" ")[0], lambda body: body)
        line = they.line.removesuffix(SAME_URL.get(name.partition(" ")[0], ""))
        yield from differences(we[0].line, line, "URL")
        yield from differences(we[0].auth, they.auth, "credentials")
        yield from differences(same(we[0].body), same(they.body))


def _message(case: str) -> Message:
    if case in CASES:
        return message_of(case)
    return message_of("plain").with_(**{"text": None, **MORE[case]})


ALL = [*[case for case in CASES if case not in NOT_COMPARED], *MORE, *EACH]


@functools.cache
def found() -> dict[tuple[str, str, str], tuple[Any, Any]]:
    """Every difference there is: provider, case and path -> what each has."""
    with configured(), warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # it has dropped SendGrid, and says so
        patch.setattr(relay_backend, "utc_now", lambda: WHEN)
        pairs = [*itertools.product(PEERS, ALL), *itertools.product(OPTIONS, ["plain", "bcc", *EACH])]
        return {(name, case, path): (a, b) for name, case in pairs for path, a, b in compared(name, case)}


def test_every_difference_has_a_reason() -> None:
    left = [
        f"{name}, {case}: {path}: {str(a)[:160]} | {str(b)[:160]}"
        for (name, case, path), (a, b) in found().items()
        if not any(explains(reason, name, case, path) for reason in REASONS)
    ]
    assert not left, "\n" + "\n".join(left)


def test_every_reason_has_a_difference() -> None:
    """A row that explains nothing is out of date; one for several providers is for each of them."""
    idle = [
        (name, reason)
        for reason in REASONS
        for name in reason.providers.split()
        if not any(explains(reason, n, c, p) and name in ("*", n) for n, c, p in found() if n in PEERS)
    ]
    assert not idle


def test_most_is_the_same_to_the_letter() -> None:
    """Or a table with a reason for everything would pass; credentials are so always."""
    constant = re.compile(
        r"\.async|\.message\.(preserve_recipients|headers)|\.options.*|\.o:suppress-headers|\.htmlContent"
    )
    differing = {(name, case) for name, case, path in found() if name in PEERS and not constant.fullmatch(path)}
    assert not [key for key in found() if key[2].startswith("credentials")]
    assert len(ALL) * len(PEERS) > 550
    assert len(differing) < 0.4 * len(ALL) * len(PEERS)


def test_a_changed_request_would_be_seen() -> None:
    """The comparison itself: a recipient, a name, an address, a credential that differ are differences."""
    for a, b in (
        ({"to": "a@x.test"}, {"to": "b@x.test"}),
        ({"to": '"A" <a@x.test>'}, {"to": '"B" <a@x.test>'}),
        ({"to": ["a@x.test"]}, {"to": ["a@x.test", "b@x.test"]}),
        ({"text": "x"}, {"text": "x\n"}),
        ({"track": False}, {}),
        ({"n": 1}, {"n": "1"}),
    ):
        assert len(list(differences(a, b))) == 1, (a, b)
    for a, b in (({"to": '"A" <a@x.test>'}, {"to": "A <a@x.test>"}), ({"text": ""}, {}), ({"cc": []}, {})):
        assert not list(differences(a, b)), (a, b)
