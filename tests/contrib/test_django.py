"""Through Django's own calls to memory:, to disk and over SMTP. Runs on every Django: see test_django_versions.py."""

from __future__ import annotations

import email
import email.policy
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage as StandardMessage
from email.message import MIMEPart
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.utils import formataddr
from pathlib import Path
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from aiosmtpd.controller import Controller
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.message import EmailAttachment
from django.test import override_settings
from django.utils import timezone
from django.utils.functional import lazystr

from mailer import ConfigError, DeliveryRefused, MessageError, Outcome
from mailer.contrib.django import EmailBackend, InvalidMessageError, get_mailer

BACKEND = "mailer.contrib.django.EmailBackend"
HAS_MAILERS = django.VERSION >= (6, 1)
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


@contextmanager
def sending_to(url: str | None, **options: Any) -> Iterator[None]:
    """Django's own calls send to this URL: by MAILERS where there is such a setting, else by EMAIL_BACKEND."""
    if HAS_MAILERS:
        options = options | ({"url": url} if url else {})
        with override_settings(MAILERS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
            yield
    else:
        with override_settings(EMAIL_BACKEND=BACKEND, MAILER_URL=url):
            yield


def connection(**options: Any) -> EmailBackend:
    """What Django makes of the settings."""
    if not HAS_MAILERS:
        return mail.get_connection(**options)
    configured = settings.MAILERS["default"]["OPTIONS"]
    with override_settings(MAILERS={"default": {"BACKEND": BACKEND, "OPTIONS": configured | options}}):
        return mail.mailers.default


@pytest.fixture
def mails() -> Iterator[list[Any]]:
    """What Django's calls send, kept in memory."""
    with sending_to("memory:"):
        kept = connection().mailer.backend.mails
        kept.clear()
        yield kept


def parsed(mail_or_bytes: Any) -> StandardMessage:
    content = mail_or_bytes if isinstance(mail_or_bytes, bytes) else bytes(mail_or_bytes.content)
    return email.message_from_bytes(content, policy=email.policy.default)  # type: ignore[return-value]


def envelope(sealed: Any) -> tuple[str, list[str]]:
    return sealed.envelope.sender.addr_spec, [address.addr_spec for address in sealed.envelope.recipients]


def text_of(message: StandardMessage, kind: str) -> str:
    return message.get_body((kind,)).get_content().replace("\r\n", "\n")


class Sink:
    """An SMTP server that remembers."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.peers: set[Any] = set()
        self.quits: list[Any] = []
        self.quit = threading.Semaphore(0)  # one release for each QUIT; nobody waits for its reply

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        self.peers.add(session.peer)
        if address.startswith("gone"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 queued"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.quits.append(session.peer)
        self.quit.release()
        return "221 bye"


@pytest.fixture
def smtp() -> Iterator[Sink]:
    sink = Sink()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    sink.url = f"smtp://127.0.0.1:{port}?tls=none"  # type: ignore[attr-defined]
    try:
        with sending_to(sink.url):  # type: ignore[attr-defined]
            yield sink
            connection().close()
    finally:
        controller.stop()


# --- Django's calls ---------------------------------------------------------------------------------------------------


def test_send_mail_sends_text_and_html(mails: list[Any]) -> None:
    sent = mail.send_mail("Grüße", "Hello ä", None, ["bob@example.org"], html_message="<p>Hello ä</p>")
    assert sent == 1
    got = parsed(mails[0])
    assert got["Subject"] == "Grüße"
    assert got["From"] == "Shop <shop@example.com>"
    assert got["To"] == "bob@example.org"
    assert got.get_content_type() == "multipart/alternative"
    assert text_of(got, "plain") == "Hello ä"
    assert text_of(got, "html") == "<p>Hello ä</p>"
    assert got["Message-ID"].endswith("@example.com>")
    assert got["Date"].datetime.tzinfo is not None


def test_two_calls_of_send_mail_share_a_connection(smtp: Sink) -> None:
    for number in range(2):
        mail.send_mail(f"Order {number}", ".\nline\n", "shop@example.com", ["bob@example.org"])
    assert [(sender, recipients) for sender, recipients, _ in smtp.mails] == [
        ("shop@example.com", ["bob@example.org"])
    ] * 2
    assert parsed(smtp.mails[1][2])["Subject"] == "Order 1"
    assert text_of(parsed(smtp.mails[1][2]), "plain") == ".\nline\n"
    assert len(smtp.peers) == 1


def test_a_file_url_writes_to_disk(tmp_path: Path) -> None:
    with sending_to(f"file://{tmp_path}?format=eml"):
        assert mail.send_mail("s", "Hello", None, ["bob@example.org"]) == 1
    [path] = tmp_path.glob("*.eml")
    assert text_of(parsed(path.read_bytes()), "plain").rstrip("\n") == "Hello"


def test_send_mass_mail_returns_the_count(smtp: Sink) -> None:
    data = [(f"s{number}", "Hello", None, [f"u{number}@example.org"]) for number in range(5)]
    assert mail.send_mass_mail(data) == 5
    assert [recipients for _, recipients, _ in smtp.mails] == [[f"u{number}@example.org"] for number in range(5)]
    assert len(smtp.peers) == 1


def test_mail_admins(mails: list[Any]) -> None:
    mail.mail_admins("Broken", "trace", html_message="<pre>trace</pre>")
    got = parsed(mails[0])
    assert (got["Subject"], got["From"], got["To"]) == ("[shop] Broken", "root@localhost", "ann@example.org")
    assert text_of(got, "html") == "<pre>trace</pre>"


def test_password_reset_form(mails: list[Any]) -> None:
    from django.contrib.auth.forms import PasswordResetForm

    PasswordResetForm().send_mail(
        "subject.txt", "reset.txt", {"name": "Bob", "user": None}, None, "bob@example.org", "reset.html"
    )
    got = parsed(mails[0])
    assert got["Subject"] == "Passwordreset"
    assert (text_of(got, "plain"), text_of(got, "html")) == ("Hi Bob", "<p>Hi")


def test_send_messages_takes_a_one_shot_iterator(mails: list[Any]) -> None:
    messages = (EmailMessage(f"s{number}", "t", to=["bob@example.org"]) for number in range(3))
    assert connection().send_messages(messages) == 3
    assert [parsed(sealed)["Subject"] for sealed in mails] == ["s0", "s1", "s2"]
    assert connection().send_messages([]) == 0


def test_a_message_without_recipients_is_passed_over(mails: list[Any]) -> None:
    messages = [EmailMessage("nobody", "t"), EmailMessage("s", "t", bcc=["", "bob@example.org"])]
    assert messages[0].send() == 0
    assert connection().send_messages(messages) == 1
    assert [parsed(sealed)["Subject"] for sealed in mails] == ["s"]


def test_with_closes_the_connection(smtp: Sink) -> None:
    with connection() as backend:
        backend.send_messages([EmailMessage("a", "t", to=["bob@example.org"])])
        backend.send_messages([EmailMessage("b", "t", to=["bob@example.org"])])
        assert smtp.quits == []
    assert smtp.quit.acquire(timeout=30)
    assert len(smtp.peers) == 1
    mail.send_mail("c", "t", None, ["bob@example.org"])
    assert [parsed(content)["Subject"] for *_, content in smtp.mails] == ["a", "b", "c"]
    assert len(smtp.peers) == 2


def test_threads_may_send_at_once(smtp: Sink) -> None:
    counts: list[int] = []
    backend = connection()

    def send(number: int) -> None:
        message = EmailMessage(f"s{number}", "t", to=[f"u{number}@example.org"])
        counts.append(backend.send_messages([message]))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counts == [1] * 8
    assert sorted(recipients for _, recipients, _ in smtp.mails) == [[f"u{number}@example.org"] for number in range(8)]


def test_a_forked_worker_has_its_own_connection_and_the_end_of_the_process_closes_it(smtp: Sink) -> None:
    program = f"""
import os, sys, django
from django.conf import settings
url = {smtp.url!r}
if django.VERSION >= (6, 1):
    settings.configure(MAILERS={{"default": {{"BACKEND": {BACKEND!r}, "OPTIONS": {{"url": url}}}}}})
else:
    settings.configure(EMAIL_BACKEND={BACKEND!r}, MAILER_URL=url)
django.setup()
from django.core.mail import send_mail
send_mail("parent", "t", "shop@example.com", ["bob@example.org"])
pid = os.fork()
send_mail("child" if pid == 0 else "parent", "t", "shop@example.com", ["bob@example.org"])
if pid:
    assert os.waitpid(pid, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
    assert sorted(parsed(content)["Subject"] for *_, content in smtp.mails) == ["child", "parent", "parent"]
    assert len(smtp.peers) == 2
    assert all(smtp.quit.acquire(timeout=30) for _ in smtp.peers)
    assert sorted(smtp.quits) == sorted(smtp.peers)


# --- outcomes ---------------------------------------------------------------------------------------------------------


def test_a_partial_refusal_counts_and_stands_on_the_receipt(smtp: Sink) -> None:
    message = EmailMessage("s", "t", to=["bob@example.org", "gone@example.org"])
    assert message.send() == 1
    assert [result.outcome for result in message.mailer_receipt.results] == [Outcome.ACCEPTED, Outcome.REJECTED]
    assert smtp.mails[0][1] == ["bob@example.org"]


def test_a_refused_message_raises_and_ends_the_call(smtp: Sink) -> None:
    gone, behind = EmailMessage("s", "t", to=["gone@example.org"]), EmailMessage("s", "t", to=["bob@example.org"])
    with pytest.raises(DeliveryRefused):
        connection().send_messages([gone, behind])
    assert gone.mailer_receipt.results[0].code == 550
    assert smtp.mails == []


@pytest.mark.parametrize(("failing", "behind"), [(1, 0), (15, 0), (24, 2), (100, 12)])
def test_of_what_is_behind_a_failed_message_little_is_read_or_sent(smtp: Sink, failing: int, behind: int) -> None:
    """None of it in a short list, as with Django; in a long one at most an eighth of what was before it."""
    read = []

    def source() -> Iterator[EmailMessage]:
        for number in range(200):
            read.append(number)
            yield EmailMessage("s", "t", to=[f"{'gone' if number == failing else 'u'}{number}@example.org"])

    with pytest.raises(DeliveryRefused):
        connection().send_messages(source())
    assert failing <= len(smtp.mails) <= failing + behind
    assert len(read) == len(smtp.mails) + 1


def test_fail_silently_leaves_out_what_nobody_accepted(smtp: Sink) -> None:
    gone, behind = EmailMessage("s", "t", to=["gone@example.org"]), EmailMessage("s", "t", to=["bob@example.org"])
    assert connection(fail_silently=True).send_messages([gone, behind]) == 1
    assert gone.mailer_receipt.results[0].outcome is Outcome.REJECTED
    assert [recipients for _, recipients, _ in smtp.mails] == [["bob@example.org"]]


def test_fail_silently_where_no_server_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, not listening: refused
        with sending_to(f"smtp://127.0.0.1:{probe.getsockname()[1]}?tls=none"):
            assert connection(fail_silently=True).send_messages([EmailMessage("s", "t", to=["bob@example.org"])]) == 0


INJECTED = "x\r\nBcc: evil@example.net"


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": INJECTED},
        {"from_email": f"Shop {INJECTED} <shop@example.com>"},
        {"from_email": "=?utf-8?q?Shop=0D=0ABcc=3A_evil?= <shop@example.com>"},
        {"to": ["bob@example.org\nBcc: evil@example.net"]},
        {"to": ["bob@example.org, evil@example.net"]},
        {"cc": ["no address"]},
        {"reply_to": [f"bob@example.org{INJECTED}"]},
        {"headers": {"X-Order": INJECTED}},
        {"headers": {"X-Order\r\nBcc": "evil@example.net"}},
        {"headers": {"Bcc": "evil@example.net"}},
        {"headers": {"From": f"Shop {INJECTED} <shop@example.com>"}},
        {"headers": {"Date": "yesterday"}},
    ],
    ids=str,
)
def test_what_is_wrong_raises_what_django_apps_catch(wrong: dict[str, Any], mails: list[Any]) -> None:
    from django.core.mail import message as django_message

    fields: dict[str, Any] = {"subject": "s", "body": "t", "to": ["bob@example.org"], **wrong}
    for backend in (connection(), connection(fail_silently=True)):
        with pytest.raises(getattr(django_message, "BadHeaderError", ValueError)) as caught:
            backend.send_messages([EmailMessage(**fields)])
        assert isinstance(caught.value, InvalidMessageError)
        assert isinstance(caught.value, MessageError)
        assert isinstance(caught.value.__cause__, MessageError)
        assert str(caught.value) == str(caught.value.__cause__)
    assert mails == []


