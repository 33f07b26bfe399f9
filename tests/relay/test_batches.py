"""Batches: as few requests as a provider's limits allow, each mail as it was written, nobody seen by another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from unittest.mock import ANY

import pytest
import test_brevo
import test_mailgun
import test_mailjet
import test_mandrill
import test_resend
import test_sendgrid
import test_smtp2go
import test_sparkpost
import test_unisender_go
import test_zeptomail
from expanders import EXPANDERS
from hypothesis import given, settings
from hypothesis import strategies as st
from relay_cases import mail_of
from relay_checks import answer
from worlds import World, new_world

from mailer import Attachment, Mail, Message, Outcome, ProtocolError, UnsupportedFeature
from mailer.backends.relay import RelayBackend
from mailer.event import MAIL_ID_KEY
from mailer.relay.brevo import Brevo
from mailer.relay.exchange import Request
from mailer.relay.http_json import HttpJson
from mailer.relay.mailgun import Mailgun
from mailer.relay.mailjet import Mailjet
from mailer.relay.mandrill import Mandrill
from mailer.relay.places import Places
from mailer.relay.postmark import Postmark
from mailer.relay.provider import Provider
from mailer.relay.resend import Resend
from mailer.relay.sendgrid import SendGrid
from mailer.relay.smtp2go import Smtp2Go
from mailer.relay.sparkpost import SparkPost
from mailer.relay.unisender_go import UnisenderGo
from mailer.relay.zeptomail import ZeptoMail
from mailer.testing import Answer, FakeRelay, RelayRequest

A, R, D, U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN
PROVIDERS: dict[str, Provider] = {
    "postmark": Postmark("TOKEN"),
    "sendgrid": SendGrid("TOKEN"),
    "mailgun": Mailgun("TOKEN"),
    "brevo": Brevo("TOKEN"),
    "resend": Resend("TOKEN"),
    "mailjet": Mailjet("TOKEN", "SECRET"),
    "sparkpost": SparkPost("TOKEN"),
    "mandrill": Mandrill("TOKEN"),
    "smtp2go": Smtp2Go("TOKEN"),
    "zeptomail": ZeptoMail("TOKEN"),
    "unisendergo": UnisenderGo("TOKEN"),
    "http+json": HttpJson(base="https://relay.example.com/mails", batch=100),
}


CHECKS: dict[str, Any] = {
    "sendgrid": test_sendgrid.TestSendGrid,
    "mailgun": test_mailgun.TestMailgun,
    "brevo": test_brevo.TestBrevo,
    "resend": test_resend.TestResend,
    "mailjet": test_mailjet.TestMailjet,
    "sparkpost": test_sparkpost.TestSparkPost,
    "mandrill": test_mandrill.TestMandrill,
    "smtp2go": test_smtp2go.TestSmtp2Go,
    "zeptomail": test_zeptomail.TestZeptoMail,
    "unisendergo": test_unisender_go.TestUnisenderGo,
}


def mail(number: int, **fields: Any) -> Mail:
    given = {"from_": "shop@example.com", "to": f"n{number}@example.org", "subject": "Hi", "html": "<p>x</p>", **fields}
    return mail_of(Message(**given)).with_(id=f"{number:032x}")


def requests(provider: Provider, mails: Sequence[Mail]) -> list[Request]:
    return [
        provider.request(group[0]) if len(group) == 1 else provider.batch_request(group)
        for group in provider.grouped(mails)
    ]


#: Who has a field for our mails' ids, if any, for all mails of a request alone.
NO_FIELD = ("brevo", "zeptomail", "smtp2go", "http+json")


def told(name: str, mails: Iterable[Mail]) -> Counter[str]:
    """What their recipients are to get, each with his own mail's id."""
    found: Counter[str] = Counter()
    for mail in mails:
        m = mail.message
        assert m is not None
        metadata = dict(m.metadata) | ({} if name in NO_FIELD else {MAIL_ID_KEY: mail.id})
        found[repr((m.to[0].addr_spec, m.subject, m.text, m.html, dict(m.headers).get("X-Row"), metadata))] += 1
    return found


