"""The same calls to Flask-Mail as installed and to ours, over SMTP: the same mail, envelope and errors, or a reason.

Each reason is a row of ``DIFFERENT``, which says what either does, so that one that is no longer true fails; they are
those of docs/howto/from-flask-mail.md.
"""

from __future__ import annotations

import email
import email.policy
import gc
import smtplib
import socket
from collections.abc import Iterator
from email import charset
from email.errors import MessageError as HeaderWriteError  # whose kind of that name came with Python 3.13
from pathlib import Path
from typing import Any

import flask_mail as theirs
import pytest
from cases import each
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mail_shape import shape_of, tree_of

import mailer.contrib.flask_mail as ours
from mailer.testing import SmtpServer

# What Flask-Mail does to the whole process as it is imported; other tests compare with an untouched library.
charset.add_charset("utf-8", charset.SHORTEST, charset.BASE64, "utf-8")

TO = "ann@example.org"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "from-flask-mail.md"


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Flask-Mail leaves its sockets open where it raises


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
    where = {
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": server.port,
        "MAIL_DEFAULT_SENDER": "shop@example.com",
        "MAILER_RETRY": "none",
    }
    app.config.update(where | config)
    return app


def outcome_of(module: Any, server: SmtpServer, call: dict[str, Any], **config: Any) -> dict[str, Any]:
    """What one call to send came to."""
    call = dict(call)
    attached, envelope_from = call.pop("attach", ()), call.pop("envelope_from", None)
    server.clear()
    mail, app = module.Mail(), app_of(server, **config)
    mail.init_app(app)
    with app.app_context():
        try:
            message = module.Message(**call)
            for arguments in attached:
                message.attach(*arguments)
            with mail.connect() as connection:
                connection.send(message, envelope_from)
        except Exception as error:
            return {"raised": error}
    [got] = server.mails
    shape = shape_of(got.content)
    assert shape["headers"].pop("message-id") == message.msgId or "Message-ID" in (message.extra_headers or {})
    if "date" not in call:
        shape["headers"].pop("date")
    tree = tree_of(email.message_from_bytes(got.content, policy=email.policy.default))
    for name in ("to", "cc"):  # theirs are in the order of a set
        if name in shape["headers"]:
            shape["headers"][name].sort()
    return {"sender": got.sender, "recipients": sorted(got.recipients), **shape, "tree": tree}


SAME: list[dict[str, Any]] = [
    {"subject": "Hi", "recipients": [TO], "body": "Hello\n.\nFrom me\n"},
    {"subject": "Grüße", "recipients": ["Ä <a@example.org>", ("B, b", "b@example.org")], "body": "Öö\n✓"},
    {"subject": "c", "recipients": [TO], "cc": ["c@example.org"], "bcc": ["d@example.org"], "body": "x", "date": 1e9},
    {"subject": "r", "recipients": [TO], "body": "x", "reply_to": "R é <r@example.org>"},
    {"subject": "s", "recipients": [TO], "body": "x", "sender": ("Jörg Ö", "j@example.com")},
    {"subject": "e", "recipients": [TO], "body": "x", "envelope_from": "bounces@example.com"},
    {"subject": "f", "recipients": [TO], "body": "x", "attach": [("a.txt", "text/plain", "data")]},
    {"subject": "f", "recipients": [TO], "body": "x", "attach": [("ü b.bin", None, b"\0\xff"), ("c.pdf", None, b"%")]},
    {"subject": "f", "recipients": [TO], "body": "x", "attach": [("a.png", None, b"\0", None, {"X-A": "b"})]},
    {"subject": "f", "recipients": [TO], "body": "x", "attach": [("a.png", None, b"\0", "inline")]},
    {"subject": "h", "recipients": [TO], "extra_headers": {"X-A": "b", "List-Id": "<a.example>"}, "body": "x"},
    {"subject": "a\r\n folded\r\n\tsubject", "recipients": [TO], "body": "x"},
    {"subject": "long " * 60, "recipients": [TO], "body": "word " * 600},
    {"subject": "i", "recipients": ["a@bücher.example"], "body": "x"},
    {"subject": "o", "recipients": [TO], "body": "x", "mail_options": ["RET=HDRS"], "rcpt_options": ["NOTIFY=NEVER"]},
    {"subject": "l", "recipients": [TO], "body": "é", "charset": "iso-8859-1"},
    {"subject": "k", "recipients": [TO, TO], "cc": [TO], "body": "x"},
]  # fmt: skip