# --- fields -----------------------------------------------------------------------------------------------------------


def test_recipients_stand_where_django_puts_them(smtp: Sink) -> None:
    EmailMessage(
        "s",
        "t",
        to=["Bob <bob@example.org>"],
        cc=["cc@example.org"],
        bcc=["bcc@example.org"],
        reply_to=["help@example.com", "Desk <desk@example.com>"],
    ).send()
    [(sender, recipients, content)] = smtp.mails
    assert (sender, recipients) == ("shop@example.com", ["bob@example.org", "cc@example.org", "bcc@example.org"])
    got = parsed(content)
    assert (got["To"], got["Cc"], got["Bcc"]) == ("Bob <bob@example.org>", "cc@example.org", None)
    assert got["Reply-To"] == "help@example.com, Desk <desk@example.com>"
    assert b"bcc@example.org" not in content


def test_headers_override_what_django_says_they_do(mails: list[Any]) -> None:
    EmailMessage(
        "s",
        "t",
        "bounces@example.com",
        ["bob@example.org"],
        reply_to=["unused@example.com"],
        headers={
            "From": "Ann <ann@example.com>",
            "Reply-To": "help@example.com",
            "Message-ID": "<1@example.com>",
            "Date": "Mon, 01 Jan 2024 10:00:00 +0100",
            "X-Priority": "1 (Highest)",
            "X-Order": 7,
        },
    ).send()
    assert envelope(mails[0]) == ("bounces@example.com", ["bob@example.org"])
    got = parsed(mails[0])
    expected = {
        "From": "Ann <ann@example.com>",
        "Reply-To": "help@example.com",
        "Message-ID": "<1@example.com>",
        "Date": "Mon, 01 Jan 2024 10:00:00 +0100",
        "X-Priority": "1 (Highest)",
        "X-Order": "7",
    }
    assert {name: got.get_all(name) for name in expected} == {name: [value] for name, value in expected.items()}


