"""The same calls to Flask-Mailman as installed and to ours, over SMTP: the same mail, envelope, count and errors.

Where not, a row of ``DIFFERENT`` says what either does, so that one that is no longer true fails; they are those of
docs/howto/from-flask-mailman.md.
"""

from __future__ import annotations

import email
import email.policy
import gc
import smtplib
import socket
from collections.abc import Iterator
from email.mime.image import MIMEImage
from pathlib import Path
from typing import Any

import flask_mailman as theirs
import pytest
from cases import each
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mail_shape import shape_of, tree_of

import mailer.contrib.flask_mailman as ours
from mailer.testing import SmtpServer

TO = "ann@example.org"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "from-flask-mailman.md"


pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # Flask-Mailman leaves its sockets open where it raises


@pytest.fixture(autouse=True)
def no_sockets_left() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


def app_of(server: SmtpServer, **config: Any) -> Flask:
    app = Flask("shop")
    where = {"MAIL_SERVER": "127.0.0.1", "MAIL_PORT": server.port, "MAIL_DEFAULT_SENDER": "shop@example.com"}
    app.config.update(where | {"MAILER_RETRY": "none"} | config)
    return app


def message_of(module: Any, call: dict[str, Any]) -> Any:
    call = dict(call)
    attached, subtype = call.pop("attach", ()), call.pop("content_subtype", "plain")
    message = (module.EmailMultiAlternatives if "alternatives" in call else module.EmailMessage)(**call)
    message.content_subtype = subtype
    for arguments in attached:
        message.attach(*arguments)
    return message


def shown(content: bytes) -> dict[str, Any]:
    shape = shape_of(content)
    for name in ("date", "message-id"):
        shape["headers"].pop(name, None)
    return {**shape, "tree": tree_of(email.message_from_bytes(content, policy=email.policy.default))}


def outcome_of(module: Any, server: SmtpServer, call: dict[str, Any], **config: Any) -> dict[str, Any]:
    """What one call to send came to."""
    server.clear()
    app = app_of(server, **config)
    module.Mail(app)
    with app.app_context():
        try:
            count = message_of(module, call).send(fail_silently=bool(config.get("SILENT")))
        except Exception as error:
            return {"raised": error}
    if not server.mails:
        return {"count": count}
    [got] = server.mails
    return {"count": count, "sender": got.sender, "recipients": list(got.recipients), **shown(got.content)}


def image(cid: str) -> MIMEImage:
    part = MIMEImage(b"\0", "png")
    part.add_header("Content-ID", f"<{cid}>")
    part.add_header("Content-Disposition", "inline", filename="l.png")
    return part


HTML = ("<p>ü</p>", "text/html")
SAME: list[dict[str, Any]] = [
    {"subject": "Hi", "to": [TO], "body": "Hello\n.\nFrom me\n"},
    {"subject": "Grüße", "to": ["Ä <a@example.org>", '"B, b" <b@example.org>'], "body": "Öö\n✓", "cc": ["c@x.example"]},
    {"subject": "b", "to": [TO], "body": "x", "bcc": ["d@example.org"], "reply_to": ["R <r@x.example>", "s@x.example"]},
    {"subject": "t", "to": [TO], "body": "x", "from_email": ("Jörg, Ö", "j@example.com")},
    {"subject": "h", "to": [TO], "body": "<p>ü</p>", "content_subtype": "html"},
    {"subject": "h", "to": [TO], "body": "x", "alternatives": [HTML]},
    {"subject": "h", "to": [TO], "body": "x", "alternatives": [HTML, ("BEGIN", "text/calendar; method=REQUEST")]},
    {"subject": "h", "to": [TO], "body": "x", "alternatives": [(b"\0", "application/x-y")]},
    {"subject": "h", "to": [TO], "body": "x", "alternatives": [HTML], "attach": [("ü b.bin", b"\0\xff", None)]},
    {"subject": "f", "to": [TO], "body": "x", "attach": [("a.txt", "dätä", "text/plain"), ("b.txt", b"x", None)]},
    {"subject": "f", "to": [TO], "body": "", "attach": [("a.txt", b"\xff", "text/plain")]},
    {"subject": "f", "to": [TO], "body": "x", "attach": [("m.eml", "Subject: a\n\nb", "message/rfc822")]},
    {"subject": "f", "to": [TO], "body": "x", "attach": [(image("a"),)]},
    {"to": [TO]},
    {"subject": "e", "to": [TO], "body": "x", "headers": {"X-A": "ü b", "List-Id": "<a.example>"}},
    {"subject": "e", "to": [TO], "body": "x", "headers": {"From": "F <f@example.com>", "Sender": "s@example.com"}},
    {"subject": "e", "to": [TO], "body": "x", "headers": {"Reply-To": "q@example.org"}},
    {"subject": "i", "to": ["a@bücher.example"], "body": "x"},
    {"subject": "k", "to": [TO], "body": "word " * 600 + "\n" + "w" * 1200},
    {"subject": "n", "to": [], "body": "x"},
]  # fmt: skip