RAISED_BY_BOTH: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"subject": "n", "recipients": [], "body": "x"}, AssertionError, "recipients"),
    ({"subject": "n", "recipients": [TO], "body": "x", "MAIL_DEFAULT_SENDER": None}, AssertionError, "sender"),
    ({"subject": "a\nBcc: e@example.org", "recipients": [TO], "body": "x"}, Exception, "BadHeaderError"),
    ({"subject": "a\r\n \r\n b", "recipients": [TO], "body": "x"}, Exception, "BadHeaderError"),
    ({"subject": "a", "recipients": [f"{TO}\r\nBcc: e@example.org"], "body": "x"}, Exception, "BadHeaderError"),
    ({"subject": "a", "recipients": [TO], "sender": "a@example.com\nX: y", "body": "x"}, Exception, "BadHeaderError"),
    ({"subject": "a", "recipients": [TO], "reply_to": "a@example.com\rX: y", "body": "x"}, Exception, "BadHeaderError"),
    ({"subject": "f", "recipients": [TO], "attach": [("a.txt", "text/plain", None)]}, ValueError, "data"),
]


@each("call", SAME)
def test_the_same_mail(server: SmtpServer, call: dict[str, Any]) -> None:
    theirs_came_to, ours_came_to = (outcome_of(module, server, call) for module in (theirs, ours))
    assert "raised" not in theirs_came_to, theirs_came_to
    assert ours_came_to == theirs_came_to


@each(("call", "kind", "word"), RAISED_BY_BOTH)
def test_the_same_errors_before_anything_is_sent(
    server: SmtpServer, call: dict[str, Any], kind: type[Exception], word: str
) -> None:
    config = {key: call.pop(key) for key in list(call) if key.startswith("MAIL_")}
    for module in (theirs, ours):
        error = outcome_of(module, server, call, **config)["raised"]
        expected = module.BadHeaderError if word == "BadHeaderError" else kind
        assert isinstance(error, expected), error
        assert word in f"{type(error).__name__} {error}"
        assert not server.mails