def test_date_is_in_djangos_zone_if_it_is_to_be(mails: list[Any]) -> None:
    for is_local, offset in ((True, "+0545"), (False, "+0000")):
        with override_settings(EMAIL_USE_LOCALTIME=is_local), timezone.override("Asia/Kathmandu"):
            EmailMessage("s", "t", to=["bob@example.org"]).send()
        assert parsed(mails[-1])["Date"].endswith(offset)


@pytest.mark.parametrize(
    ("headers", "sender"),
    [({"Sender": "desk@example.com"}, "shop@example.com"), ({"Return-Path": "<b@example.com>"}, "b@example.com")],
)
def test_the_envelope_sender_is_from_email_unless_return_path_says_another(
    headers: dict[str, str], sender: str, mails: list[Any]
) -> None:
    EmailMessage("s", "t", to=["bob@example.org"], headers=headers).send()
    assert envelope(mails[0])[0] == sender
    assert parsed(mails[0])["Sender"] == headers.get("Sender")
    assert parsed(mails[0])["Return-Path"] is None


def test_a_to_header_is_shown_and_the_mail_goes_to_the_recipients(smtp: Sink) -> None:
    message = EmailMessage(
        "s", "Grüße", to=["bob@example.org"], bcc=["bcc@example.org"], headers={"To": "List <list@example.org>"}
    )
    assert message.send() == 1
    [(sender, recipients, content)] = smtp.mails
    assert (sender, recipients) == ("shop@example.com", ["bob@example.org", "bcc@example.org"])
    assert parsed(content).get_all("To") == ["List <list@example.org>"]
    assert text_of(parsed(content), "plain").strip() == "Grüße"
    assert message.mailer_receipt.ok