RAISED_BY_BOTH: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"subject": "a\nBcc: e@example.org", "to": [TO]}, ValueError),
    ({"subject": "a", "to": [f"{TO}\r\nBcc: e@example.org"]}, ValueError),
    ({"subject": "a", "to": [TO], "headers": {"X": "a\nBcc: e@example.org"}}, ValueError),
    ({"subject": "a", "to": [f"{TO}, eve@example.org"]}, ValueError),
    ({"subject": "a", "to": TO}, TypeError),
    ({"subject": "a", "to": [TO], "attach": [("a.txt", None)]}, ValueError),
    ({"subject": "a", "to": [TO], "attach": [(image("a"), "x")]}, ValueError),
]


@each("call", SAME)
def test_the_same_mail(server: SmtpServer, call: dict[str, Any]) -> None:
    came_to = [outcome_of(module, server, call) for module in (theirs, ours)]
    assert "raised" not in came_to[0], came_to[0]
    assert came_to[1] == came_to[0]


@each("call", SAME)
def test_message_gives_the_same_parts_and_encodings(server: SmtpServer, call: dict[str, Any]) -> None:
    written = []
    for module in (theirs, ours):
        app = app_of(server)
        module.Mail(app)
        with app.app_context():
            message = message_of(module, call).message()
        written.append((shown(message.as_bytes(linesep="\r\n")), sorted(set(message.keys()) - {"Date", "Message-ID"})))
    if "headers" in call and "Reply-To" not in call["headers"]:
        written[0] = (written[0][0], written[1][1])  # theirs may have one twice: see the table
    assert written[1] == written[0]


@each(("call", "kind"), RAISED_BY_BOTH)
def test_the_same_errors_before_anything_is_sent(
    server: SmtpServer, call: dict[str, Any], kind: type[Exception]
) -> None:
    for module in (theirs, ours):
        assert isinstance(outcome_of(module, server, call, SILENT=True)["raised"], kind)
        assert not server.mails


# Name (as the page lists it), call, and what is so in theirs and not in ours, and the other way round.
DIFFERENT: list[tuple[str, dict[str, Any], Any, Any]] = [
    (
        "attachments have names",
        {"subject": "f", "to": [TO], "body": "x", "attach": [(None, b"\0", "image/png")]},
        lambda came_to: came_to["leaves"][1][2:4] == (None, None),
        lambda came_to: came_to["leaves"][1][2:4] == ("attachment", "attachment"),
    ),
    (
        "fewer multiparts",
        {"subject": "h", "to": [TO], "alternatives": [HTML]},
        lambda came_to: came_to["tree"] == ("alternative", "text/html"),
        lambda came_to: came_to["tree"] == "text/html",
    ),
    (
        "images beside their html",
        {"subject": "h", "to": [TO], "body": '<img src="cid:a">', "content_subtype": "html", "attach": [(image("a"),)]},
        lambda came_to: came_to["tree"][0] == "mixed",
        lambda came_to: came_to["tree"] == ("related", "text/html", "image/png"),
    ),
    (
        "To, Cc and Reply-To among the headers",
        {"subject": "h", "to": [TO], "headers": {"To": "list@example.org"}},
        lambda came_to: came_to["headers"]["twice"] == ["to"],
        lambda came_to: came_to["headers"]["to"] == [("", "list@example.org")] and "twice" not in came_to["headers"],
    ),
    (
        "Bcc among the headers",
        {"subject": "h", "to": [TO], "headers": {"Bcc": "list@example.org"}},
        lambda came_to: came_to["headers"]["bcc"] == "list@example.org",
        lambda came_to: isinstance(came_to["raised"], ours.BadHeaderError),
    ),
    (
        "a line break in a header's name",
        {"subject": "h", "to": [TO], "body": "b", "headers": {"X\nY": "a"}},
        lambda came_to: "Y: a" in came_to["leaves"][0][1],
        lambda came_to: isinstance(came_to["raised"], ours.BadHeaderError),
    ),
    (
        "domains by IDNA 2008",
        {"subject": "h", "to": ["a@straße.example"]},
        lambda came_to: came_to["recipients"] == ["a@strasse.example"],
        lambda came_to: came_to["recipients"] == ["a@xn--strae-oqa.example"],
    ),
    (
        "addresses beyond ASCII",
        {"subject": "h", "to": ["ü@example.org"]},
        lambda came_to: came_to["recipients"] == ["=?utf-8?b?w7w=?=@example.org"],
        lambda came_to: came_to["recipients"] == ["ü@example.org"],
    ),
    (
        "addresses without a domain",
        {"subject": "h", "to": ["root"]},
        lambda came_to: came_to["recipients"] == ["root"],
        lambda came_to: isinstance(came_to["raised"], ours.BadHeaderError),
    ),
    (
        "a recipient named twice",
        {"subject": "h", "to": [TO], "cc": [TO]},
        lambda came_to: came_to["recipients"] == [TO, TO],
        lambda came_to: came_to["recipients"] == [TO],
    ),
]