# Name (as the page lists it), call, and what is so in theirs and not in ours, and the other way round. Some of theirs
# is the standard library's, which newer Pythons have mended, or refuse.
DIFFERENT: list[tuple[str, dict[str, Any], Any, Any]] = [
    (
        "no empty text part",
        {"subject": "h", "recipients": [TO], "html": "<p>ü</p>"},
        lambda came_to: came_to["tree"] == ("mixed", ("alternative", "text/plain", "text/html")),
        lambda came_to: came_to["tree"] == "text/html",
    ),
    (
        "fewer multiparts",
        {"subject": "h", "recipients": [TO], "html": "<p>ü</p>", "body": "x"},
        lambda came_to: came_to["tree"] == ("mixed", ("alternative", "text/plain", "text/html")),
        lambda came_to: came_to["tree"] == ("alternative", "text/plain", "text/html"),
    ),
    (
        "html before other alternatives",
        {"subject": "h", "recipients": [TO], "html": "<p>ü</p>", "body": "x", "alts": {"calendar": "BEGIN"}},
        lambda came_to: [leaf[0] for leaf in came_to["leaves"]] == ["text/plain", "text/calendar", "text/html"],
        lambda came_to: [leaf[0] for leaf in came_to["leaves"]] == ["text/plain", "text/html", "text/calendar"],
    ),
    (
        "images beside their html",
        {
            "subject": "f",
            "recipients": [TO],
            "html": '<img src="cid:logo">',
            "attach": [("l.png", None, b"\0", "inline", {"Content-ID": "<logo>"})],
        },
        lambda came_to: came_to["tree"][0] == "mixed",
        lambda came_to: came_to["tree"] == ("related", "text/html", "image/png"),
    ),
    (
        "attachments have names",
        {"subject": "f", "recipients": [TO], "body": "x", "attach": [(None, "image/png", b"\0")]},
        lambda came_to: came_to["leaves"][1][2:4] == (None, None),
        lambda came_to: came_to["leaves"][1][2:4] == ("attachment", "attachment"),
    ),
    (
        "text attachments in UTF-8",
        {"subject": "f", "recipients": [TO], "body": "x", "attach": [("a.txt", None, "dä✓")]},
        lambda came_to: came_to["leaves"][1][1] == b"d\xe4\\u2713",
        lambda came_to: came_to["leaves"][1][1] == "dä✓".encode(),
    ),
    (
        "attached mails as they are",
        {"subject": "f", "recipients": [TO], "body": "x", "attach": [("m.eml", "message/rfc822", b"Subject: a\n\nb")]},
        lambda came_to: came_to["leaves"][1][1]["headers"].get("subject") != "a",
        lambda came_to: came_to["leaves"][1][1]["headers"].get("subject") == "a",
    ),
    (
        "one mailbox under two names",
        {"subject": "h", "recipients": [TO], "cc": [f"Ann <{TO}>"], "body": "x"},
        lambda came_to: came_to["recipients"] == [TO, TO],
        lambda came_to: came_to["recipients"] == [TO],
    ),
    (
        "blanks in long subjects",
        {"subject": "0¡¡ 00¡¡ࠀ 0000¡¡¡¡¡𐀀𐀀𐀀 ¡𐀀", "recipients": [TO], "body": "x"},
        lambda came_to: came_to["headers"]["subject"].replace(" ", "") == "0¡¡00¡¡ࠀ0000¡¡¡¡¡𐀀𐀀𐀀¡𐀀",
        lambda came_to: came_to["headers"]["subject"] == "0¡¡ 00¡¡ࠀ 0000¡¡¡¡¡𐀀𐀀𐀀 ¡𐀀",
    ),
    (
        "headers beyond ASCII",
        {"subject": "h", "recipients": [TO], "extra_headers": {"X-A": "ü"}, "body": "x"},
        lambda came_to: isinstance(came_to.get("raised"), UnicodeEncodeError) or came_to["headers"]["x-a"] == "ü",
        lambda came_to: came_to["headers"]["x-a"] == "ü",
    ),
    (
        "a further header takes its own's place",
        {"subject": "h", "recipients": [TO], "extra_headers": {"Message-ID": "<1@x.example>"}, "body": "x"},
        lambda came_to: came_to["headers"]["twice"] == ["message-id"],
        lambda came_to: "twice" not in came_to["headers"],
    ),
    (
        "addresses beyond ASCII",
        {"subject": "h", "recipients": ["ü@example.org"], "body": "x"},
        lambda came_to: isinstance(came_to["raised"], UnicodeEncodeError),
        lambda came_to: came_to["recipients"] == ["ü@example.org"],
    ),
    (
        "domains by IDNA 2008",
        {"subject": "h", "recipients": ["a@straße.example"], "body": "x"},
        lambda came_to: came_to["recipients"] == ["a@strasse.example"],
        lambda came_to: came_to["recipients"] == ["a@xn--strae-oqa.example"],
    ),
    (
        "several addresses in one string",
        {"subject": "h", "recipients": [f"{TO}, eve@example.org"], "body": "x"},
        lambda came_to: isinstance(came_to.get("raised"), smtplib.SMTPException) or came_to["recipients"] == [TO],
        lambda came_to: isinstance(came_to["raised"], ours.BadHeaderError),
    ),
    (
        "what is no address",
        {"subject": "h", "recipients": ["ann"], "body": "x"},
        lambda came_to: came_to["recipients"] == ["ann"],
        lambda came_to: isinstance(came_to["raised"], ours.BadHeaderError),
    ),
    (
        "injection by cc, bcc or further headers",
        {"subject": "h", "recipients": [TO], "extra_headers": {"X": "a\r\nBcc: e@example.org"}, "body": "x"},
        lambda came_to: isinstance(came_to.get("raised"), HeaderWriteError) or "bcc" in came_to["headers"],
        lambda came_to: isinstance(came_to["raised"], ours.BadHeaderError),
    ),
    (
        "a name with a comma",
        {"subject": "h", "recipients": [TO], "sender": ("Shop, Inc", "s@example.com"), "body": "x"},
        lambda came_to: came_to["headers"]["from"] != [("Shop, Inc", "s@example.com")],
        lambda came_to: came_to["headers"]["from"] == [("Shop, Inc", "s@example.com")],
    ),
]


@each(("name", "call", "in_theirs", "in_ours"), DIFFERENT)
def test_what_differs_has_its_reason_and_still_does(
    server: SmtpServer, name: str, call: dict[str, Any], in_theirs: Any, in_ours: Any
) -> None:
    for module, holds in ((theirs, in_theirs), (ours, in_ours)):
        came_to = outcome_of(module, server, call)
        assert holds(came_to), (module.__name__, came_to)
    assert f"| {name} |" in PAGE.read_text(), f"docs/howto/from-flask-mail.md has no row {name!r}"


