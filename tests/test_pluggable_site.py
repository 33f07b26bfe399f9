"""``examples/pluggable_site``, by Flask's test client; ``tests/real/test_pluggable_site.py`` has it in a browser."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailer import ConfigError
from mailer.mailbox import Mailbox

EXAMPLE = Path(__file__).parent.parent / "examples/pluggable_site"
SECRET = "S3cr3tT0ken"

BAD_AT_WORK = '''
from pydantic import SecretStr
from mailer import Plugin, PluginSettings

class Keys(PluginSettings):
    key: SecretStr = SecretStr("")
    tags: tuple[str, ...] = ()
    deep: int = 3

class Grumpy(Plugin[Keys]):
    """Refuses <b>everything</b>."""

    name = "grumpy"

    def __init__(self, *given):
        super().__init__(*given)
        if self.settings.deep == 99:
            raise OSError

    def register(self, hooks):
        if self.settings.deep > 9:
            raise RuntimeError
        hooks.add_filter("message", lambda message, context: 1 / 0)

    def close(self):
        raise ValueError
'''

MARK = """
from mailer import Plugin

class Mark(Plugin):
    name = "{name}"
    {more}

    def register(self, hooks):
        hooks.add_filter("message", lambda message, context: message.with_(subject=message.subject + " {mark}"))
"""


class Site:
    """The site, what it mailed, and one visitor's browser."""

    def __init__(self, folder: Path, mailbox: Mailbox, **config: Any) -> None:
        from press import create_app

        table = {
            "from": "The Small Press <press@example.com>",
            "development": {"url": mailbox.url},
            "test": {"url": "memory:"},
            "production": {"url": f"smtps://press:{SECRET}@mx.test"},
        }
        self.app = create_app({"PRESS_FOLDER": str(folder), "MAILER": table, **config})
        self.plugins = folder / "plugins"
        self.mailbox = mailbox
        self.client = self.app.test_client()
        self.host = "http://localhost"

    def get(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, path: str, page: str = "/login", status: int = 200, **form: str) -> str:
        """Fill in a form of a page and send it; what the page after it says."""
        token = re.search(r'name="csrf" value="([^"]+)"', self.client.get(page, base_url=self.host).text)
        assert token
        data = {"csrf": token[1], **form}
        answer = self.client.post(path, data=data, base_url=self.host, follow_redirects=True)
        assert answer.status_code == status, answer.text
        return answer.text

    def log_in(self, name: str = "ann", password: str = "small press") -> str:
        return self.post("/login", name=name, password=password)

    def switch(self, name: str, act: str, **form: str) -> str:
        return self.post(f"/admin/plugins/{name}", "/admin/", act=act, **form)

    def row(self, name: str) -> str:
        found = re.search(rf'<tr id="plugin-{name}".*?</tr>', self.get("/admin/"), re.S)
        assert found, f"there is no plug-in {name}"
        return found[0]

    def comment(self, body: str = "Well said.") -> Any:
        """Comment as who this is; the mail that came of it."""
        before = len(self.mailbox.mails)
        self.post("/posts/1/comments", "/posts/1", name="Cyd", email="cyd@example.net", body=body)
        return self.mailbox.wait_for(before + 1)[before]

    def close(self) -> None:
        from press.mails import mail

        with self.app.app_context():
            mail.mailer.close()


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Makes the site; called again, another process' one on the same folder."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    made: list[Site] = []
    with Mailbox() as mailbox:

        def make(**config: Any) -> Site:
            made.append(Site(tmp_path, mailbox, **config))
            return made[-1]

        yield make
        for site in made:
            site.close()
    for name in [name for name in sys.modules if name.startswith("mailer_plugin_")]:
        del sys.modules[name]


def text_of(mail: Any, kind: str = "plain") -> str:
    return mail.message.get_body((kind,)).get_content()