def got(name: str, made: Iterable[Request]) -> Counter[str]:
    """What they do get."""
    copies = [copy for request in made for copy in EXPANDERS[name](request)]
    if name in NO_FIELD:
        for copy in copies:
            copy[-1].pop(MAIL_ID_KEY, None)
    return Counter(map(repr, copies))


# --- how many requests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROVIDERS)
def test_mails_of_one_content_are_as_few_requests_as_the_limit_allows(name: str) -> None:
    provider = PROVIDERS[name]
    mails = [mail(number) for number in range(2 * provider.batch_size + 1)]
    groups = list(provider.grouped(mails))
    assert [len(group) for group in groups] == [provider.batch_size, provider.batch_size, 1]
    assert got(name, [provider.batch_request(groups[0])]) == told(name, groups[0])


@pytest.mark.parametrize("name", PROVIDERS)
def test_two_contents_in_turns_are_two_requests(name: str) -> None:
    mails = [mail(n, tags=["ab"[n % 2]], html=f"<p>{n % 2}</p>") for n in range(20)]
    is_any = name in ("postmark", "resend", "mailjet", "smtp2go", "http+json", "zeptomail")  # which carries no tags
    made = requests(PROVIDERS[name], mails)
    assert len(made) == (1 if is_any else 2)
    assert got(name, made) == told(name, mails)


@pytest.mark.parametrize("name", PROVIDERS)
def test_one_recipient_of_many_mails_gets_each(name: str) -> None:
    mails = [mail(n, to="ann@example.org", subject=f"{n}", html=f"<p>{n}</p>") for n in range(3)]
    mails += [mail(3, to="ANN@example.org")]
    assert got(name, requests(PROVIDERS[name], mails)).total() == 4


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_mail_to_several_keeps_its_recipients_together(name: str) -> None:
    """They may see each other, and nobody else does."""
    provider = PROVIDERS[name]
    pair = mail(0, to=["ann@example.org", "bob@example.org"])
    made = requests(provider, [mail(1), pair, mail(2)])
    if provider.batch_size > 1 and name in ("mailgun", "sparkpost", "mandrill", "zeptomail", "unisendergo"):
        assert len(made) == 2
        assert sum(b"ann@example.org" in request.content for request in made) == 1
    else:
        assert len(made) == 1
        text = json.dumps(json.loads(made[0].content))
        both = [part for part in text.split("}, {") if "ann@" in part and "bob@" in part]
        assert both or text.index("ann@") < text.index("bob@") < text.index("n2@")


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_mail_ever_has_anothers_id(name: str) -> None:
    """In a request for several, with options too, there are as many ids as mails, or none."""
    provider = PROVIDERS[name]
    for options in ({}, {"x": 1}):
        mails = [
            mail(n + 0xABC, to="ann@example.org" if n == 2 else f"n{n}@example.org", provider_options=options)
            for n in range(3)
        ]
        for group in provider.grouped(mails):
            content = (provider.request(group[0]) if len(group) == 1 else provider.batch_request(group)).content
            ids = [one.id.encode() in content for one in group]
            assert all(ids) or not any(ids)
            assert all(ids) or (len(group) > 1 and (options or name in NO_FIELD))
            assert not any(one.id.encode() in content for one in mails if one not in group)


# --- what they say ----------------------------------------------------------------------------------------------------

MARKS = (
    "{{ name }}",
    "{{{x}}}",
    "{% if %}",
    "%recipient.a%",
    "%RECIPIENT%",
    "*|A|*",
    "%mailer0.0%",
    "mailer_0",
    "}",
    "\\",
    '"',
)
TEXTS = st.lists(st.sampled_from([*MARKS, "ü", "x\n", "<b>", " "]), max_size=4).map("".join)
LINES = TEXTS.map(lambda text: " ".join(text.split()))


