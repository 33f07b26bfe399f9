"""``wp_mail``: WordPress' forms and hooks, what differs on purpose, and nothing that gets lost or in."""

from __future__ import annotations

import email
import email.policy
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wordpress_calls import FILES, WATCHED, call, compared, ours

import mailer
from mailer import Attachment, ConfigError, Mailer, Message, Receipt
from mailer.backends.memory import MemoryBackend
from mailer.contrib.wordpress import AsyncWordPress, PHPMailer, WordPress, WPError, wp_mail
from mailer.contrib.wordpress.arguments import HeaderLines
from mailer.contrib.wordpress.hooks import HOOKS

RECORDED = Path(__file__).parent.parent / "golden" / "wordpress_mail.jsonl"
"""What WordPress 6.1.9 said to calls 0-39: ``tests/real/test_wordpress_mail.py`` writes it and compares with it."""


class Shop:
    """A site, and what came of its last mail."""

    def __init__(self, url: Any = "memory:", **options: Any) -> None:
        self.mailer = Mailer(url, retry=None)
        self.wordpress = WordPress(self.mailer, **{"site": "shop.example", "folders": FILES, **options})
        self.failures: list[WPError] = []
        self.wordpress.add_action("wp_mail_failed", self.failures.append)

    def sent(self, **given: Any) -> Message:
        """The message of a call that succeeds."""
        assert self.call(**given), self.failures
        assert not self.failures
        return self.mailer.backend.mails[-1].message  # type: ignore[attr-defined]

    def refused(self, said: str, **given: Any) -> WPError:
        """Why a call failed, before anything was sent."""
        before = len(self.mailer.backend.mails)  # type: ignore[attr-defined]
        assert self.call(**given) is False, given
        assert len(self.mailer.backend.mails) == before  # type: ignore[attr-defined]
        error = self.failures.pop()
        assert not self.failures
        assert said in error.message, given
        return error

    def call(self, to: Any = "ann@example.org", subject: str = "Hi", message: str = "Hello", **more: Any) -> bool:
        return self.wordpress.wp_mail(to, subject, message, **more)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def addresses(of: Any) -> list[str]:
    return [address.format() for address in of]


# --- as WordPress -----------------------------------------------------------------------------------------------------


def test_recorded_calls_make_what_wordpress_makes() -> None:
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 40
    for seed, line in enumerate(lines):
        one = call(seed)
        assert json.loads(json.dumps(compared(one, ours(one)))) == json.loads(line), seed


def test_the_same_on_every_face(world: Any) -> None:
    """With an async callback where the face is async."""
    seen: list[Any] = []

    async def named(name: str) -> str:
        seen.append("async")
        return f"{name} AG"

    async def changed(letter: PHPMailer) -> None:
        letter.Priority = 1

    with world.mailer("memory:", from_="Shop <shop@example.com>") as made:
        is_async = world.portal is not None
        wordpress = (AsyncWordPress if is_async else WordPress)(made.wrapped, folders=FILES)
        if is_async:
            wordpress.add_filter("wp_mail_from_name", named)
            wordpress.add_action("phpmailer_init", changed)
        else:
            with pytest.raises(ConfigError, match="is async, and this mailer is not"):
                wordpress.add_filter("wp_mail_from_name", named)
            wordpress.add_filter("wp_mail_from_name", lambda name: f"{name} AG")
            wordpress.add_action("phpmailer_init", lambda letter: setattr(letter, "Priority", 1))
        wordpress.add_action("wp_mail_succeeded", seen.append)
        arguments = ("ann@example.org", "Hi", "Hello", "", [str(FILES / "note.txt")])
        if is_async:

            async def call_it() -> bool:
                return await wordpress.wp_mail(*arguments)

            assert world.run(call_it) is True
        else:
            assert wordpress.wp_mail(*arguments) is True
        [mail] = made.wrapped.backend.mails
    assert addresses(mail.message.from_) == ["Shop AG <shop@example.com>"]
    assert mail.message.priority == 1
    assert seen[-1]["to"] == ["ann@example.org"]
    assert seen[-1]["attachments"] == [str(FILES / "note.txt")]
    assert seen[:-1] == (["async"] if is_async else [])