def test_names_in_encoded_words_are_read(mails: list[Any]) -> None:
    EmailMessage("s", "t", formataddr(("Jürgen", "j@example.com")), ['"=?bogus?q?x?=" <bob@example.org>']).send()
    got = parsed(mails[0])
    assert got["From"].addresses[0].display_name == "Jürgen"
    assert mails[0].message.to[0].name == "=?bogus?q?x?="


def test_lazy_strings_are_read(mails: list[Any]) -> None:
    EmailMessage(
        lazystr("Subject"),
        lazystr("Body"),
        lazystr("Shop <shop@example.com>"),
        [lazystr("bob@example.org")],
        headers={"X-Lazy": lazystr("yes")},
    ).send()
    got = parsed(mails[0])
    assert (got["Subject"], got["X-Lazy"], got.get_content().strip()) == ("Subject", "yes", "Body")


def test_content_subtype_names_the_body(mails: list[Any]) -> None:
    for subtype in ("html", "markdown"):
        message = EmailMessage("s", "<p>x</p>", to=["bob@example.org"])
        message.content_subtype = subtype
        message.send()
    assert [parsed(sealed).get_content_type() for sealed in mails] == ["text/html", "text/markdown"]
    assert parsed(mails[1]).get_content().rstrip() == "<p>x</p>"