@pytest.mark.parametrize("name", PROVIDERS)
@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(LINES, TEXTS, LINES, LINES), min_size=2, max_size=5))
def test_what_anybody_wrote_arrives_as_it_was_written(name: str, rows: list[tuple[str, str, str, str]]) -> None:
    """Whatever looks like a variable of the provider's, in a text or in a value, in one mail or in all."""
    provider = PROVIDERS[name]
    backend = RelayBackend(provider)
    mails = []
    for number, (subject, text, row, value) in enumerate(rows):
        # where those may differ
        metadata = {"brevo": {}, "resend": {"k": "x"}, "smtp2go": {}}.get(name, {"k": value})
        one = mail(
            number, subject=f"Hi {subject}".strip(), text=f"Hello\n{text}\nBye", html=f"<p>a</p>{text}<p>b</p>",
            headers={"X-Row": f"r {row}".strip()}, metadata=metadata,
        )  # fmt: skip
        try:
            backend.left_out(one)
        except UnsupportedFeature:  # it is refused whole, before
            assert name in ("brevo", "sparkpost", "unisendergo")
            continue
        mails.append(one)
    expected = told(name, mails)
    if name == "brevo":  # its headers are ASCII
        expected = Counter({key: count for key, count in expected.items() if "ü" not in key.split(", ")[4]})
        mails = [one for one in mails if one.message and "ü" not in dict(one.message.headers)["X-Row"]]
    assert got(name, requests(provider, mails)) == expected


@pytest.mark.parametrize("name", [*PROVIDERS])
def test_a_merged_newsletter_is_one_request(name: str) -> None:
    """Five lines of twenty kilobytes differ."""
    filler = "".join(f"<p>paragraph {n}</p>\n" for n in range(1000))
    mails = [
        mail(n, subject=f"Hi {n}", text=f"Dear {n},\n\nx", html=f"<h1>Dear {n}</h1>{filler}<a href='https://x.test/{n}'>off</a>")
        for n in range(40)
    ]  # fmt: skip
    made = requests(PROVIDERS[name], mails)
    assert len(made) == 1
    assert got(name, made) == told(name, mails)
    if name in ("sendgrid", "mailgun", "sparkpost", "mandrill", "zeptomail", "unisendergo"):
        assert len(made[0].content) < 3 * len(filler), "what they have in common goes once"


@pytest.mark.parametrize("name", CHECKS)
def test_a_batch_holds_to_the_schema(name: str) -> None:
    checks = CHECKS[name]()
    for fields in ({}, {"tags": "x", "reply_to": "r@example.com"}):
        own = [{}, {"subject": "1", "text": "1", "html": "1"}, {"metadata": {"k": "1"}}]
        for differing in own:
            mails = [mail(n, **{"text": "x", **fields, **(differing if n else {})}) for n in range(3)]
            for request in requests(checks.provider, mails):
                body = checks.body_of(request)
                items = body if name == "resend" and isinstance(body, list) else [body]
                assert [fault for item in items for fault in checks.faults(item)] == []


def test_what_substitutions_cannot_hold_goes_alone() -> None:
    mails = [mail(n, html=f"<p>{n}{'x' * 10_000 * (n == 1)}</p>") for n in range(3)]
    made = requests(PROVIDERS["sendgrid"], mails)
    assert len(made) == 2
    assert got("sendgrid", made) == told("sendgrid", mails)


@pytest.mark.parametrize("name", ["sendgrid", "mailgun", "brevo", "sparkpost", "mandrill"])
def test_options_are_laid_over_what_mails_have_in_common(name: str) -> None:
    """So those that have some go together only with the same content, where 1 is not True."""
    options = {"message": {"subaccount": "x"}} if name == "mandrill" else {"o:dkim": "x"}
    provider = PROVIDERS[name]
    others = [mail(n, subject=str(n), provider_options=options) for n in range(3)]
    assert len(requests(provider, others)) == 3
    assert len(requests(provider, [mail(n, provider_options=options) for n in range(3)])) == 1
    assert len(requests(provider, [mail(n, provider_options={"o:x": v}) for n, v in enumerate((1, True, 1.0))])) == 3