def test_the_default_mailer(monkeypatch: pytest.MonkeyPatch) -> None:
    mailer.configure({"url": "memory:", "from": "shop@example.com"})
    try:
        assert wp_mail("ann@example.org", "Hi", "Hello") is True
        assert wp_mail("ann@example.org", "Hi", "Hello", attachments=str(FILES / "note.txt")) is False
        [mail] = mailer.get().backend.mails  # type: ignore[attr-defined]
        assert addresses(mail.message.from_) == ["WordPress <shop@example.com>"]
    finally:
        mailer.close()


def test_who_it_is_from(shop: Shop) -> None:
    def sender(made: Shop, headers: str = "") -> list[str]:
        return addresses(made.sent(headers=headers).from_)

    assert sender(shop) == ["WordPress <wordpress@shop.example>"]
    assert sender(shop, "From: ann@example.com") == ["WordPress <ann@example.com>"]
    assert sender(shop, 'From: "Ann" <ann@example.com>') == ["Ann <ann@example.com>"]
    assert sender(shop, "From: Ann <x@example.com>\nFrom: <ann@example.com>") == ["Ann <ann@example.com>"]
    assert sender(shop, "From:\nFrom: <ann@example.com>") == ["WordPress <ann@example.com>"]
    assert sender(Shop(site="www.x.example", from_name="X")) == ["X <wordpress@x.example>"]
    Shop(site=None).refused("there is no sender")


# --- what differs: nothing is lost ------------------------------------------------------------------------------------


def test_what_wordpress_drops_is_kept_or_said(shop: Shop) -> None:
    kept = shop.sent(
        headers="X-A: 1\nX-A: 2\nX-Mailer: Mine\n folded\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit"
    )
    assert kept.headers == (("X-A", "1"), ("X-A", "2"), ("X-Mailer", "Mine folded"))
    twice = shop.sent(to="Ann <ann@example.org>", headers="Cc: ANN <ann@example.org>")
    assert addresses(twice.cc) == ["ANN <ann@example.org>"]
    assert shop.sent(message="").text == ""
    html = shop.sent(message="<p>Hi <b>you</b></p>", headers=["Content-Type: text/html"])
    assert (html.html, html.text) == ("<p>Hi <b>you</b></p>", "Hi you")
    for said, given in {
        "is not a line like": {"headers": "X-A"},
        "cc": {"headers": "Cc: nobody"},
        "bcc": {"headers": ["Bcc: bob@example.org, , x@"]},
        "reply_to": {"headers": "Reply-To: a b c"},
        "to": {"to": ["ann@example.org", "nobody"]},
        "there is no such file": {"attachments": ["absent.txt"]},
        "must be a string": {"message": None},
        "must be lines or a list": {"headers": 7},
        "each must be a line": {"headers": [7]},
        "must be a string of addresses": {"to": 7},
        "must be paths": {"attachments": 7},
        "each must be a path": {"embeds": [7]},
        "set it with Message(to=...)": {"headers": "To: bob@example.org"},
        "is not a date": {"headers": "Date: tomorrow"},
        "X-Priority": {"headers": "X-Priority: urgent"},
        "is not a media type": {"headers": "Content-Type: html"},
        "is not text": {"headers": "Content-Type: application/json"},
        "says no boundary": {"headers": "Content-Type: multipart/mixed"},
        "CharSet 'utf-9'": {"headers": "Content-Type: text/plain; charset=utf-9"},
    }.items():
        shop.refused(said, **given)


def test_addresses_with_commas_and_quotes(shop: Shop) -> None:
    sent = shop.sent(
        to='"Smith, Ann \\"A\\"" <ann@example.org>,, Bob (B) <bob@example.org>, cyd@example.org,',
        headers=["Cc: =?utf-8?B?Wm/Dqw==?= <zoe@example.org>"],
        subject="=?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
    )
    assert [address.name for address in (*sent.to, *sent.cc)] == ['Smith, Ann "A"', "Bob (B)", "", "Zoë"]
    assert sent.subject == "Grüße"
    shop.refused("to", to=["ann@example.org, bob@example.org"])  # an item is one
    assert shop.sent(to="A <b> <ann@example.org>").to[0].name == "A <b>"
    long = "=?a?q?" * 2000  # beyond what is read: it stands as it is
    assert shop.sent(subject=long).subject == long


