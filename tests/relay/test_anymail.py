"""Thirteen providers beside django-anymail: the same message is the same request, or the difference has a reason.

Ours is the pure request; its backend sends by ``requests``, whose adapter keeps what it is given. Nothing is connected.
"""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterator, Sequence
from email.utils import formataddr, getaddresses
from typing import Any, NamedTuple

import pytest
from relay_cases import CASES, WHEN, mail_of, message_of

from mailer import Mail, Message, MessageError
from mailer.backends import relay as relay_backend
from mailer.backends.parcel import Parcel
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url

pytest.importorskip("anymail", reason="django-anymail, of the extra test, is not installed")
from anymail.exceptions import AnymailUnsupportedFeature
from anymail_peer import Asked, asked_of, configured, differences, peer_asks, peer_message

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


class Reason(NamedTuple):
    """Why the two differ.

    Attributes:
        providers: Schemes between blanks, or "*".
        cases: A regular expression of the cases.
        path: One of the places in the body; "URL", or "refused by us", "refused by them" for the whole.
        why: For the reader.
    """

    providers: str
    cases: str
    path: str
    why: str


WE, THEY = "refused by us", "refused by them"
ALONE = "bcc alone|bcc only|cc only"
LISTS = r"\.(message\.|personalizations\[0\]\.|Messages\[0\]\.)?(to|cc|bcc|To|Cc|Bcc|recipients|headers\.(to|cc))\b.*"
REASONS = [
    # --- everywhere ---
    Reason(
        "*", "twice", LISTS, "an address that stands in two lists gets one copy of ours, by the first that names it"
    ),
    Reason("sparkpost", "twice", r"\.content\.headers\.Cc", "the same, in what Cc shows"),
    Reason(
        "*", "local part not ASCII", LISTS, "who cannot be reached there is refused by us alone, the others are sent to"
    ),
    Reason("*", ALONE, LISTS, "an API that wants somebody in To has him there; none sees another"),
    Reason(
        "*",
        "inline without html",
        r".*([aA]ttachments?|images|inline(_images)?)\b.*",
        "without html nothing shows it: it is attached",
    ),
    Reason("*", "From not ASCII", WE, "the API takes no such local part; it leaves that to its answer"),
    Reason("*", "options take over", WE, "options say nothing about who gets the mail"),
    Reason("*", "sender", WE, "Sender is no header of the app's there"),
    Reason("*", "template and text", WE, "the template's texts would win, or ours"),
    Reason(
        "postmark resend mailjet mailersend postal",
        "too many recipients",
        WE,
        "the published limit, said before the request",
    ),
    Reason(
        "resend mailersend scaleway postal",
        "bcc only",
        WE,
        "who is hidden from the others cannot stand in To with them",
    ),
    # --- metadata ---
    Reason(
        "postmark mandrill unisendergo", "metadata", r"\..*[mM]etadata\.(count|path)", "its values are texts by the API"
    ),
    Reason(
        "sendgrid", "metadata", r"\.personalizations\[0\]\.custom_args\.(count|path)", "its values are texts by the API"
    ),
    Reason("mailgun", "metadata", r"\.v:path", "a list is one JSON text; several fields of a name are not documented"),
    Reason("mailtrap", "metadata", r"\.custom_variables\.path", "a list is a JSON text, not Python's"),
    # --- one provider ---
    Reason("postmark", ".*template.*", "URL", "the path is documented without the slash at its end"),
    Reason("sendgrid mailtrap", "attachments", r"\.attachments\[.\]\.disposition", "what is its default is said"),
    Reason("sendgrid", "nothing", r"\.content", "a part must have content there: a mail of nothing is an empty line"),
    Reason("sendgrid", ALONE, THEY, "it fails for want of a To, KeyError"),
    Reason(
        "sendgrid",
        "template|template by name|template, tag.*|each: a template",
        WE,
        "with variables, its present templates are named d-...; substitutions belong to the old ones",
    ),
    Reason(
        "resend",
        "tag|tags|.*metadata",
        r"(\[.\])?\.(headers|tags)",
        "its own tags, which its events give back; a header is seen by the recipient",
    ),
    Reason("resend", ".*template.*", THEY, "Resend has stored templates by now"),
    Reason(
        "brevo",
        "(?!.*html|amp).*",
        r"\.htmlContent",
        "the API wants html: text alone gets html that shows it, with a note",
    ),
    Reason(
        "brevo",
        "names",
        r"\.sender\.name",
        "its encoded word works around a fault in Cc and Reply-To that was seen once; JSON is UTF-8",
    ),
    Reason("brevo", "schedule", r"\.scheduledAt", "one moment, written otherwise"),
    Reason("brevo", "template|template, tag.*|each: a template", r"\.templateId", "a number by the schema"),
    Reason("brevo", "template by name|.*dynamic template", WE, "a number by the schema, so no name"),
    Reason("brevo", "bcc only", r"\.messageVersions", "nobody hidden sees another: a version for each"),
    Reason(
        "brevo", "each: (metadata|headers)", "requests", "headers in a version are undocumented: a request for each"
    ),
    Reason("mailgun", ".*", r"\.o:suppress-headers", "or the recipient sees the metadata, our mail's id among it"),
    Reason("mailgun", "idn", "URL", "the sending domain is known to it in ASCII"),
    Reason("mailgun", "schedule", r"\.o:deliverytime\[0\]", "one moment, written otherwise"),
    Reason(
        "mailgun",
        "(template|dynamic).*",
        r"\.(recipient-variables|t:variables|v:name)",
        "a template's variables have a field of their own",
    ),
    Reason(
        "mailgun",
        "each: a (dynamic )?template",
        "requests",
        "t:variables is for the whole request, and v: would show in metadata",
    ),
    Reason(
        "mailgun",
        "each: .*",
        r"\.(recipient-variables\[0\]|v:row|h:X-Row).*",
        "the same substitution, by a name of our own",
    ),
    Reason("mailgun", "bcc only", r"\.recipient-variables", "nobody hidden sees another: a copy for each"),
    Reason("mailgun", "options", r"\.settings\[0\]", "a mapping is its JSON, not its keys"),
    Reason(
        "mailgun mandrill",
        "bounces",
        WE,
        "its address is not carried: they take the domain from it, which mailgun's ?domain= and mandrill's return_path_domain say",
    ),
    Reason("mandrill", ".*", "URL", "JSON is the default, with and without .json"),
    Reason("mandrill", ".*", r"\.async", "said, so that more than ten recipients are answered for"),
    Reason(
        "mandrill",
        "(?!each).*",
        r"\.message\.preserve_recipients",
        "who sees whom is the message's to say, not an account setting's",
    ),
    Reason("mandrill", "each: headers", THEY, "two requests"),
    Reason("sparkpost", ".*", "URL", "the path is documented without the slash at its end"),
    Reason(
        "sparkpost",
        ".*",
        r"\.options(\.perform_substitutions)?",
        "what looks like a variable in a text is meant as it stands",
    ),
    Reason("sparkpost", "headers", WE, "it writes List-Unsubscribe itself and says nothing of ours"),
    Reason("sparkpost", "tags", THEY, "further tags go with each recipient"),
    Reason("sparkpost", "cc only", r"\.content\.headers", "who is in Cc alone is shown in To"),
    Reason("sparkpost", "bounces", WE, "only the domain is the app's, one of its account: bounces go to SparkPost"),
    Reason(
        "sparkpost",
        "each: headers",
        r"\.(content\.headers\.X-Row|recipients\[.\]\.substitution_data\..*)",
        "the same substitution, by a name of our own, and as it stands",
    ),
    Reason("mailjet", "attachments", r".*\.ContentType", "a text's charset is the app's"),
    Reason("mailjet", ALONE, THEY, "they are put in To, as elsewhere"),
    Reason(
        "mailjet",
        "options",
        r"(\.Messages\[0\])?\.(Extra|settings)",
        "ours are laid over the message, which has nearly all of the API's keys; its over the whole",
    ),
    Reason("mailjet", "bounces", WE, "Sender is a header there, and for accounts that asked for it"),
    Reason(
        "mailersend",
        "headers",
        r"\.(headers|list_unsubscribe)",
        "headers are in paid plans alone, and List-Unsubscribe has a field of its own",
    ),
    Reason(
        "mailersend",
        "each: (a (dynamic )?(copy|template)|headers)",
        THEY,
        "a request for each; it wants a setting for that",
    ),
    Reason(
        "mailtrap postal", "nothing", r"\.(text|plain_body)", "a mail of nothing is an empty line: one text is needed"
    ),
    Reason(
        "mailtrap scaleway",
        "headers",
        r"\.(headers\.X-Note|additional_headers\[1\]\.value)",
        "in the words of RFC 2047, for what does not encode it",
    ),
    Reason(
        "mailtrap",
        "bcc only",
        r"URL|\.(base|requests|from|subject|text)",
        "nobody hidden sees another: a batch of one copy for each",
    ),
    Reason(
        "mailtrap",
        "template, tag.*",
        r"\.category",
        "documented as not to stand beside a template; left out with a note",
    ),
    Reason(
        "scaleway", "tags?|.*metadata", r"\.additional_headers", "it has none: a header would be seen by the recipient"
    ),
    Reason("scaleway", "local part not ASCII", THEY, "the others are sent to"),
    Reason("scaleway postal", "each: (a copy|headers)", THEY, "two requests"),
    Reason("unisendergo", ".*", r"\.message\.headers(\.to)?", "one recipient is shown himself without being told"),
    Reason("unisendergo", "each: headers", THEY, "two requests"),
    Reason(
        "postal",
        "sender",
        r"\.(headers|sender)",
        "its field for the Sender header, which an envelope sender takes the place of there",
    ),
    Reason("postal", "bounces", WE, "it has no field for that: sender is the header"),
]


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


