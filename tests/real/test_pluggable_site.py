"""``examples/pluggable_site`` in headless Chromium: real pages, real SMTP, plug-ins dropped in while it runs."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .browser import Browser, browser
from .peers import MissingProgramError

pytestmark = pytest.mark.real

EXAMPLE = Path(__file__).parent.parent.parent / "examples/pluggable_site"
PASSWORD = "small press"
HOSTILE = (
    '<html><body style="background: rgb(1, 2, 3)"><p id="said">Hello</p><script>document.title = "run"; '
    'parent.document.title = "run"</script><img src="x" onerror="document.title = \'run\'">'
    '<form action="/logout" method="post"><button>Win</button></form></body></html>'
)


class Press:
    """The site, served by threads on a free port of loopback."""

    def __init__(self, folder: Path, **config: Any) -> None:
        from press import create_app
        from werkzeug.serving import make_server

        self.plugins = folder / "plugins"
        self.server = make_server("127.0.0.1", 0, lambda environ, start: [], threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.app = create_app({"PRESS_FOLDER": str(folder), "PRESS_URL": self.url, **config})
        self.server.app = self.app
        self.mailbox = self.app.extensions["environments"].mailbox
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop it, and what it started."""
        from press.mails import mail

        self.server.shutdown()
        self._thread.join()
        self.server.server_close()
        with self.app.app_context():
            mail.mailer.close()
        self.mailbox.stop()


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Press]:
    if os.environ.get("REAL_PEERS") != "1":
        pytest.skip("REAL_PEERS is not set to 1; it needs the Chromium that .ci/install-real-peers installs")
    monkeypatch.syspath_prepend(str(EXAMPLE))
    started = Press(tmp_path / "site")
    yield started
    started.close()
    for name in [name for name in sys.modules if name.startswith("mailer_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def window(press: Press, tmp_path: Path) -> Iterator[Browser]:
    try:
        with browser(tmp_path / "profile", press.url) as started:
            yield started
    except MissingProgramError as missing:
        pytest.fail(f"chromium: {missing}", pytrace=False)


def log_in(window: Browser, name: str = "ann", password: str = PASSWORD) -> None:
    window.open("/login")
    window.send(".fields", name=name, password=password)


def comment(press: Press, window: Browser, body: str) -> Any:
    """Comment as a visitor; the mail that came of it, opened in the mailbox."""
    count = len(press.mailbox.mails) + 1
    window.open("/posts/1")
    visitor = {} if "Log out" in window.text("header") else {"name": "Cyd", "email": "cyd@example.net"}
    window.send("main .fields", body=body, **visitor)
    assert "Thank you for your comment" in window.text()
    mail = press.mailbox.wait_for(count)[-1]
    window.open("/mailbox/")
    window.follow(f'#mailbox a[href="/mailbox/{count}"]')
    return mail


def html_of(window: Browser) -> str:
    """What is to be read in the frame of the mail that is open."""
    window.driver.switch_to.frame(window.one("iframe"))
    said = window.text("body")
    window.driver.switch_to.default_content()
    return said


def state(window: Browser, name: str) -> str:
    return window.text(f"#plugin-{name} td.state")


def switch(window: Browser, name: str) -> str:
    """Press the button of a plug-in's row; what the page says then."""
    window.open("/admin/")
    window.send(f"#plugin-{name} td:last-child form")
    return window.text("main")


def test_plugins_are_dropped_in_and_switched_while_visitors_comment(press: Press, window: Browser):
    body = "Ask @bob about it."
    plain = comment(press, window, body)
    assert plain.recipients == ("ann@example.org",)
    assert window.text("h1") == "New comment on Hello, world"
    assert "Cyd says about your post" in html_of(window)

    log_in(window)
    assert "mentions" not in window.text("#plugins")
    for file in (EXAMPLE / "dropins").glob("*.py"):
        shutil.copy(file, press.plugins)
    window.open("/admin/")
    assert "Ends every mail, text and html, with a wish for the season." in window.text("#plugin-seasonal_footer")
    for name in ("mentions", "seasonal_footer"):
        assert state(window, name) == "off"
        assert f"{name} is on" in switch(window, name)
        assert state(window, name) == "on"
    assert "No module named 'astronomy_of_the_moon'" in switch(window, "moon_phase")
    assert state(window, "moon_phase") == "broken"
    window.send("#plugin-seasonal_footer .settings", **{"s.greeting": "Merry <Pressmas>"})

    window.send("header form:last-child")  # log out: the comment is a visitor's
    changed = comment(press, window, body)
    assert changed.recipients == ("ann@example.org", "bob@example.org")
    assert window.text("h1") == "New comment on Hello, world (mentions @bob)"
    assert "* Merry <Pressmas> *" in window.text("#text")
    assert html_of(window).endswith("Merry <Pressmas>")

    log_in(window)
    for name in ("mentions", "seasonal_footer"):
        assert f"{name} is off" in switch(window, name)
    again = comment(press, window, body)
    assert again.recipients == plain.recipients
    assert window.text("h1") == "New comment on Hello, world"
    assert "Merry" not in window.text("#text") + html_of(window)
    assert window.problems() == []


def test_the_link_of_the_mail_leads_to_a_new_password(press: Press, window: Browser):
    window.open("/login")
    window.follow('main a[href="/forgot"]')
    window.send(".fields", email="bob@example.org")
    press.mailbox.wait_for(1)
    window.open("/mailbox/1")
    window.follow("#text a")
    assert window.text("h1") == "A new password for bob"
    window.send(".fields", password="quite another")
    log_in(window, "bob")
    assert "Name and password do not fit." in window.text()
    log_in(window, "bob", "quite another")
    assert "Log out bob" in window.text("header")
    window.open("/mailbox/1")
    window.follow("#text a")
    assert "This link is too old, was used, or is not whole." in window.text()
    assert window.problems() == []


def test_the_digest_is_unsubscribed_by_its_link(press: Press, window: Browser):
    log_in(window)
    window.send('form[action="/admin/digest"]')
    assert "The digest went to 2 of 2." in window.text()
    assert [mail.recipients[0] for mail in press.mailbox.wait_for(2)] == ["ann@example.org", "bob@example.org"]
    window.open("/mailbox/2")
    window.open(window.text("#text").split()[-1])
    assert window.text("h1") == "Unsubscribe?"
    window.send("form")
    assert "You are unsubscribed" in window.text("h1")
    window.open("/admin/")
    window.send('form[action="/admin/digest"]')
    assert "The digest went to 1 of 1." in window.text()
    assert [entry.text for entry in window.driver.find_elements("css selector", "#mails .accepted .state")] == [
        "accepted"
    ] * 3
    assert window.problems() == []


def test_environments_are_checked_and_a_test_mail_shows_its_receipt(press: Press, window: Browser):
    log_in(window)
    assert window.text("#environment-development .state") == "active"
    window.send("#environment-development form")
    assert f"development is well: smtp://127.0.0.1:{press.mailbox.port}" in window.text()
    window.send('form[action="/admin/test-mail"]')
    assert "ann@example.org: accepted 250" in window.text()
    for path, said in [
        ("/", "Hello, world"),
        ("/posts/new", "A new post"),
        ("/register", "Join"),
        ("/mailbox/", "A test mail"),
        ("/mailbox/1", "Hello ann"),
    ]:
        window.open(path)
        assert said in window.text()
    assert window.problems() == []


def test_no_script_of_a_mail_runs_in_the_mailbox(press: Press, window: Browser):
    from press.mails import mail

    from mailer import Message

    with press.app.app_context():
        mail.send(Message(to="ann@example.org", subject="<b>Hi</b>", text="<i>t</i>", html=HOSTILE))
    log_in(window)
    window.open("/mailbox/1")
    assert window.text("h1") == "<b>Hi</b>"
    assert window.text("#text") == "<i>t</i>"
    window.driver.switch_to.frame(window.one("iframe"))
    assert window.text("#said") == "Hello"
    assert window.one("body").value_of_css_property("background-color") == "rgba(1, 2, 3, 1)", "its styles count"
    window.driver.switch_to.default_content()
    window.open("/mailbox/1/html")  # without the frame the answer's own policy holds
    assert window.text("#said") == "Hello"
    assert window.driver.title == ""
    window.one("button").click()  # which goes nowhere
    assert any("Blocked script execution" in said for said in window.problems(among="Blocked form submission"))
    window.open("/")
    assert "Log out ann" in window.text("header")