def test_headers_that_are_fields_of_a_message(shop: Shop) -> None:
    sent = shop.sent(
        headers=[
            "Sender: desk@example.com",
            "Return-Path: <>",
            "Message-ID: <7@example.com>",
            "X-Priority: 1 (Highest)",
            "Date: Mon, 30 Nov 2026 21:00:00 +0100",
        ]
    )
    assert sent.sender is not None
    assert (sent.sender.addr_spec, sent.message_id, sent.priority) == ("desk@example.com", "<7@example.com>", 1)
    assert shop.mailer.backend.mails[-1].envelope.sender is None  # type: ignore[attr-defined]
    assert sent.date is not None
    assert sent.date.isoformat() == "2026-11-30T21:00:00+01:00"


def test_a_body_that_is_multipart_already(shop: Shop) -> None:
    body = "--b\nContent-Type: text/plain\n\nHi\n--b\nContent-Type: text/html\n\n<p>Hi</p>\n--b--\n"
    for headers in (
        'Content-Type: multipart/alternative; boundary="b"',
        "Content-Type: multipart/alternative;\n boundary=b",
        'Content-Type: multipart/alternative\nboundary="b"',
    ):
        sent = shop.sent(message=body, headers=headers)
        assert (sent.text, sent.html) == ("Hi", "<p>Hi</p>")
    calendar = shop.sent(message="BEGIN:VCALENDAR", headers="Content-Type: text/calendar")
    assert calendar.alternatives == (("text/calendar", "BEGIN:VCALENDAR"),)


# --- what differs: nothing gets in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x00"])
def test_no_line_break_gets_in(shop: Shop, end: str) -> None:
    evil = f"x{end}Bcc: eve@example.net"
    encoded = "=?utf-8?Q?x" + "".join(f"={ord(char):02X}" for char in end) + "Bcc:_eve@example.net?="
    for bad in (evil, encoded):
        for given in (
            {"subject": bad},
            {"to": f"{bad} <ann@example.org>"},
            {"to": [f"{bad} <ann@example.org>"]},
            {"headers": [f"X-A: {bad}"]},
            {"headers": [f"Cc: {bad} <bob@example.org>"]},
            {"headers": [f"From: {bad} <bob@example.org>"]},
        ):
            shop.refused("", **given)
    for given in (
        {"to": f"ann@example.org{end}Bcc: eve@example.net"},
        {"headers": [f"X-A{end}B: x"]},
        {"headers": [f"From: {evil}"]},
        {"headers": [f"Content-Type: text/plain; charset=utf-8{end}X: y"]},
        {"attachments": {evil: str(FILES / "note.txt")}},
        {"embeds": {evil: str(FILES / "note.txt")}},
    ):
        shop.refused("", **given)
    for hook in ("wp_mail_from", "wp_mail_from_name", "wp_mail_content_type", "wp_mail_charset"):
        other = Shop()
        other.wordpress.add_filter(hook, lambda value: evil)
        other.refused("")
    for spoil in (
        lambda letter: letter.addCustomHeader("X-A", evil),
        lambda letter: letter.addReplyTo("a@example.org", evil),
        lambda letter: setattr(letter, "MessageID", f"<1@example.org>{end}X: y"),
        lambda letter: setattr(letter, "Sender", evil),
    ):
        other = Shop()
        other.wordpress.add_action("phpmailer_init", spoil)
        other.refused("")


def test_files_come_from_allowed_folders_alone(tmp_path: Path) -> None:
    (inside := tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"s3cret")
    (inside / "a.txt").write_bytes(b"a")
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "good.pdf").symlink_to(inside / "a.txt")
    (inside / "sub").mkdir()
    shop = Shop(folders=[inside])
    for path in ("../secret", str(tmp_path / "secret"), "link", "sub/../../secret", f"{inside}2/a.txt", "/etc/passwd"):
        shop.refused("is in none of the folders", attachments=[path])
    for path in ("file:///etc/passwd", "https://example.com/x", "absent", "sub", "a\x00b", "phar://a.txt"):
        shop.refused(repr(path)[1:-1], attachments=[path])
    names = [file.name for file in shop.sent(attachments=f"a.txt\r\n{inside / 'good.pdf'}\n").attachments]
    assert names == ["a.txt", "good.pdf"]
    [named] = shop.sent(attachments={"bill.pdf": "a.txt"}).attachments
    assert (named.name, named.content_type, bytes(named)) == ("bill.pdf", "application/pdf", b"a")
    assert [bytes(file) for file in shop.sent(attachments=[inside / "a.txt"]).attachments] == [b"a"]
    own = Attachment.from_bytes("o.txt", b"o")
    closed = Shop(folders=())
    assert closed.sent(attachments=[own]).attachments == (own,)
    closed.refused("no file is attached by its path unless", attachments=[str(inside / "a.txt")])
    closed.refused("no file is attached by its path unless", embeds={"x": str(inside / "a.txt")})
    for wrong in (tmp_path / "absent", tmp_path / "secret", "a\x00b"):
        with pytest.raises(ConfigError, match="folders: "):
            Shop(folders=wrong)