def test_plugins_dropped_in_change_the_next_mail_and_the_one_after_is_as_before(press):
    site, other = press(), press()
    plain = site.comment("Ask @bob, @bob or @nobody; bob@example.org is no name.")
    assert plain.recipients == ("ann@example.org",)
    assert plain.message["Subject"] == "New comment on Hello, world"
    assert plain.message["Reply-To"] == "Cyd <cyd@example.net>"
    assert "> Ask @bob, @bob or @nobody" in text_of(plain)

    site.log_in()
    assert 'id="plugin-mentions"' not in site.get("/admin/")
    for file in sorted((EXAMPLE / "dropins").glob("*.py")):
        shutil.copy(file, site.plugins)
    (site.plugins / "half.py").write_text("class Half(")
    row = site.row("seasonal_footer")
    assert all(said in row for said in ("2.1", "with a wish for the season", 'class="state">off'))
    assert "SyntaxError" in site.row("half")
    assert "Switch" not in site.row("half")

    for name in ("mentions", "seasonal_footer"):
        assert f"{name} is on" in site.switch(name, "on")
        assert 'class="state">on' in site.row(name)
    assert "No module named &#39;astronomy_of_the_moon&#39;" in site.switch("moon_phase", "on")
    assert 'class="state">broken' in site.row("moon_phase")
    site.switch("seasonal_footer", "save", **{"s.greeting": "Merry <Pressmas>"})
    assert 'value="Merry &lt;Pressmas&gt;"' in site.row("seasonal_footer")

    for each in (site, other):  # the other process sees it by itself
        changed = each.comment("Ask @bob, @bob or @nobody; bob@example.org is no name.")
        assert changed.recipients == ("ann@example.org", "bob@example.org")
        assert changed.message["To"] == "ann <ann@example.org>"
        assert changed.message["Subject"] == "New comment on Hello, world (mentions @bob)"
        assert text_of(changed).endswith("\r\n\r\n* Merry <Pressmas> *\r\n")
        assert "Merry &lt;Pressmas&gt;</p></body>" in text_of(changed, "html")

    assert 'class="state">on' in press().log_in() + site.row("mentions"), "and a new one begins with it"
    for name in ("mentions", "seasonal_footer"):
        assert f"{name} is off" in site.switch(name, "off")
    for each in (site, other):
        again = each.comment("Ask @bob.")
        assert (again.recipients, again.message["Subject"]) == (plain.recipients, plain.message["Subject"])
        assert "Merry" not in text_of(again)
    site.switch("seasonal_footer", "on")
    assert "Merry" in text_of(site.comment()), "its settings were kept"
    (site.plugins / "seasonal_footer.py").unlink()
    fresh = press()
    fresh.log_in()
    assert "its file is gone" in fresh.row("seasonal_footer")
    fresh.switch("seasonal_footer", "off")
    assert "Merry" not in text_of(fresh.comment())


def test_a_plugin_that_fails_at_work_costs_its_mail_and_not_the_comment(press):
    site = press()
    site.log_in()
    (site.plugins / "grumpy.py").write_text(BAD_AT_WORK)
    assert "Refuses &lt;b&gt;everything&lt;/b&gt;" in site.row("grumpy")
    site.switch("grumpy", "on")
    site.switch("grumpy", "save", **{"s.key": SECRET, "s.tags": "a, b", "s.deep": "4"})
    for deep, said in [
        ("x", "grumpy.deep: must be a valid integer"),
        ("10", "raised RuntimeError"),
        ("99", "raised OSError"),
    ]:
        assert said in site.switch("grumpy", "save", **{"s.deep": deep})
        assert 'value="4"' in site.row("grumpy"), "it stays on as it was"
    site.switch("grumpy", "save", **{"s.key": "", "s.tags": "c", "s.deep": ""})
    assert all(f'value="{value}"' in site.row("grumpy") for value in ("3", "c"))
    assert SECRET not in site.get("/admin/")
    with site.app.test_request_context():
        from press.mails import mail

        assert mail.mailer.plugins["grumpy"].settings.key.get_secret_value() == SECRET

    page = site.post("/posts/1/comments", "/posts/1", body="Is this kept?")
    assert "Thank you for your comment" in page
    assert "Is this kept?" in page
    assert site.mailbox.mails == []
    assert re.search(r"failed</td><td>.*HookError.*grumpy", site.get("/admin/"))
    assert "It was not sent" in site.post("/admin/test-mail", "/admin/")
    site.switch("grumpy", "off")
    assert "ann@example.org: accepted 250" in site.post("/admin/test-mail", "/admin/")


def test_every_process_has_the_same_code_in_the_same_order(press):
    site, other = press(), press()
    site.log_in()

    def drop(name: str, mark: str, more: str = "") -> None:
        (site.plugins / f"{name}.py").write_text(MARK.format(name=name, mark=mark, more=more))

    def subjects() -> set[str]:
        fresh = press()
        return {each.comment().message["Subject"].removeprefix("New comment on ") for each in (site, other, fresh)}

    drop("one", "1")
    drop("two", "2")
    for name in ("one", "two"):
        site.switch(name, "on")
    assert subjects() == {"Hello, world 1 2"}
    for act in ("off", "on"):  # before the other process has a request
        site.switch("one", act)
    assert subjects() == {"Hello, world 2 1"}
    drop("one", "changed")
    for act in ("off", "on"):
        site.switch("one", act)
    assert subjects() == {"Hello, world 2 changed"}
    drop("two", "3", more='requires = ("one",)')
    assert "two is on" in (site.switch("two", "off"), site.switch("two", "on"))[1]
    for act in ("off", "save"):
        assert "&#39;one&#39; is required by two: deactivate that first" in site.switch("one", act)
    assert subjects() == {"Hello, world changed 3"}