def test_alternatives(mails: list[Any]) -> None:
    message = EmailMultiAlternatives("s", "plain", to=["bob@example.org"])
    message.attach_alternative("<p>html</p>", "text/html")
    message.attach_alternative("BEGIN:VCALENDAR", "text/calendar; method=REQUEST")
    message.send()
    got = parsed(mails[0])
    assert got.get_content_type() == "multipart/alternative"
    parts = list(got.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html", "text/calendar"]
    assert parts[2].get_param("method") == "REQUEST"
    assert [part.get_content().strip() for part in parts] == ["plain", "<p>html</p>", "BEGIN:VCALENDAR"]


def test_an_empty_body_beside_an_alternative_is_no_part(mails: list[Any]) -> None:
    EmailMultiAlternatives("s", "", to=["bob@example.org"], alternatives=[("<p>html</p>", "text/html")]).send()
    EmailMessage("s", "", to=["bob@example.org"]).send()
    assert [parsed(sealed).get_content_type() for sealed in mails] == ["text/html", "text/plain"]


def test_an_alternative_that_is_no_text_goes_as_django_builds_it(mails: list[Any]) -> None:
    message = EmailMultiAlternatives("s", "plain", to=["bob@example.org"])
    message.attach_alternative(b"{}", "application/ld+json")
    message.send()
    assert [part.get_content_type() for part in parsed(mails[0]).walk()][1:] == ["text/plain", "application/ld+json"]
    assert mails[0].message is None


def test_a_plain_message_is_sent_without_its_slow_message(mails: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def built(self: Any, **_: Any) -> None:
        raise AssertionError("message() was called")

    monkeypatch.setattr(EmailMessage, "message", built)
    message = EmailMultiAlternatives("s", "t", to=["bob@example.org"], headers={"From": "ann@example.com"})
    message.attach_alternative("<p>t</p>", "text/html")
    message.attach("a.txt", "a", "text/plain")
    assert message.send() == 1
    assert mails[0].message.text == "t"


# --- attachments ------------------------------------------------------------------------------------------------------


def attached(mails: list[Any]) -> list[tuple[str, str | None, bytes]]:
    parts = list(parsed(mails[0]).iter_attachments())
    return [(part.get_content_type(), part.get_filename(), part.get_payload(decode=True)) for part in parts]


def test_attachments_as_tuples(mails: list[Any], tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(b"%PDF \xff")
    message = EmailMessage(
        "s",
        "t",
        to=["bob@example.org"],
        attachments=[("täst.txt", "Grüße\n", None), ("a.bin", b"\x00\xff", "application/x-thing")],
    )
    message.attach("data.json", '{"ü": 1}', "application/json")
    message.attach("latin.txt", "Grüße".encode("latin-1"))
    message.attach_file(tmp_path / "report.pdf")
    message.attachments.append(EmailAttachment("named.csv", "a,b", "text/csv"))
    message.attachments.append(EmailAttachment("untyped.png", PNG, None))
    message.attachments.append((None, bytearray(b"x"), "image/gif"))
    message.send()
    assert attached(mails) == [
        ("text/plain", "täst.txt", "Grüße\n".encode()),
        ("application/x-thing", "a.bin", b"\x00\xff"),
        ("application/json", "data.json", '{"ü": 1}'.encode()),
        ("application/octet-stream", "latin.txt", "Grüße".encode("latin-1")),
        ("application/pdf", "report.pdf", b"%PDF \xff"),
        ("text/csv", "named.csv", b"a,b"),
        ("image/png", "untyped.png", PNG),
        ("image/gif", "attachment", b"x"),
    ]


def test_a_message_as_attachment(mails: list[Any]) -> None:
    inner = EmailMessage("inner ü", "inside", to=["carol@example.org"])
    standard = StandardMessage()
    standard["Subject"], standard["From"] = "standard", "carol@example.org"
    standard.set_content("inside")
    outer = EmailMessage("s", "t", to=["bob@example.org"])
    for content in (inner, standard, standard.as_bytes()):
        outer.attach("m.eml", content, "message/rfc822")
    outer.send()
    parts = [part for part in parsed(mails[0]).iter_parts() if part.get_content_type() == "message/rfc822"]
    assert [part.get_content()["Subject"] for part in parts] == ["inner ü", "standard", "standard"]
    assert all(part.get("Content-Transfer-Encoding", "7bit") == "7bit" for part in parts)


def mime_part(kind: str, content: bytes, **more: Any) -> MIMEPart:
    part = MIMEPart()
    part.set_content(content, *kind.split("/"), **more)
    return part


needs_mime_part = pytest.mark.skipif(django.VERSION < (6, 0), reason="MIMEPart attachments came with Django 6.0")


@needs_mime_part
def test_an_inline_image_as_mime_part(mails: list[Any]) -> None:
    message = EmailMultiAlternatives("s", "t", to=["bob@example.org"])
    message.attach_alternative('<img src="cid:logo">', "text/html")
    message.attach(mime_part("image/png", PNG, disposition="inline", cid="<logo>", filename="lögo.png"))
    csv = mime_part("text/csv", "ä".encode("latin-1"), disposition="attachment", filename="a.csv")
    csv.set_param("charset", "latin-1")
    message.attach(csv)
    message.send()
    [image] = [part for part in parsed(mails[0]).walk() if part.get_content_type() == "image/png"]
    assert (image["Content-ID"], image.get_content_disposition(), image.get_filename()) == (
        "<logo>",
        "inline",
        "lögo.png",
    )
    assert image.get_payload(decode=True) == PNG
    assert "multipart/related" in [part.get_content_type() for part in parsed(mails[0]).walk()]
    [table] = [part for part in parsed(mails[0]).walk() if part.get_content_type() == "text/csv"]
    assert table.get_content().strip() == "ä"


def attach_legacy(message: EmailMessage, part: MIMEBase) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated by Django 6.0
        message.attach(part)


def test_an_inline_image_as_mime_image(mails: list[Any]) -> None:
    image = MIMEImage(PNG, "png")
    image.add_header("Content-ID", "<logo>")
    image.add_header("X-Attachment-Id", "logo")
    message = EmailMultiAlternatives("s", "t", to=["bob@example.org"])
    message.attach_alternative('<img src="cid:logo">', "text/html")
    attach_legacy(message, image)
    message.send()
    [related] = [p for p in parsed(mails[0]).walk() if p.get_content_type() == "multipart/related"]
    page, shown = related.iter_parts()
    assert page.get_content().strip() == '<img src="cid:logo">'
    assert (shown["Content-ID"], shown.get_content_disposition()) == ("<logo>", "inline")
    assert shown.get_payload(decode=True) == PNG


def test_a_mime_part_that_is_no_file_goes_as_django_builds_it(mails: list[Any]) -> None:
    image = MIMEImage(PNG, "png")
    image.add_header("Content-Disposition", "attachment", filename="a.png")
    image.add_header("Content-Description", "A picture")
    message = EmailMessage("s", "t", to=["bob@example.org"])
    attach_legacy(message, image)
    message.send()
    [part] = [p for p in parsed(mails[0]).walk() if p.get_content_type() == "image/png"]
    assert part["Content-Description"] == "A picture"


# --- messages that build themselves -----------------------------------------------------------------------------------


def test_a_subclass_that_overrides_message_is_respected(smtp: Sink) -> None:
    class Own(EmailMessage):
        def message(self, **more: Any) -> Any:
            built = super().message(**more)
            built["X-Own"] = "yes"
            return built

    message = Own("s", "t", "bounces@example.com", ["bob@example.org"], headers={"From": "ann@example.com"})
    assert message.send() == 1
    [(sender, recipients, content)] = smtp.mails
    assert (sender, recipients) == ("bounces@example.com", ["bob@example.org"])
    assert (parsed(content)["X-Own"], parsed(content)["From"]) == ("yes", "ann@example.com")
    assert message.mailer_receipt.ok


def test_a_subclass_that_overrides_recipients_is_respected(smtp: Sink) -> None:
    class Diverted(EmailMessage):
        def recipients(self) -> list[str]:
            return ["staging@example.com"]

    Diverted("s", "t", to=["bob@example.org"]).send()
    [(_, recipients, content)] = smtp.mails
    assert recipients == ["staging@example.com"]
    assert parsed(content)["To"] == "bob@example.org"


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_url_is_the_option_else_the_setting_else_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URL", "null:")
    with sending_to(None):
        assert str(connection().mailer.backend) == "null:"
        with override_settings(MAILER_URL="console:"):
            assert str(connection().mailer.backend) == "console:"
            assert str(connection(url="memory:").mailer.backend) == "memory:"


def test_without_a_url_the_settings_are_read_as_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret's file, .env and mailer.toml, as ``Mailer()`` does; the From stays Django's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAILER_URL", raising=False)
    monkeypatch.setenv("MAILER_RETRY__TRIES", "1")
    (tmp_path / "mailer.toml").write_text('url = "null:"\nfrom = "shop@example.com"\n')
    with sending_to(None):
        assert str(connection().mailer.backend) == "null:"
        assert connection().mailer is connection().mailer
        (tmp_path / "url").write_text("memory:\n")
        monkeypatch.setenv("MAILER_URL_FILE", str(tmp_path / "url"))
        backend = connection()
        assert backend.send_messages([EmailMessage("s", "t", "me@example.org", ["bob@example.org"])]) == 1
        assert backend.mailer.backend.mails[0].message.from_[0].addr_spec == "me@example.org"
        monkeypatch.setenv("MAILER_URL_FILE", str(tmp_path / "gone"))
        with pytest.raises(ConfigError, match="MAILER_URL_FILE: the file cannot be read"):
            connection()


def test_without_a_url_anywhere_it_is_the_server_of_djangos_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAILER_URL", raising=False)
    with sending_to(None):
        if HAS_MAILERS:  # which has them in OPTIONS
            with pytest.raises(mail.InvalidMailer, match=r"MAILERS\['default'\]: OPTIONS must define 'host'"):
                connection()
            return
        login = {"EMAIL_HOST_USER": "u", "EMAIL_HOST_PASSWORD": "hush", "EMAIL_USE_TLS": True, "EMAIL_TIMEOUT": 5}
        with override_settings(EMAIL_HOST="smtp.example.com", EMAIL_PORT=2525, **login):
            backend = connection()
            assert "hush" not in repr(backend.mailer)
            endpoint = backend.mailer.backend.endpoint
            assert (endpoint.host, endpoint.port, endpoint.tls) == ("smtp.example.com", 2525, "required")
            assert (endpoint.username, endpoint.password, endpoint.timeouts.command_s) == ("u", "hush", 5.0)
            assert get_mailer() is connection().mailer is backend.mailer
            assert connection(username="v", password="w").mailer is not backend.mailer
            assert connection(username="", password="").mailer.backend.endpoint.username is None
        assert str(connection().mailer.backend) == "smtp://localhost:25?tls=none"


def test_a_wrong_url_is_an_error_before_anything_is_sent() -> None:
    with override_settings(MAILER_URL="smpt://host"), pytest.raises(ConfigError, match=r"MAILER_URL: .*smpt"):
        EmailBackend()
    with pytest.raises(ConfigError, match=r"url.*smpt"):
        EmailBackend(url="smpt://host", fail_silently=True)


def test_two_backends_of_one_url_share_a_mailer() -> None:
    assert EmailBackend(url="memory:").mailer is EmailBackend(url="memory:").mailer
    assert EmailBackend(url="memory:").mailer is not EmailBackend(url="null:").mailer


def test_options_that_it_does_not_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="host"):
        EmailBackend(url="memory:", host="smtp.example.com", username=None)


@pytest.mark.skipif(HAS_MAILERS, reason="auth_user is deprecated since Django 6.1")
def test_a_login_beside_the_url_is_refused(mails: list[Any]) -> None:
    with pytest.raises(ConfigError, match="username, password"):
        mail.send_mail("s", "t", None, ["bob@example.org"], auth_user="u", auth_password="secret")
    assert mails == []


needs_mailers = pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")


@needs_mailers
def test_using_names_a_mailer() -> None:
    config = {"BACKEND": BACKEND, "OPTIONS": {"url": "memory:"}}
    with override_settings(MAILERS={"default": {"BACKEND": BACKEND, "OPTIONS": {"url": "null:"}}, "kept": config}):
        backend = mail.mailers["kept"]
        backend.mailer.backend.mails.clear()
        assert mail.send_mail("s", "t", None, ["bob@example.org"], using="kept") == 1
        assert backend.alias == "kept"
        assert len(backend.mailer.backend.mails) == 1


@needs_mailers
def test_an_unknown_option_is_what_django_says_it_is() -> None:
    config = {"BACKEND": BACKEND, "OPTIONS": {"url": "memory:", "hots": "smtp.example.com"}}
    with override_settings(MAILERS={"default": config}), pytest.raises(mail.InvalidMailer, match="hots"):
        mail.send_mail("s", "t", None, ["bob@example.org"])


@needs_mailers
def test_email_backend_still_works_where_it_is_deprecated() -> None:
    program = f"""
import django
from django.conf import settings
settings.configure(EMAIL_BACKEND={BACKEND!r}, MAILER_URL="memory:")
django.setup()
from django.core import mail
assert mail.send_mail("s", "t", "shop@example.com", ["bob@example.org"], fail_silently=True) == 1
assert len(mail.get_connection().mailer.backend.mails) == 1
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60, env=environment)