def test_stored_templates_have_each_recipients_variables() -> None:
    def templated(n: int, name: str) -> Mail:
        template = "d-1" if name == "sendgrid" else "1"
        return mail(n, html=None, subject="", provider_template=template, context={"name": f"N{n} {{{{x}}}}", "n": n})

    def values(n: int) -> dict[str, Any]:
        return {"name": f"N{n} {{{{x}}}}", "n": n}

    for name, read in (
        ("sendgrid", lambda body: [one["dynamic_template_data"] for one in body["personalizations"]]),
        ("brevo", lambda body: [one["params"] for one in body["messageVersions"]]),
        ("mailjet", lambda body: [one["Variables"] for one in body["Messages"]]),
        ("sparkpost", lambda body: [one["substitution_data"] for one in body["recipients"]]),
        ("zeptomail", lambda body: [one["merge_info"] for one in body["to"]]),
        ("unisendergo", lambda body: [one["substitutions"] for one in body["message"]["recipients"]]),
        (
            "mandrill",
            lambda body: [{v["name"]: v["content"] for v in one["vars"]} for one in body["message"]["merge_vars"]],
        ),
    ):
        [request] = requests(PROVIDERS[name], [templated(n, name) for n in range(3)])
        assert read(json.loads(request.content)) == [values(n) for n in range(3)], name
    assert len(requests(PROVIDERS["mailgun"], [templated(n, "mailgun") for n in range(3)])) == 3


def test_resend_sends_alone_what_a_batch_cannot_carry() -> None:
    from datetime import UTC, datetime

    file = Attachment.from_bytes("a.txt", b"x")
    alone = [
        mail(0, attachments=[file]),
        mail(1, send_at=datetime(2030, 1, 1, tzinfo=UTC)),
        mail(2, idempotency_key="k"),
    ]
    made = requests(PROVIDERS["resend"], [*alone, mail(3), mail(4)])
    assert [request.url.removeprefix("https://api.resend.com") for request in made] == [
        *["/emails"] * 3,
        "/emails/batch",
    ]
    keys = [dict(request.headers)["Idempotency-Key"] for request in made]
    assert keys[:3] == [alone[0].id, alone[1].id, "k"]
    assert keys[3] == dict(requests(PROVIDERS["resend"], [mail(3), mail(4)])[0].headers)["Idempotency-Key"]
    assert keys[3] != dict(requests(PROVIDERS["resend"], [mail(4), mail(3)])[0].headers)["Idempotency-Key"]


def test_brevo_evaluates_nothing_that_html_says() -> None:
    """What a text or a subject says cannot be written otherwise, and is refused."""
    said = "<p>{{ contact.NAME }} {%if%} {{{</p>"
    [copy] = EXPANDERS["brevo"](PROVIDERS["brevo"].request(mail(0, html=said)))
    assert copy[3] == said
    for fields in ({"text": "{{ x }}"}, {"subject": "{% x %}"}):
        with pytest.raises(UnsupportedFeature, match="html alone"):
            RelayBackend(PROVIDERS["brevo"]).left_out(mail(0, **fields))