def test_a_password_is_reset_once_by_the_link_of_the_mail(press):
    site = press()
    site.host = "http://evil.example"  # which who asks may write himself: no link may begin with it
    said = [site.post("/forgot", email=email) for email in ("nobody@example.org", "Bob@example.org")]
    site.host = "http://localhost"
    assert said[0] == said[1]
    [mail] = site.mailbox.wait_for(1)
    assert mail.recipients == ("bob@example.org",)
    [path] = re.findall(r"http://127\.0\.0\.1:5000(/reset/\S+)", text_of(mail))
    thief = site.app.test_client()  # who has bob's session
    site.log_in("bob")
    with site.client.session_transaction() as session, thief.session_transaction() as stolen:
        stolen.update(session)
    assert "Log out bob" in thief.get("/").text
    assert f'href="http://127.0.0.1:5000{path}"' in text_of(mail, "html")
    assert "A new password for bob" in site.get(path)
    assert "at least 8 characters" in site.post(path, path, password="short")
    assert "Your password is changed" in site.post(path, path, password="a longer one")
    assert "Log out" not in thief.get("/").text
    assert "was used" in site.client.get(path, follow_redirects=True).text
    assert "was used" in site.client.get(path[:-3] + "abc", follow_redirects=True).text
    assert "do not fit" in site.log_in("bob")
    assert "Log out bob" in site.log_in("bob", "a longer one")
    site.get("/admin/", status=403)