def test_embeds(shop: Shop) -> None:
    seen: list[dict[str, Any]] = []

    def renamed(args: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(args))
        return {**args, "name": "logo.png", "cid": f"{args['cid']}-1"}

    [seventh] = shop.sent(embeds={7: FILES / "picture.png"}).attachments
    assert seventh.content_id == "7"
    html = {"message": '<img src="cid:logo">', "headers": "Content-Type: text/html"}
    [file] = shop.sent(**html, embeds={"logo": str(FILES / "picture.png")}).attachments
    assert (file.content_id, file.inline, file.name, file.content_type) == ("logo", True, "picture.png", "image/png")
    shop.refused("shows cid:'logo'", **html)
    shop.wordpress.add_filter("wp_mail_embed_args", renamed)
    files = shop.sent(embeds="picture.png\nnote.txt").attachments
    assert [(file.content_id, file.name) for file in files] == [("0-1", "logo.png"), ("1-1", "logo.png")]
    assert seen[0] == {
        "path": "picture.png", "cid": "0", "name": "picture.png", "encoding": "base64", "type": "",
        "disposition": "inline",
    }  # fmt: skip
    shop.wordpress.add_filter("wp_mail_embed_args", lambda args: {**args, "disposition": "attachment"})
    assert [file.inline for file in shop.sent(embeds=["picture.png"]).attachments] == [False]
    shop.wordpress.add_filter("wp_mail_embed_args", lambda args: {**args, "disposition": "shown"}, 20)
    shop.refused("is neither 'inline' nor 'attachment'", embeds=["picture.png"])
    shop.wordpress.add_filter("wp_mail_embed_args", lambda args: {**args, "cidd": "x"}, 20)
    shop.refused("is nothing known", embeds=["picture.png"])


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_hooks_run_in_their_order_and_before_the_mailers_own(shop: Shop) -> None:
    order: list[str] = []

    def noted(name: str) -> Any:
        return lambda value: [order.append(name), value][1]

    def with_context(callback: Any) -> Any:
        return lambda value, context: callback(value)

    for name in WATCHED:
        shop.wordpress.add_filter(name, noted(name))
    for name in ("message", "short_circuit", "mail"):
        shop.mailer.hooks.add_filter(name, with_context(noted(name)))
    shop.mailer.hooks.add_action("sent", lambda context: order.append("sent"))
    shop.sent()
    own = ["message", "short_circuit", "mail", "sent"]
    assert order == [*WATCHED[: WATCHED.index("phpmailer_init") + 1], *own, "wp_mail_succeeded"]


def test_every_hook_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "wordpress.md").read_text(encoding="utf-8")
    table = page.partition("## Hooks")[2].partition("## What is different")[0]
    assert [name for name in HOOKS if f"`{name}`" not in table] == []
    places = [table.index(f"`{name}`") for name in HOOKS]
    assert sorted(places[2:]) == places[2:], "in another order than they run"


def test_long_headers_take_time_by_their_length() -> None:
    """Eight times the lines take about eight times as long, not sixty-four."""

    def seconds(count: int) -> float:
        text = "Content-Type: text/plain\n" + "boundary=x\n" * count + "A: b\n" + " c\n" * count
        began = time.process_time()  # not the wall clock: other tests may share the machine
        HeaderLines.of(text)
        return time.process_time() - began

    ratios = (seconds(40_000) / seconds(5_000) for _ in range(5))
    assert any(ratio < 24 for ratio in ratios)


