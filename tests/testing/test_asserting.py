"""assert_sent and assert_nothing_sent: what fits, and what is said where nothing does."""

from __future__ import annotations

import re

import pytest
from cases import each

from mailer import Address, Attachment, Mailer, Message, Outcome
from mailer.testing import MailOutbox, SentMail, SmtpServer, assert_nothing_sent, assert_sent

FULL = Message(
    from_="Shop <shop@example.com>",
    to=["Ann <ann@example.org>", "bob@bücher.example"],
    cc="Cyd <cyd@example.org>",
    bcc="dee@example.org",
    subject="Order 7",
    text="Thanks, Ann.\nYou ordered 7 pears.",
    html="<p>Thanks</p>",
    attachments=[Attachment.from_bytes("bill.pdf", b"%PDF"), Attachment.from_bytes("terms.txt", b"x")],
    headers=[("X-Note", "one"), ("X-Note", "two")],
    tags=["order", "de"],
    metadata={"order": 7, "path": ["a"]},
    locale="de",
    priority=1,
)


def sent(*messages: Message) -> MailOutbox:
    with MailOutbox() as outbox:
        for message in messages:
            Mailer("smtp://nowhere.invalid").send(message)
    return outbox


FITS = [
    {},
    {"to": "ann@example.org"},
    {"to": "ann@EXAMPLE.org"},
    {"to": "Ann <ann@example.org>"},
    {"to": Address("", "bob", "bücher.example")},
    {"to": "bob@xn--bcher-kva.example"},
    {"to": "*@example.org"},
    {"to": re.compile("^Ann ")},
    {"to": lambda address: address.local == "bob"},
    {"to": ["bob@bücher.example", "Ann <ann@example.org>"]},
    {"to": ["*", "ann@example.org"]},  # the star is Bob's, though Ann would do
    {"to": {"*@example.org", "bob@*"}},
    {"cc": "cyd@example.org", "bcc": ["dee@example.org"], "reply_to": None, "from_": "Shop <shop@example.com>"},
    {"reply_to": []},
    {"recipients": ["ann@*", "bob@*", "cyd@*", "dee@*"]},
    {"subject": "Order 7"},
    {"subject": re.compile(r"\d$")},
    {"subject": str.istitle},
    {"text": "7 pears"},
    {"text": ["Thanks", "Ann", re.compile(r"^You", re.M), lambda text: text.endswith("pears.")]},
    {"html": "<p>"},
    {"template": None, "amp_html": None},
    {"attachments": "bill.pdf"},
    {"attachments": ["terms.txt", "bill.pdf"]},
    {"attachments": 2},
    {"attachments": re.compile("pdf$")},
    {"attachments": lambda file: file.content == b"%PDF"},
    {"tags": "order"},
    {"tags": ["de", "order"]},
    {"metadata": {"order": 7, "gone": None}},
    {"metadata": {"path": ["a"]}},
    {"headers": {"x-note": "two", "Subject": re.compile("^Order"), "X-Gone": None}},
    {"backend": "smtp://nowhere.invalid"},
    {"backend": "smtp:*"},
    {"locale": "de", "priority": 1, "send_at": None},
    {"locale": re.compile("^d"), "priority": lambda priority: priority < 3},
]
DIFFERS = [
    {"to": "eve@example.org"},
    {"to": "cyd@example.org"},
    {"to": "Eve <ann@example.org>"},
    {"to": ["ann@example.org"]},
    {"to": ["ann@example.org", "ann@example.org"]},
    {"to": ["*", "*", "*"]},
    {"to": None},
    {"cc": []},
    {"to": re.compile("^Bob")},
    {"bcc": "cyd@example.org"},
    {"recipients": "eve@*"},
    {"subject": "Order"},
    {"subject": None},
    {"subject": re.compile("^7")},
    {"text": "8 pears"},
    {"text": ["Thanks", "8 pears"]},
    {"html": None},
    {"html": lambda html: False},
    {"template": "order"},
    {"amp_html": "x"},
    {"attachments": "bill"},
    {"attachments": ["bill.pdf"]},
    {"attachments": 1},
    {"attachments": None},
    {"tags": "ord"},
    {"tags": ["order"]},
    {"tags": None},
    {"metadata": {"order": "7"}},
    {"metadata": {"order": None}},
    {"headers": {"X-Note": "three"}},
    {"headers": {"X-Note": None}},
    {"backend": "smtp://else.invalid"},
    {"locale": "en"},
    {"priority": None},
]


def test_what_fits_and_what_differs() -> None:
    outbox = sent(FULL)
    for expected in FITS:
        assert outbox.assert_sent(**expected) is outbox[0], expected
        with pytest.raises(
            AssertionError, match=r"\Anothing(?: with .*)? was to be sent, and a mail was:\n  1\. <SentMail"
        ):
            outbox.assert_nothing_sent(**expected)
    for expected in DIFFERS:
        outbox.assert_nothing_sent(**expected)
        with pytest.raises(AssertionError) as raised:
            outbox.assert_sent(**expected)
        [name] = expected
        assert re.search(rf"^  ! {name}  expected .+\n +is       .+$", str(raised.value), re.M), raised.value