# --- the comparison ---------------------------------------------------------------------------------------------------


def ours(name: str, mails: Sequence[Mail]) -> tuple[list[Asked] | MessageError, bool]:
    """Our requests, or why there is none; and whether something is left out, with a note."""
    backend = backend_from_url(PEERS[name][0])
    assert isinstance(backend, RelayBackend)
    provider = backend.provider
    try:
        has_notes = any([backend.left_out(mail) for mail in mails])
        parts = [part for mail in mails if (part := Parcel.of(mail, provider).part) is not None]
        groups = [parts] if len(parts) == 1 else list(provider.grouped(parts))
        requests = [provider.request(g[0]) if len(g) == 1 else provider.batch_request(g) for g in groups]
    except MessageError as error:
        return error, False
    return [asked_of(request) for request in requests], has_notes


def theirs(name: str, message: Message, more: dict[str, Any]) -> Asked | Exception:
    """Its request, or why there is none."""
    _, module, keywords = PEERS[name]
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
        same = SAME.get(name, lambda body: body)
        yield from differences(we[0].line, they.line, "URL")
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
        patch.setattr(relay_backend, "_now", lambda: WHEN)
        return {(n, case, path): (a, b) for n in PEERS for case in ALL for path, a, b in compared(n, case)}


def explains(reason: Reason, name: str, case: str, path: str) -> bool:
    """Whether this is the reason."""
    return (
        (reason.providers == "*" or name in reason.providers.split())
        and re.fullmatch(reason.cases, case) is not None
        and (reason.path == path or re.fullmatch(reason.path, path) is not None)
    )


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
        if not any(explains(reason, n, c, p) and name in ("*", n) for n, c, p in found())
    ]
    assert not idle


def test_most_is_the_same_to_the_letter() -> None:
    """Or a table with a reason for everything would pass; credentials are so always."""
    constant = re.compile(
        r"URL|\.async|\.message\.(preserve_recipients|headers)|\.options.*|\.o:suppress-headers|\.htmlContent"
    )
    differing = {(name, case) for name, case, path in found() if not constant.fullmatch(path)}
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