def test_wp_mail_filter_changes_what_it_names(shop: Shop) -> None:
    shop.wordpress.add_filter("wp_mail", lambda atts: {"to": "bob@example.org", "note": 1})
    sent = shop.sent(subject="kept")
    assert (addresses(sent.to), sent.subject) == (["bob@example.org"], "kept")
    shop.wordpress.add_filter("wp_mail", lambda atts: None)
    assert "wordpress.wp_mail" in shop.refused("returned None").message


def test_pre_wp_mail_decides_and_nothing_is_told(shop: Shop) -> None:
    told: list[Any] = []
    seen: list[Any] = []

    def decide(decided: bool | None, atts: dict[str, Any]) -> bool | None:
        seen.append(atts)
        return {"yes": True, "no": False}.get(atts["subject"], decided)

    shop.wordpress.add_filter("pre_wp_mail", decide)
    shop.wordpress.add_action("wp_mail_succeeded", told.append)
    assert shop.call(subject="yes") is True
    assert shop.call(subject="no") is False
    assert not shop.mailer.backend.mails  # type: ignore[attr-defined]
    assert told == shop.failures == []
    assert set(seen[0]) == {"to", "subject", "message", "headers", "attachments", "embeds"}
    shop.sent()
    shop.wordpress.add_filter("pre_wp_mail", lambda decided: "queued", 20)
    shop.refused("must return None, True or False")


def test_adding_and_removing_by_wordpress_rules(shop: Shop) -> None:
    wordpress = shop.wordpress

    def upper(name: str) -> str:
        return name.upper()

    assert wordpress.has_filter("wp_mail_from_name") is False
    assert wordpress.add_filter("wp_mail_from_name", upper, 0) is True
    wordpress.add_filter("wp_mail_from_name", upper, 0)  # the same is there once
    wordpress.add_filter("wp_mail_from_name", lambda name: f"{name}!", -1)
    assert wordpress.has_filter("wp_mail_from_name", upper) == 0
    assert wordpress.has_filter("wp_mail_from_name", upper) is not False
    assert shop.sent().from_[0].name == "WORDPRESS!"
    assert wordpress.remove_filter("wp_mail_from_name", upper) is False  # another priority
    assert wordpress.remove_filter("wp_mail_from_name", upper, 0) is True
    assert shop.sent().from_[0].name == "WordPress!"
    for name, callback, said in (
        ("wp_mail_form", upper, "did you mean 'wp_mail_from'"),
        ("wp_mail_from", "upper", "cannot be called"),
    ):
        with pytest.raises(ConfigError, match=said):
            wordpress.add_filter(name, callback)  # type: ignore[arg-type]
    seen: list[Any] = []
    wordpress.add_filter("pre_wp_mail", lambda *args: seen.append(len(args)))
    wordpress.add_filter("pre_wp_mail", lambda *args: seen.append(len(args)), 11, 1)
    wordpress.add_action("wp_mail_succeeded", lambda: seen.append(0))
    shop.sent()
    assert seen == [2, 1, 0]