@each(
    ("expected", "error", "says"),
    [
        ({"too": "x"}, TypeError, "not looked for by 'too'; did you mean 'to'"),
        ({"to": "ann"}, ValueError, r"to='ann'.*'\*@example.org'"),
        ({"to": ["ann@example.org", 7]}, TypeError, "to=7: int is no mailbox"),
        ({"subject": 7}, TypeError, "subject=7: int"),
        ({"subject": ["a"]}, TypeError, "subject"),
        ({"text": b"x"}, TypeError, "text"),
        ({"tags": [7]}, TypeError, "tags"),
        ({"headers": "X-Note"}, TypeError, "must be a mapping"),
        ({"attachments": 1.5}, TypeError, "attachments"),
        ({"attachments": True}, TypeError, "how many"),
        ({"subject": re.compile(b"x")}, TypeError, "bytes"),
        ({"to": re.compile(b"x")}, TypeError, "bytes"),
        ({"headers": {"X-Note": re.compile(b"x")}}, TypeError, "bytes"),
        ({"headers": {7: "x"}}, TypeError, "7 is no name"),
    ],
)
def test_a_wrong_expectation_is_no_mismatch(expected, error, says) -> None:
    for function in (assert_sent, assert_nothing_sent):
        with pytest.raises(error, match=says):
            function([], **expected)
    for count in (True, -1, "2", 1.0):
        with pytest.raises(TypeError, match="count="):
            assert_sent([], count=count)


def test_what_is_returned() -> None:
    outbox = sent(FULL, FULL.with_(subject="Order 8"), FULL.with_(subject="Welcome"))
    assert outbox.assert_sent(subject=re.compile("Order")) is outbox[1]
    assert outbox.assert_sent(subject=re.compile("Order"), count=2) == outbox[:2]
    assert outbox.assert_sent(count=3) == outbox
    assert outbox.assert_sent(subject="Gone", count=0) == []


def test_whatever_has_mails_will_do() -> None:
    with Mailer("memory:") as mailer, SmtpServer() as server, Mailer(server.url) as other:
        mailer.send(FULL)
        other.send(FULL)
        for mails in (mailer, mailer.backend, mailer.backend.mails, iter(mailer.backend.mails), server, server.mails):
            assert isinstance(assert_sent(mails, to="ann@example.org", subject="Order 7", count=1)[0], SentMail)
            if not hasattr(mails, "__next__"):
                assert_nothing_sent(mails, subject="Order 8")
    for wrong in (7, "text", None):
        with pytest.raises(TypeError, match="has no mails"):
            assert_sent(wrong)


def said(outbox: MailOutbox, **expected: object) -> str:
    with pytest.raises(AssertionError) as raised:
        outbox.assert_sent(**expected)
    return str(raised.value)


def test_the_nearest_is_shown_field_by_field() -> None:
    other = Message(from_="shop@example.com", to="ann@example.org", subject="Welcome", text="Hello Ann")
    outbox = sent(other, FULL.with_(to="ann@example.org"))
    text = said(outbox, to="ann@example.org", subject="Order 8", text="9 pears", headers={"X-Note": "3"})
    assert text == "\n".join(
        [
            "no mail with to='ann@example.org', subject='Order 8', text='9 pears', headers={'X-Note': '3'} was sent",
            "the nearest is mail 2 of 2:",
            "    to       as expected",
            "  ! subject  expected 'Order 8'",
            "             is       'Order 7'",
            "                             ^",
            "  ! text     expected with '9 pears'",
            "             is       'Thanks, Ann.\\nYou ordered 7 pears.'",
            "                      the line most like '9 pears': 'You ordered 7 pears.'",
            "  ! headers  expected {'X-Note': '3'}",
            "             is       a header of 12 fields",
            "                      X-Note: expected '3', is 'one', 'two'",
            "all that was sent:",
            "  1. <SentMail 'Welcome' to ann@example.org>",
            "  2. <SentMail 'Order 7' to ann@example.org, cyd@example.org, dee@example.org>",
        ]
    )


def test_too_many_and_too_few() -> None:
    outbox = sent(FULL.with_(to="a@x.test", cc=(), bcc=()), FULL.with_(to="b@x.test", cc=(), bcc=()))
    assert said(outbox, subject="Order 7", count=1) == (
        "1 mail with subject='Order 7' expected to be sent, and 2 were\nthese fit:\n"
        "  1. <SentMail 'Order 7' to a@x.test>\n  2. <SentMail 'Order 7' to b@x.test>"
    )
    assert "1 expected, 2 there" in said(sent(FULL.with_(tags=["a", "a"])), tags=["a"])
    text = said(outbox, to="a@x.test", count=2)
    assert text.startswith("2 mails with to='a@x.test' expected to be sent, and 1 was\nthese fit:\n  1. ")
    assert "the nearest is mail 2 of 2:\n  ! to  expected 'a@x.test'\n        is       b@x.test" in text


def test_nothing_at_all_and_what_was_refused() -> None:
    assert said(sent(), to="ann@example.org") == "no mail with to='ann@example.org' was sent\nno mail was sent at all"
    assert said(sent()) == "no mail was sent\nno mail was sent at all"
    with MailOutbox() as outbox:
        outbox.fail_with(Outcome.REJECTED, text="blocked")
        list(Mailer("smtp://nowhere.invalid").send_many([FULL]))
    assert said(outbox).endswith("tried, and accepted for nobody:\n" + f"  {outbox.attempts[0]!r}, REJECTED: blocked")


def test_what_is_long_is_cut_and_takes_no_time() -> None:
    outbox = sent(*[FULL.with_(subject=f"{n}", text="line of text\n" * 5_000) for n in range(30)])
    text = said(outbox, subject="x" * 5_000, text="another line of text" * 100)
    assert len(text) < 6_000
    assert "... and 10 more" in text
