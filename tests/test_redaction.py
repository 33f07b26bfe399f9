"""Redaction: what is known to be secret, in every form; what looks like it; and records that hold either."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import time
from collections import namedtuple
from urllib.parse import quote, quote_plus

import pytest
from cases import each
from hypothesis import assume, given
from hypothesis import strategies as st

from mailer.redaction import MASK, RedactingFilter, Secrets, redacted, sounds_secret

PASSWORD = "s3cr+t pä55/wörd%&@:#?"
FORMS = {
    "raw": lambda text: text,
    "upper": str.upper,
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "backslashes": lambda text: text.encode().decode("ascii", "backslashreplace"),
    "json": json.dumps,
    "html": html.escape,
    "percent": quote,
    "percent, all": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of PLAIN": lambda text: base64.b64encode(b"\0user\0" + text.encode()).decode(),
    "base64 inside": lambda text: base64.b64encode(b"ab" + text.encode() + b"cd").decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"a" + text.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_hidden_in_every_form_and_nothing_else(form):
    text = f"535 5.7.8 no: {FORMS[form](PASSWORD)} is wrong"
    shown = Secrets(PASSWORD).hide(text)
    assert re.fullmatch(r"535 5\.7\.8 no: (b?['\"])?\*\*\*['\"]? is wrong", shown)
    assert Secrets(PASSWORD).found_in(text)
    assert not Secrets(PASSWORD).found_in(shown)


@given(
    secret=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=8, max_size=40),
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
    form=st.sampled_from(sorted(FORMS)),
)
def test_no_encoding_of_any_secret_gets_through(secret, before, after, form):
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    shown = Secrets(secret).hide(f"= {encoded} = {FORMS[form](secret)} =")
    decoded = b"".join(base64.b64decode(run + "==", validate=False) for run in re.findall(r"[A-Za-z0-9+/]{8,}", shown))
    assert secret.encode() not in decoded
    assert secret not in shown


def test_a_short_secret_takes_the_whole_text_with_it():
    """Hiding two letters in "pw was wrong" would tell which they are."""
    assert Secrets("pw").hide("the pw was wrong") == MASK
    assert Secrets("pw").hide("the password was wrong") == "the password was wrong"
    assert Secrets("", b"").hide("anything") == "anything"


def test_secrets_show_none():
    assert repr(Secrets(PASSWORD)) == "<Secrets>"


@each(
    ("text", "shown"),
    [
        ("smtp://user:hush@h:25/x", "smtp://user:***@h:25/x"),
        ("postmark://TOKEN@default", "postmark://***@default"),
        ("failover(smtp://u:a/b@h smtps://T@x)?rest=1", "failover(smtp://u:***@h smtps://***@x)?rest=1"),
        ("https://api.test/email", "https://api.test/email"),
        ("?api_key=hush&to=1", "?api_key=***&to=1"),
        ('{"password": "a b\\"c", "n": 1}', '{"password": "***", "n": 1}'),
        ('"{\\"password\\": \\"a b\\", \\"n\\": 1}"', '"{\\"password\\": \\"***\\", \\"n\\": 1}"'),
        ("Endpoint(password='hush', port=25)", "Endpoint(password='***', port=25)"),
        ("password='never closed, and more", "password='***'"),
        ("SMTP_PASSWORD=hush, x=1", "SMTP_PASSWORD=***, x=1"),
        ("X-Postmark-Server-Token: hush", "X-Postmark-Server-Token: ***"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=a/b, Signature=ff", "Authorization: ***"),
        ("[(b'Authorization', b'Bearer hush'), (b'Accept', b'x')]", "[(b'Authorization', b'***'), (b'Accept', b'x')]"),
        ("got Bearer abcdefgh.ijk-l=", "got Bearer ***"),
        ("AUTH PLAIN AGEAaHVzaA==", "AUTH PLAIN ***"),
        ("C: auth xoauth2 dXNlcj1h", "C: auth xoauth2 ***"),
        ("250-AUTH PLAIN LOGIN XOAUTH2", "250-AUTH PLAIN LOGIN XOAUTH2"),
        ("250-AUTH=LOGIN PLAIN", "250-AUTH=LOGIN PLAIN"),
        ("535 5.7.8 Error: authentication failed", "535 5.7.8 Error: authentication failed"),
        ("the passengers passed: 3, monkey: 4", "the passengers passed: 3, monkey: 4"),
    ],
)
def test_what_looks_like_a_secret(text, shown):
    assert redacted(text) == shown
    assert redacted(shown) == shown


def test_names_that_sound_secret():
    assert all(map(sounds_secret, ["password", "SMTP_PASSWORD", "api_key", "X-Server-Token", "key", "Authorization"]))
    assert not any(map(sounds_secret, ["mailer_event", "monkey", "host", "author", "bypass"]))


@pytest.mark.parametrize(
    "junk",
    [
        "://",
        "password=",
        'password="',
        "a",
        "authorization: ",
        "Bearer ",
        "AUTH PLAIN ",
        "pass",
        "token-",
        'key","',
        '\\"',
    ],
)
def test_a_hostile_text_costs_linear_time(junk):
    def cost(size: int) -> float:
        text = junk * (size // len(junk))
        start = time.process_time()
        redacted(text)
        Secrets("hushhush").hide(text)
        return time.process_time() - start

    cost(1000)
    assert cost(200_000) < 60 * max(cost(20_000), 0.002)


# --- records ----------------------------------------------------------------------------------------------------------


def record(message, *args, exc_info=None, exc_text=None, stack_info=None, **extra):
    make = logging.Logger("app").makeRecord
    made = make("app", logging.INFO, "f.py", 1, message, args, exc_info, None, extra, stack_info)
    made.exc_text = exc_text
    assert RedactingFilter(["hushhush"]).filter(made)
    return made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: record("to %s as %s", "smtp://u:pw@h", 3), "to smtp://u:***@h as 3"),
        (lambda: record("known hushhush %d", 3), "known *** 3"),
        (lambda: record("password=%s", "a"), "password=***"),
        (lambda: record("%d %s", 1, "harmless"), "1 harmless"),
        (lambda: record("token=%s, 100%%", "a"), "token=***, 100%"),
    ],
)
def test_a_message_is_redacted_with_its_arguments(made, message):
    assert made().getMessage() == message


def test_arguments_that_do_not_show_are_redacted_too():
    made = record("%(user)s", {"user": "ann", "password": "a", "deep": [{"token": "b"}, ("smtp://u:pw@h",)]})
    assert made.getMessage() == "ann"
    assert made.args == {"user": "ann", "password": MASK, "deep": [{"token": MASK}, ("smtp://u:***@h",)]}


def test_extra_fields_are_redacted_by_name_and_by_look():
    class Thing:
        def __repr__(self):
            return "Thing(password='a')"

    class Mean:
        def __repr__(self):
            raise RuntimeError

    Pair = namedtuple("Pair", "a b")
    made = record(
        "x", api_key="a", url="smtp://u:pw@h", thing=Thing(), mean=Mean(), count=3, none=None, pair=Pair(1, 2)
    )
    assert (made.api_key, made.url, made.thing, made.mean) == (
        MASK,
        "smtp://u:***@h",
        "Thing(password='***')",
        "<Mean>",
    )
    assert (made.count, made.none, made.pair) == (3, None, (1, 2))


def test_an_exceptions_text_is_redacted_and_a_harmless_one_is_left():
    try:
        try:
            raise ValueError("smtp://u:hush@h")
        except ValueError as error:
            raise KeyError("other") from error
    except KeyError as error:
        made = record("x", exc_info=(type(error), error, error.__traceback__))
        assert made.exc_info is None
        shown = logging.Formatter().format(made)
        assert "hush" not in shown
        assert "ValueError: smtp://u:***@h" in shown
    harmless = KeyError("other")
    assert record("x", exc_info=(KeyError, harmless, None)).exc_info == (KeyError, harmless, None)
    assert record("x", exc_text="password=a", stack_info="token=b").exc_text == "password=***"


def test_a_record_with_wrong_arguments_is_left_to_the_handler():
    made = record("%d", "smtp://u:pw@h")
    assert made.args == ("smtp://u:***@h",)
    with pytest.raises(TypeError):
        made.getMessage()


def test_it_goes_on_a_handler_and_shows_nothing_of_itself():
    seen = []

    class Handler(logging.Handler):
        def emit(self, made):
            seen.append(self.format(made))

    handler = Handler()
    handler.addFilter(RedactingFilter(secrets=["hushhush"]))
    log = logging.Logger("app.test")
    log.addHandler(handler)
    log.warning("%s", base64.b64encode(b"hushhush"))
    log.warning({"password": "a"})
    assert seen == ["b'***'", "{'password': '***'}"]
    assert "hush" not in repr(handler.filters)


@given(st.text(max_size=60))
def test_redacting_twice_changes_nothing_more(text):
    assume(len(text) < 61)
    once = redacted(text)
    assert redacted(once) == once