def test_phpmailer_init_changes_the_letter_and_no_transport(shop: Shop) -> None:
    def change(letter: PHPMailer) -> str:
        letter.setFrom("new@example.com", "New")
        letter.clearAllRecipients()
        letter.addAddress("bob@example.org", "Bob")
        letter.addCC("cyd@example.org")
        letter.addBCC("dee@example.org")
        letter.clearReplyTos()
        letter.addReplyTo("desk@example.com")
        letter.isHTML()
        letter.Body, letter.AltBody = "<p>Hi</p>", "Hello there"
        letter.clearCustomHeaders()
        letter.addCustomHeader("X-A: 1")
        letter.clearAttachments()
        letter.addStringAttachment(b"x", "x.txt")
        letter.addAttachment("note.txt", "n.txt")
        return "not looked at"

    shop.wordpress.add_action("phpmailer_init", change)
    sent = shop.sent(headers="X-B: 2\nReply-To: a@example.org", attachments=["picture.png"])
    assert addresses((*sent.from_, *sent.to, *sent.cc, *sent.bcc, *sent.reply_to)) == [
        "New <new@example.com>", "Bob <bob@example.org>", "cyd@example.org", "dee@example.org", "desk@example.com",
    ]  # fmt: skip
    assert (sent.html, sent.text, sent.headers) == ("<p>Hi</p>", "Hello there", (("X-A", "1"),))
    assert [file.name for file in sent.attachments] == ["x.txt", "n.txt"]
    shop.wordpress.remove_action("phpmailer_init", change)
    for field in ("Subject", "Body", "AltBody", "From", "FromName", "ContentType", "CharSet", "Sender", "MessageID"):
        other = Shop()
        other.wordpress.add_action("phpmailer_init", lambda letter, field=field: setattr(letter, field, ["x"]))
        other.refused("")
    other = Shop()
    other.wordpress.add_action(
        "phpmailer_init", lambda letter: setattr(letter, "Subject", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=")
    )
    assert other.sent().subject == "Grüße"
    shop.wordpress.add_action("phpmailer_init", lambda letter: setattr(letter, "Host", "smtp.example.com"))
    shop.refused("Host is not set here: how mail travels is said by the mailer's URL")
    other = Shop()
    other.wordpress.add_action("phpmailer_init", lambda letter: letter.isSMTP())
    other.refused("raised AttributeError")


# --- what became of it ------------------------------------------------------------------------------------------------


ENDS: dict[str, dict[str, Any]] = {
    "eve": {"outcome": mailer.Outcome.REJECTED, "code": 550, "text": "no such user"},
    "uwe": {"outcome": mailer.Outcome.UNKNOWN, "code": None, "text": "no answer"},
}


class Picky(MemoryBackend):
    """Refuses eve, and does not know of uwe."""

    async def send(self, mail: Any) -> Receipt:
        receipt = await super().send(mail)
        results = [replace(result, **ENDS.get(result.address.local, {})) for result in receipt.results]
        return receipt.with_(results=tuple(results))


def test_who_was_refused_is_told() -> None:
    shop = Shop(Picky())
    for to, accepted in (("eve@example.org", 0), ("ann@example.org, eve@example.org", 1)):
        assert shop.call(to=to) is False
        error = shop.failures.pop()
        assert error.code == "wp_mail_failed"
        assert error.receipt is not None
        assert len(error.receipt.accepted) == accepted
        assert error.receipt.rejected[0].code == 550
        assert "no such user" in error.message
        assert error.data["to"] == to.split(", ")
        assert "Hello" not in repr(error)
    assert shop.call(to="ann@example.org, uwe@example.org") is False
    assert "no answer" in shop.failures.pop().message
    shop.sent()


def test_a_mailer_of_the_other_face_is_refused() -> None:
    with Mailer("null:") as made, pytest.raises(ConfigError, match="AsyncWordPress needs AsyncMailer"):
        AsyncWordPress(made)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="WordPress needs Mailer, not AsyncMailer"):
        WordPress(mailer.AsyncMailer("null:"))  # type: ignore[arg-type]


def test_a_filter_of_the_mailer_that_raises_or_skips(shop: Shop) -> None:
    def skipped(value: Any, context: Any) -> Receipt:
        return Receipt(context.mail_id, skipped="staging")

    shop.mailer.hooks.add_filter("short_circuit", skipped)
    assert shop.call() is False
    assert shop.failures == []
    shop.mailer.hooks.remove("short_circuit", skipped)
    shop.mailer.hooks.add_filter("message", lambda message, context: 1 / 0)
    shop.refused("raised ZeroDivisionError")


def test_an_alarm_that_mails_does_not_loop() -> None:
    shop = Shop(Picky())
    calls: list[bool] = []
    shop.wordpress.add_action("wp_mail_failed", lambda error: calls.append(shop.call(to="eve@example.org")))
    assert shop.call(to="eve@example.org") is False
    assert calls == [False]
    assert len(shop.mailer.backend.mails) == 2  # type: ignore[attr-defined]


def test_an_action_that_raises_changes_nothing(shop: Shop) -> None:
    shop.wordpress.add_action("wp_mail_succeeded", lambda data: 1 / 0)
    shop.sent()
    assert shop.mailer.hooks.errors["wordpress.wp_mail_succeeded"] == 1


def test_what_arrives_is_one_mail_with_its_parts(shop: Shop) -> None:
    shop.sent(
        message='<p>Hi</p><img src="cid:0">', headers="Content-Type: text/html", attachments="note.txt",
        embeds=["picture.png"],
    )  # fmt: skip
    content = bytes(shop.mailer.backend.mails[-1].content)  # type: ignore[attr-defined]
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    kinds = [part.get_content_type() for part in parsed.walk() if not part.is_multipart()]
    assert kinds == ["text/plain", "text/html", "image/png", "text/plain"]