def test_the_digest_goes_to_subscribers_and_one_click_ends_it(press):
    site = press()
    for wrong in ({"name": "Eve!"}, {"password": "short"}, {"email": "no address"}, {"name": "bob"}):
        form = {"name": "eve", "email": "eve@example.org", "password": "correct horse", **wrong}
        assert '<p class="said">' in site.post("/register", "/register", **form)
    assert "Digest: no" in site.post(
        "/register", "/register", name="cyd", email="cyd@example.org", password="correct horse"
    )
    assert "Digest: yes" in site.post("/digest", "/")
    site.post("/logout", "/")
    site.log_in()
    site.post("/posts/new", "/posts/new", title="Third", body="And <last>.")
    assert "The digest went to 3 of 3" in site.post("/admin/digest", "/admin/")
    mails = site.mailbox.wait_for(3)
    assert [mail.recipients for mail in mails] == [(f"{name}@example.org",) for name in ("ann", "bob", "cyd")]
    assert "* Third\r\n  And <last>.\r\n" in text_of(mails[1])
    link = mails[1].message["List-Unsubscribe"].strip("<>")
    assert mails[1].message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    in_text = text_of(mails[1]).split()[-1]
    path = link.removeprefix("http://127.0.0.1:5000")
    assert in_text.startswith("http://127.0.0.1:5000/unsubscribe/")

    program = site.app.test_client()  # a mail program: no cookie, no token
    assert program.get(path).status_code == 200
    assert program.post(path + "x", data={"List-Unsubscribe": "One-Click"}).status_code == 404
    assert "went to 3 of 3" in site.post("/admin/digest", "/admin/")
    assert program.post(path, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert "went to 2 of 2" in site.post("/admin/digest", "/admin/")


def test_a_members_address_is_the_address_alone(press):
    site = press()
    form = {"name": "zed", "email": "Zed <zed@example.org>", "password": "long enough", "digest": "on"}
    assert "Log out zed" in site.post("/register", "/register", **form)
    site.post("/logout", "/")
    site.log_in()
    assert "went to 3 of 3" in site.post("/admin/digest", "/admin/")
    assert ("zed@example.org",) in [mail.recipients for mail in site.mailbox.wait_for(3)]


def test_commands_make_an_admin_and_send_the_digest_through_what_is_on(press):
    site, cron = press(), press()
    run = site.app.test_cli_runner().invoke
    assert run(args=["make-admin", "nobody"]).output == "Error: there is no member 'nobody': join on the site first\n"
    assert run(args=["make-admin", "bob"]).exit_code == 0
    shutil.copy(EXAMPLE / "dropins/seasonal_footer.py", site.plugins)
    site.log_in("bob")
    site.switch("seasonal_footer", "on")
    assert cron.app.test_cli_runner().invoke(args=["digest"]).output == "The digest went to 2 of 2.\n"
    assert all(" to you! *" in text_of(mail) for mail in site.mailbox.wait_for(2))


def test_environments_are_shown_masked_checked_and_chosen_by_one_setting(press, tmp_path, monkeypatch):
    from press import create_app
    from press.mails import mail as extension

    site = press()
    site.log_in()
    page = site.get("/admin/")
    assert SECRET not in page
    assert "smtps://press:***@mx.test" in page
    assert re.search(r'id="environment-development" class="on"', page)
    assert "development is well" in site.post("/admin/environments/development/check", "/admin/")
    site.mailbox.stop()
    assert "development is not well" in site.post("/admin/environments/development/check", "/admin/")
    site.post("/admin/environments/nowhere/check", "/admin/", status=404)

    table = {
        "from": "press@example.com",
        "development": {"url": "mailbox:"},
        "test": {"url": "memory:"},
        "production": {},
    }
    tested = press(MAILER=table, MAILER_ENV="test", SECRET_KEY="k" * 32)
    tested.log_in()
    page = tested.get("/admin/")
    assert 'id="environment-test" class="on"' in page
    assert "a mailbox of its own" in page
    assert page.count("<button>Check</button>") == 1, "what is not here, or not set, cannot be tried"
    assert "ann@example.org: accepted" in tested.post("/admin/test-mail", "/admin/")
    with tested.app.app_context():
        assert [mail.message.subject for mail in extension.mailer.backend.mails] == ["A test mail"]
    assert "Mailbox" not in tested.get("/")
    with pytest.raises(RuntimeError, match="FLASK_SECRET_KEY"):
        press(MAILER_ENV="production")
    monkeypatch.setenv("FLASK_MAILER__production__url", f"postmark://{SECRET}@default")
    by_variable = create_app({"PRESS_FOLDER": str(tmp_path), "MAILER_ENV": "production", "SECRET_KEY": "k" * 32})
    assert by_variable.extensions["environments"]["production"].shown == "postmark://***@default"
    with pytest.raises(ConfigError, match="staging"):
        press(MAILER_ENV="staging", SECRET_KEY="k" * 32)


def test_forms_are_ours_and_what_visitors_write_stays_text(press):
    site = press()
    for path in ("/login", "/posts/1/comments", "/admin/digest"):
        assert site.client.post(path, data={"csrf": ""}).status_code == 400
    assert site.client.get("/admin/").location == "/login"
    site.post("/posts/9/comments", "/posts/1", status=404)
    for form, said in [
        ({"email": "a@b.example\r\nBcc: eve@example.org", "name": "x", "body": "y"}, "Your address"),
        ({"email": "a@b.example", "name": " ", "body": "y"}, "has a name and a text"),
    ]:
        assert said in site.post("/posts/1/comments", "/posts/1", **form)
    assert site.mailbox.mails == []
    visitor = {"email": "Cyd <cyd@b.example>", "name": "cyd@b\x00\x7f", "body": "a\x00b"}
    assert "Thank you" in site.post("/posts/1/comments", "/posts/1", **visitor)
    assert site.mailbox.wait_for(1)[0].message["Reply-To"] == '"cyd@b" <cyd@b.example>'
    mail = site.comment("<script>alert(1)</script> {{ 7 * 7 }}")
    for seen in (site.get("/posts/1"), text_of(mail, "html")):
        assert "<script" not in seen
        assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7 * 7 }}" in seen
    assert "script-src" not in (policy := site.client.get("/").headers["Content-Security-Policy"])
    assert "default-src 'none'" in policy


def test_development_without_a_server_has_a_mailbox_in_the_browser(press):
    site = press(MAILER={"from": "press@example.com", "development": {"url": "mailbox:"}})
    own = site.app.extensions["environments"].mailbox
    assert "Nothing yet" in site.get("/mailbox/")
    site.post("/forgot", email="bob@example.org")
    own.wait_for(1)
    assert "A new password" in site.get("/mailbox/")
    page = site.get("/mailbox/1")
    assert '<a href="http://127.0.0.1:5000/reset/' in page
    assert "<iframe sandbox" in page
    frame = site.client.get("/mailbox/1/html")
    assert frame.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    site.get("/mailbox/2", status=404)
    assert site.client.get("/mailbox/", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 404
    own.stop()