def test_who_is_hidden_is_refused_where_variables_would_be_filled_in() -> None:
    hidden = mail(0, to=[], bcc=["ann@example.org", "bob@example.org"], html="100 %recipient% off")
    with pytest.raises(UnsupportedFeature, match="send to each alone"):
        RelayBackend(PROVIDERS["mailgun"]).left_out(hidden)
    assert RelayBackend(PROVIDERS["mailgun"]).left_out(mail(0, html="100 %recipient% off")) == ()


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROVIDERS)
def test_an_answer_that_does_not_fit_leaves_each_unknown(name: str) -> None:
    mails = [mail(n) for n in range(3)]
    for body in (b"", b"{}", b"[]", b"[1]", b'{"data": [{"id": "x"}]}', b'{"messageIds": ["x"]}', b"null", b"<html>"):
        if name == "sendgrid" and body in (b"", b"{}"):
            continue  # which is its success
        receipts = PROVIDERS[name].batch_receipts(answer(200, body), mails)
        assert [[r.outcome for r in receipt.results] for receipt in receipts] == [[U]] * 3, body
        assert [type(receipt.error) for receipt in receipts] == [ProtocolError] * 3
        assert [receipt.id for receipt in receipts] == [one.id for one in mails]


@pytest.mark.parametrize("name", PROVIDERS)
def test_an_answer_to_all_is_so_for_each(name: str) -> None:
    mails = [mail(n) for n in range(3)]
    for status, outcome in ((400, R), (401, D), (429, D), (502, U)):
        receipts = PROVIDERS[name].batch_receipts(answer(status, b"{}"), mails)
        assert [[r.outcome for r in receipt.results] for receipt in receipts] == [[outcome]] * 3, status


def test_each_has_what_the_answer_says_of_it() -> None:
    def fault(index: int) -> dict[str, Any]:
        return {"index": index, "message": "no"}

    def counts(accepted: int, rejected: int) -> dict[str, int]:
        return {"total_accepted_recipients": accepted, "total_rejected_recipients": rejected}

    mails = [mail(n) for n in range(3)]
    emails = [f"N{n}@example.org" for n in range(3)]
    for name, body, outcomes, ids in (
        ("brevo", {"messageIds": ["a", "b", "c"]}, [A, A, A], ["a", "b", "c"]),
        ("mailgun", {"id": "<a>", "message": "Queued"}, [A, A, A], ["<a>"] * 3),
        ("resend", {"data": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}, [A, A, A], ["a", "b", "c"]),
        ("resend", {"data": [{"id": "a"}, {"id": "c"}], "errors": [fault(1)]}, [A, R, A], ["a", "c"]),
        ("resend", {"data": [{"id": "a"}, {}, {"id": "c"}], "errors": [fault(1)]}, [A, R, A], ["a", "c"]),
        ("resend", {"data": [{"id": "a"}, {"id": "c"}], "errors": [fault(7)]}, [U, U, U], []),
        ("sparkpost", {"results": {"id": "1", **counts(3, 0)}}, [A, A, A], ["1"] * 3),
        (
            "sparkpost",
            {
                "results": {"id": "1", **counts(2, 1)},
                "errors": [{"message": "invalid recipient", "description": "n1@example.org", "code": "2000"}],
            },
            [A, R, A], ["1"] * 2,
        ),
        (
            "mandrill",
            [
                {"email": emails[2], "status": "sent", "_id": "c"},
                {"email": emails[0], "status": "queued", "_id": "a"},
                {"email": emails[1], "status": "rejected", "reject_reason": "hard-bounce", "_id": "b"},
            ],
            [A, R, A], ["a", "c"],
        ),
    ):  # fmt: skip
        receipts = PROVIDERS[name].batch_receipts(answer(200, body), mails)
        assert [r.outcome for receipt in receipts for r in receipt.results] == outcomes, (name, body)
        assert [given for receipt in receipts for given in receipt.provider_ids] == ids, (name, body)
        assert [len(receipt.results) for receipt in receipts] == [1, 1, 1]


# --- sent -------------------------------------------------------------------------------------------------------------

BAD = b"n13@example.org"


def picky(relay: FakeRelay, request: RelayRequest) -> Answer:
    """Refuses the request as a whole for one address in it, and does not say which."""
    return (
        Answer(status=400, body={"message": "'to' is not valid"}) if BAD in request.content else relay.accept(request)
    )