@each(("name", "call", "in_theirs", "in_ours"), DIFFERENT)
def test_what_differs_has_its_reason_and_still_does(
    server: SmtpServer, name: str, call: dict[str, Any], in_theirs: Any, in_ours: Any
) -> None:
    for module, holds in ((theirs, in_theirs), (ours, in_ours)):
        came_to = outcome_of(module, server, call)
        assert holds(came_to), (module.__name__, came_to)
    assert f"| {name} |" in PAGE.read_text(), f"docs/howto/from-flask-mailman.md has no row {name!r}"


# --- what servers and the system say ----------------------------------------------------------------------------------


@each(
    ("verb", "reply", "kind"),
    [
        ("RCPT", "550 5.1.1 no such user", smtplib.SMTPRecipientsRefused),
        ("MAIL", "550 5.7.1 not you", smtplib.SMTPSenderRefused),
        (".", "554 5.6.0 no", smtplib.SMTPDataError),
        ("CONNECT", "554 5.3.2 go away", smtplib.SMTPConnectError),
    ],
)
def test_what_a_server_refuses_is_the_same_exception_or_silence(
    server: SmtpServer, verb: str, reply: str, kind: type[Exception]
) -> None:
    for module in (theirs, ours):
        server.rules.clear()
        server.on(verb).reply(reply)
        call = {"subject": "h", "to": [TO], "body": "x"}
        assert isinstance(outcome_of(module, server, call)["raised"], kind), module.__name__
        assert outcome_of(module, server, call, SILENT=True) == {"count": 0}
    server.rules.clear()


def test_no_connection_is_the_same_exception_or_silence(server: SmtpServer) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        call = {"subject": "h", "to": [TO], "body": "x"}
        for module in (theirs, ours):
            assert isinstance(outcome_of(module, server, call, MAIL_PORT=port)["raised"], ConnectionRefusedError)
            assert outcome_of(module, server, call, MAIL_PORT=port, SILENT=True) == {"count": 0}


def test_the_functions_count_and_send_the_same(server: SmtpServer) -> None:
    sent = []
    for module in (theirs, ours):
        server.clear()
        app = app_of(server)
        mail = module.Mail(app)
        with app.app_context():
            one = mail.send_mail("a", "b", None, [TO, "bob@example.org"], html_message="<p>b</p>")
            rows = [("s", "m", "f@example.com", [TO]), ("t", "n", None, []), ("u", "o", None, ["c@example.org"])]
            many = mail.send_mass_mail(rows)
            with mail.get_connection() as connection:
                opened = connection.open()
                manual = connection.send_messages([module.EmailMessage("x", "y", to=[TO])])
            closed = connection.connection
        sent.append(
            (one, many, opened, manual, closed, [(m.sender, m.recipients, shown(m.content)) for m in server.mails])
        )
    assert sent[1] == sent[0]


# --- any message ------------------------------------------------------------------------------------------------------

# Short, so that the standard library needs no second encoded-word, between which it loses blanks.
words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6)
texts = st.lists(words, max_size=8).map(" ".join)
boxes = st.sampled_from(["a@example.org", "Bo <b@example.net>", "Ü ü <c@example.org>"])
calls = st.fixed_dictionaries(
    {"subject": words, "to": st.lists(boxes, min_size=1, max_size=3, unique=True), "body": texts},
    optional={
        "bcc": st.just(["d@example.org"]),
        "alternatives": words.map(lambda text: [(text, "text/html")]),
    },
)


@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(call=calls)
def test_any_message_is_the_same_mail(server: SmtpServer, call: dict[str, Any]) -> None:
    came_to = [outcome_of(module, server, call) for module in (theirs, ours)]
    for one in came_to:
        one.pop("tree", None)
    assert came_to[1] == came_to[0]
