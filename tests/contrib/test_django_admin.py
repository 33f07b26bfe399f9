"""The admin's pages of the mail log, read by staff with more and with less permission."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import django
import django_project  # noqa: F401 - configures the settings
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from mailer import Attachment, Message
from mailer.contrib.django import get_mailer
from mailer.mail_log import Logged, SqliteMailLog

LIST = "/admin/mailwright/loggedmail/"
BACKEND = "mailer.contrib.django.EmailBackend"
HAS_MAILERS = django.VERSION >= (6, 1)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = (
    '<script>alert(1)</script><img src="https://evil.example/seen.png"><meta http-equiv="refresh" content="0;url=//e">'
    '<img src="cid:logo"><p>Your code is 1234'
)


@pytest.fixture(scope="module", autouse=True)
def _tables() -> None:
    call_command("migrate", verbosity=0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteMailLog]:
    """The log of the default mailer, with bodies; mails go to memory."""
    with mailing({"log": {"path": str(tmp_path / "log.db"), "bodies": True}}):
        yield SqliteMailLog(tmp_path / "log.db")


@contextmanager
def mailing(plugins: Any, **more: Any) -> Iterator[None]:
    backends = {"MAILERS": {"default": {"BACKEND": BACKEND}}} if HAS_MAILERS else {"EMAIL_BACKEND": BACKEND}
    with override_settings(MAILER={"url": "memory:", "plugins": plugins, **more}, **backends):
        yield


def staff(*permissions: str) -> Client:
    """A client that is logged in, which is asked for CSRF tokens."""
    User.objects.filter(username="kim").delete()
    user = User.objects.create_user("kim", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"{one}_loggedmail" for one in permissions]))
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def sent(subject: str = "Hi", **fields: Any) -> str:
    """Send a mail; its id."""
    fields = {"text": "Hello", "to": ["ann@example.org"], **fields}
    return get_mailer().send(Message(from_="shop@example.com", subject=subject, **fields)).id


def entry(number: int, **fields: Any) -> Logged:
    made = {
        "time": NOW + timedelta(seconds=number),
        "mail_id": f"m{number}",
        "outcome": "accepted",
        "recipient": f"u{number}@example.org",
        "subject": f"Order {number}.",
    }
    return Logged(**{**made, **fields})


def shown(page: Any) -> list[str]:
    """The recipients in the list."""
    assert page.status_code == 200
    return re.findall(r"u(\d+)@example\.org", page.content.decode())


# --- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_is_read_page_by_page(log: SqliteMailLog) -> None:
    log.add([entry(number) for number in range(120)])
    client, seen, url = staff("view"), [], LIST
    for _ in range(3):
        page = client.get(url)
        seen.append(shown(page))
        more = re.search(r'href="(\?[^"]*before=[^"]*)">Earlier', page.content.decode())
        url = LIST + more[1].replace("&amp;", "&") if more else ""
    assert [len(one) for one in seen] == [50, 50, 20]
    assert [int(number) for one in seen for number in one] == list(range(119, -1, -1))
    assert url == ""


def test_it_is_searched_by_each_field(log: SqliteMailLog) -> None:
    log.add([entry(1, sender="shop@example.com"), entry(2, outcome="rejected"), entry(3, time=NOW + timedelta(days=3))])
    client = staff("view")
    for query, found in {
        "recipient=U1@example.org": ["1"],
        "sender=shop@example.com": ["1"],
        "outcome=rejected": ["2"],
        "subject=order+3.": ["3"],
        "mail_id=m2": ["2"],
        "since=2026-01-04": ["3"],
        "until=2026-01-02": ["2", "1"],
        "recipient=nobody@example.org": [],
        "before=nonsense": ["3", "2", "1"],
        f"before={'9' * 39}": ["3", "2", "1"],
        f"before=1.{'9' * 30}": ["3", "2", "1"],
        "until=9999-12-31": ["3", "2", "1"],
        "subject=order&outcome=accepted&before=": ["3", "1"],
    }.items():
        page = client.get(f"{LIST}?{query}")
        assert [number for number in shown(page) if f'value="u{number}' not in query] == found, query
    assert "valid choice" in client.get(f"{LIST}?outcome=eaten").content.decode()


def test_a_page_asks_the_database_nothing_of_the_log(log: SqliteMailLog) -> None:
    log.add([entry(number) for number in range(60)])
    client = staff("view")
    with CaptureQueriesContext(connection) as few:
        client.get(f"{LIST}?mail_id=m1")
    with CaptureQueriesContext(connection) as many:
        client.get(LIST)
    assert len(few) == len(many) < 8
    assert not any("mailwright_loggedmail" in query["sql"] for query in many)


def test_without_a_log_it_is_said_how_to_keep_one(tmp_path: Path) -> None:
    with mailing([]):
        assert "keeps no log: turn the plug-in on" in staff("view").get(LIST).content.decode()
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    with mailing({"log": {"path": str(tmp_path / "broken.db")}}):
        assert "cannot be used" in staff("view").get(LIST).content.decode()


def test_another_mailers_log_is_chosen(tmp_path: Path) -> None:
    news = {"url": "memory:", "plugins": {"log": {"path": str(tmp_path / "news.db"), "bodies": True}}}
    plugins = {"log": {"path": str(tmp_path / "log.db"), "bodies": True}}
    backends: dict[str, Any] = {"MAILER": {"url": "memory:", "plugins": plugins, "mailers": {"news": news}}}
    if HAS_MAILERS:
        backends["MAILERS"] = {name: {"BACKEND": BACKEND} for name in ("default", "news")}
    with override_settings(**backends):
        get_mailer("news").send(Message(from_="shop@example.com", to="u7@example.org", subject="News", text="x"))
        client = staff("view", "read", "resend")
        assert shown(client.get(LIST)) == []
        page = client.get(f"{LIST}?mailer=news")
        assert set(shown(page)) == {"7"}
        [link] = re.findall(r'href="([^"]*/change/[^"]*)"', page.content.decode())
        detail = client.get(link).content.decode()
        assert "News" in detail
        assert re.findall(r'/(?:html|eml|resend)/(\?[^"]*)"', detail) == ["?mailer=news"] * 2
        assert client.get(link.replace("news", "none")).status_code == 404


# --- a mail -----------------------------------------------------------------------------------------------------------


def test_a_hostile_mail_is_shown_and_does_nothing(log: SqliteMailLog) -> None:
    logo = Attachment.from_bytes("<b>logo.png", b"\x89PNG\r\n\x1a\n", content_id="logo", inline=True)
    mail_id = sent("<script>alert(0)</script>", html=HOSTILE, attachments=[logo])
    client = staff("view", "read")
    page = client.get(f"{LIST}{mail_id}/change/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(0)" in page
    assert "&lt;b&gt;logo.png" in page
    [frame] = re.findall(r"<iframe[^>]*>", page)
    assert " sandbox " in frame
    assert "allow-" not in frame
    assert f'src="{LIST}{mail_id}/html/"' in frame
    assert "frame-src 'self'" in page
    assert "evil.example" not in page
    answer = client.get(f"{LIST}{mail_id}/html/")
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert answer["Content-Security-Policy"].endswith("sandbox")
    assert "img-src data:;" in answer["Content-Security-Policy"]
    assert (answer["X-Frame-Options"], "no-store" in answer["Cache-Control"]) == ("SAMEORIGIN", True)
    assert "<meta" not in answer.content.decode()
    assert 'src="data:image/png;base64,' in answer.content.decode()
    assert "https:" in client.get(f"{LIST}{mail_id}/html/?remote=1")["Content-Security-Policy"]
    assert "/html/?remote=1" in client.get(f"{LIST}{mail_id}/change/?remote=1").content.decode()


def test_a_mail_is_downloaded_as_it_was_sent(log: SqliteMailLog) -> None:
    mail_id = sent()
    answer = staff("view", "read").get(f"{LIST}{mail_id}/eml/")
    assert answer.content == log.body(mail_id) == bytes(get_mailer().backend.mails[0].content)  # type: ignore[attr-defined]
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("message/rfc822", "nosniff")
    assert answer["Content-Disposition"] == f'attachment; filename="{mail_id}.eml"'


def test_what_is_not_there_is_not_found(log: SqliteMailLog) -> None:
    log.add([entry(1)])
    client = staff("view", "read", "resend")
    assert client.get(f"{LIST}nothing/change/").status_code == 404
    for page in ("html", "eml"):
        assert client.get(f"{LIST}m1/{page}/").status_code == 404
    page = client.get(f"{LIST}m1/change/").content.decode()
    assert "has no body" in page
    assert "Send again" not in page
    assert client.get(f"{LIST}add/").status_code == client.get(f"{LIST}m1/delete/").status_code == 404


# --- who may ----------------------------------------------------------------------------------------------------------


def test_each_page_needs_its_permission(log: SqliteMailLog) -> None:
    mail_id = sent(text="https://shop.example.com/reset/s3cret")
    pages = ["", f"{mail_id}/change/", f"{mail_id}/html/", f"{mail_id}/eml/"]
    for permissions, wanted in {
        (): [403] * 4,
        ("view",): [200, 200, 403, 403],
        ("view", "read"): [200] * 4,
        ("read",): [403] * 4,
    }.items():
        client = staff(*permissions)
        assert [client.get(LIST + page).status_code for page in pages] == wanted, permissions
    assert "s3cret" not in staff("view", "resend").get(LIST + pages[1]).content.decode()
    assert "s3cret" in staff("view", "read").get(LIST + pages[1]).content.decode()
    for page in pages:
        assert Client().get(LIST + page).status_code == 302
    assert LIST in staff("view").get("/admin/").content.decode()
    assert LIST not in staff().get("/admin/").content.decode()


def token(client: Client, url: str) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get(url).content.decode())
    assert found
    return {"csrfmiddlewaretoken": found[1]}


def test_resending_needs_its_permission_a_post_and_a_token(log: SqliteMailLog) -> None:
    mail_id = sent()
    url, chosen = f"{LIST}{mail_id}/resend/", {"recipient": ["ann@example.org"]}
    mails = get_mailer().backend.mails  # type: ignore[attr-defined]
    client = staff("view", "read")
    assert client.post(url, {**chosen, **token(client, LIST[:-1] + "/" + mail_id + "/change/")}).status_code == 403
    client = staff("view", "resend")
    assert client.get(url).status_code == 405
    assert client.post(url, chosen).status_code == 403
    assert len(mails) == 1
    assert client.post(url, {**chosen, **token(client, f"{LIST}{mail_id}/change/")}).status_code == 302
    assert len(mails) == 2


def test_it_is_sent_again_as_it_was_to_those_who_are_chosen(log: SqliteMailLog) -> None:
    mail_id = sent(to=["ann@example.org", "bob@example.org"], bcc="eve@example.org")
    mails = get_mailer().backend.mails  # type: ignore[attr-defined]
    client = staff("view", "resend")
    url, place = f"{LIST}{mail_id}/resend/", f"{LIST}{mail_id}/change/"
    answer = client.post(
        url, {"recipient": ["bob@example.org", "eve@example.org"], **token(client, place)}, follow=True
    )
    assert "Sent again: bob@example.org: accepted, eve@example.org: accepted" in answer.content.decode()
    first, again = mails
    assert bytes(again.content) == bytes(first.content)
    assert [one.addr_spec for one in again.envelope.recipients] == ["bob@example.org", "eve@example.org"]
    assert again.envelope.sender == first.envelope.sender
    [noted] = LogEntry.objects.filter(object_id=mail_id)
    assert (noted.user.username, "bob@example.org" in noted.change_message) == ("kim", True)
    assert "choose at least one" in client.post(url, token(client, place), follow=True).content.decode()
    wrong = client.post(url, {"recipient": ["other@example.org"], **token(client, place)})
    assert wrong.status_code == 400
    assert len(mails) == 2
    assert len(log.search(recipient="bob@example.org")) == 2


def test_a_refusal_is_told(log: SqliteMailLog) -> None:
    mail_id = sent()
    get_mailer().hooks.add_filter("recipients", lambda recipients, context: ())
    client, place = staff("view", "resend"), f"{LIST}{mail_id}/change/"
    given = {"recipient": ["ann@example.org"], **token(client, place)}
    said = client.post(f"{LIST}{mail_id}/resend/", given, follow=True).content.decode()
    assert "Not sent: the recipients filter left nobody" in said
    assert len(get_mailer().backend.mails) == 1  # type: ignore[attr-defined]


def test_the_model_has_no_table_and_needs_no_migration() -> None:
    assert "mailwright_loggedmail" not in connection.introspection.table_names()
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
    call_command("check", "mailwright")
    call_command("dumpdata", "mailwright", stdout=(dumped := StringIO()))  # of all apps, in a project
    assert dumped.getvalue().strip() == "[]"