def test_a_string_of_recipients_is_letters_to_theirs_and_an_error_to_ours(server: SmtpServer) -> None:
    app = app_of(server)
    for module in (theirs, ours):
        module.Mail(app)
        with app.app_context():
            if module is theirs:
                assert module.Message("h", TO).send_to == set(TO)
            else:
                with pytest.raises(TypeError, match="recipients"):
                    module.Message("h", TO)
    assert "| one recipient that is no list |" in PAGE.read_text()


# --- what servers say -------------------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, str, tuple[str, str], type[Exception]]] = [
    ("all refused", "RCPT", ("*", "550 5.1.1 no such user"), smtplib.SMTPRecipientsRefused),
    ("the sender refused", "MAIL", ("*", "550 5.7.1 not you"), smtplib.SMTPSenderRefused),
    ("the mail refused", ".", ("*", "554 5.6.0 no"), smtplib.SMTPDataError),
    ("the greeting refused", "CONNECT", ("*", "554 5.3.2 go away"), smtplib.SMTPConnectError),
]


@each(("name", "verb", "rule", "kind"), ANSWERS)
def test_what_a_server_refuses_is_the_same_exception(
    server: SmtpServer, name: str, verb: str, rule: tuple[str, str], kind: type[Exception]
) -> None:
    call = {"subject": "h", "recipients": [TO, "bob@example.org"], "body": "x"}
    said = {}
    for module in (theirs, ours):
        server.rules.clear()
        server.on(verb, rule[0]).reply(rule[1])
        error = outcome_of(module, server, call)["raised"]
        assert isinstance(error, kind), (module.__name__, error)
        refused = getattr(error, "recipients", None)
        said[module] = {who: code for who, (code, _) in refused.items()} if refused else getattr(error, "smtp_code", 0)
    server.rules.clear()
    assert said[ours] == said[theirs]


def test_what_the_system_and_the_login_say_is_the_same_exception(server: SmtpServer) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
        call = {"subject": "h", "recipients": [TO], "body": "x"}
        for module in (theirs, ours):
            assert isinstance(outcome_of(module, server, call, MAIL_PORT=closed)["raised"], ConnectionRefusedError)
    with SmtpServer(users={"ann": "right"}) as closed_server:
        for module in (theirs, ours):
            config = {"MAIL_USERNAME": "ann", "MAIL_PASSWORD": "wrong-word"}
            error = outcome_of(module, closed_server, call, **config)["raised"]
            assert isinstance(error, smtplib.SMTPAuthenticationError)
            assert error.smtp_code == 535
    for module in (theirs, ours):
        error = outcome_of(module, server, call, MAIL_USE_TLS=True)["raised"]
        assert isinstance(error, smtplib.SMTPNotSupportedError)


def test_some_refused_are_no_exception(server: SmtpServer) -> None:
    call = {"subject": "h", "recipients": [TO, "bob@example.org"], "body": "x"}
    for module in (theirs, ours):
        server.rules.clear()
        server.on("RCPT", "bob@*").reply("550 5.1.1 no such user")
        assert outcome_of(module, server, call)["recipients"] == [TO]
    server.rules.clear()


# --- any message ------------------------------------------------------------------------------------------------------

# So short that no header is folded: the standard library loses blanks between encoded-words then, and addresses.
words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6)
texts = st.lists(words, max_size=8).map(" ".join)
plain = st.lists(st.sampled_from(["a@example.org", "b@example.net"]), min_size=1, max_size=3)
named = words.filter(lambda name: "@" not in name).map(lambda name: [(name, "a@example.org")])
calls = st.fixed_dictionaries(
    {"subject": words, "recipients": plain | named, "body": texts},
    optional={"cc": plain | named, "html": words, "date": st.integers(10**8, 2 * 10**9)},
)


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(call=calls)
def test_any_message_is_the_same_mail(server: SmtpServer, call: dict[str, Any]) -> None:
    came_to = [outcome_of(module, server, call) for module in (theirs, ours)]
    for one in came_to:
        one.pop("tree", None)
        one["recipients"] = set(one.get("recipients", ()))  # theirs may have one twice: see the table
    assert came_to[1] == came_to[0]