@pytest.mark.parametrize(
    "name", ["mailgun", "brevo", "sparkpost", "sendgrid", "mandrill", "smtp2go", "zeptomail", "unisendergo"]
)
def test_one_bad_mail_takes_no_other_with_it(name: str) -> None:
    with FakeRelay(name) as relay, new_world("blocking") as world, world.mailer(relay.url) as mailer:
        relay.next(*[lambda request: picky(relay, request)] * 100)
        receipts = mailer.send_many([one.message for one in (mail(n) for n in range(32))])
    assert [receipt.message_index for receipt in receipts if not receipt.ok] == [13]
    assert receipts[13].results[0].outcome is R
    assert len(relay.requests) == 1 + 2 * 5, "halved until it stood alone"
    taken = [request for request in relay.requests if BAD not in request.content]
    seen = [n for n in range(32) for request in taken if f"n{n}@example.org".encode() in request.content]
    assert Counter(seen) == Counter(n for n in range(32) if n != 13), "each is sent once"


def test_a_merged_message_is_one_request_in_each_world(world: World) -> None:
    people = {f"n{n}@example.org": {"name": f"N{n} {{{{ y }}}}"} for n in range(50)}
    message = Message(
        from_="shop@example.com", to=list(people), subject="Hi {{ name }}", text="Dear {{ name }},\nHello",
        merge_data=people, merge_metadata={person: {"row": person[1:3]} for person in people},
        merge_headers={person: {"X-Row": person} for person in people},
    )  # fmt: skip
    with FakeRelay("sendgrid") as relay, world.mailer(relay.url) as mailer:
        receipt = mailer.send(message)
    assert receipt.ok
    assert len(receipt.results) == 50
    [request] = relay.requests
    copies = list(EXPANDERS["sendgrid"](Request(request.path, tuple(request.headers.items()), request.content)))
    assert copies == [
        (
            person,
            f"Hi {own['name']}",
            f"Dear {own['name']},\nHello",
            None,
            person,
            {"row": person[1:3], MAIL_ID_KEY: ANY},
        )
        for person, own in people.items()
    ]
    assert len({copy[-1][MAIL_ID_KEY] for copy in copies}) == 50


def test_a_batch_in_doubt_stays_so_where_a_mail_alone_could_be_sent_again(world: World) -> None:
    """The key is the batch's: a mail of it that is sent alone would go out twice."""
    messages = [one.message for one in (mail(0), mail(1))]
    with FakeRelay("resend") as relay, world.mailer(relay.url, retry=None) as mailer:
        for lost in (Answer(lose=True), Answer(status=502), Answer(body=b"junk")):
            relay.next(lost)
            assert [receipt.results[0].outcome for receipt in mailer.send_many(messages)] == [U, U]
            relay.next(lost)
            assert [receipt.results[0].outcome for receipt in mailer.send_many(messages[:1])] == [D]


# --- places -----------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a\n", "b>", "c", "", "\n", ">"]), max_size=6).map("".join), min_size=1, max_size=4
    )
)
def test_places_filled_in_give_each_text_back(texts: list[str]) -> None:
    places = Places({"x": texts, "y": texts[::-1]}, len(texts))
    for number, values in enumerate(places.values):
        assert len(values) == places.count
        assert places.text("x", lambda place, values=values: values[place]) == texts[number]
        assert places.text("y", lambda place, values=values: values[place]) == texts[::-1][number]


def test_places_are_few() -> None:
    places = Places({"x": ["<p>Ann</p>\n<p>x</p><p>1</p>", "<p>Bob</p>\n<p>x</p><p>2</p>"]}, 2)
    assert places.text("x", "[{}]".format) == "<p>[0]\n<p>x</p><p>[1]"
    assert places.values == [["Ann</p>", "1</p>"], ["Bob</p>", "2</p>"]]
