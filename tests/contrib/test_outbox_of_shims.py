"""A test's outbox has what the shims send as well: they stand on mailers, and the outbox behind every mailer."""

from __future__ import annotations

from flask import Flask

from mailer import Message
from mailer.contrib import flask_mail, flask_mailman
from mailer.contrib.flask import FlaskMailer
from mailer.testing import MailOutbox


def test_flask_flask_mail_and_flask_mailman(mailer_outbox: MailOutbox) -> None:
    app = Flask(__name__)
    app.config.update(MAIL_SERVER="nowhere.invalid", MAIL_DEFAULT_SENDER="shop@example.com")
    app.config.update(MAILER_URL="smtp://nowhere.invalid", MAILER_FROM="shop@example.com")
    other = Flask(__name__)
    other.config.update(app.config)
    mail = flask_mail.Mail(app)
    flask_mailman.Mail(other)
    mailer = FlaskMailer(app)
    with app.app_context():
        mail.send(flask_mail.Message("flask_mail", recipients=["ann@example.org"], body="x"))
        mailer.send(Message(to="ann@example.org", subject="flask", text="x"))
    with other.app_context():
        flask_mailman.EmailMessage("flask_mailman", "x", "shop@example.com", ["ann@example.org"]).send()
    assert [one.subject for one in mailer_outbox] == ["flask_mail", "flask", "flask_mailman"]
    mailer_outbox.assert_sent(to="ann@example.org", from_="shop@example.com", count=3)
