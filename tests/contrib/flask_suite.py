"""A pytest plugin for suites of others, where they lie: what they import as Flask-Mail and Flask-Mailman is ours.

``FLASK_SUITE`` says what is put in place: "mail", "mailman" (Flask-Security then mails by Flask-Mailman's API, while
its tests look at what they record in Flask-Mail's way), or "theirs", for comparison.
"""

from __future__ import annotations

import os
import sys
import unittest.mock
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHOSEN = os.environ["FLASK_SUITE"]
sys.modules["mock"] = unittest.mock  # which older suites have from a package

if CHOSEN == "theirs":
    import flask_mail
else:
    import mailer.contrib.flask_mail as flask_mail

    sys.modules["flask_mail"] = flask_mail
flask_mail.PY3 = True  # type: ignore[attr-defined]  # asked for by Flask-Mail 0.9.1's tests alone


class _Recorded:
    """A message of Flask-Mailman's, looked at as one of Flask-Mail's."""

    def __init__(self, message: Any) -> None:
        self.subject, self.body, self.sender = message.subject, message.body, message.from_email
        self.recipients = message.to
        self.alts = {kind.removeprefix("text/"): text for text, kind in getattr(message, "alternatives", ())}


def _use_flask_mailman() -> None:
    import mailer.contrib.flask_mailman as flask_mailman

    sys.modules["flask_mailman"] = flask_mailman

    class Mail(flask_mailman.Mail):
        @contextmanager
        def record_messages(self) -> Iterator[list[Any]]:
            recorded: list[Any] = []

            class Kept(list[Any]):
                def append(self, message: Any) -> None:
                    super().append(message)
                    recorded.append(_Recorded(message))

            assert self.state is not None
            self.state.outbox = Kept()
            yield recorded

    flask_mail.Mail = Mail


if CHOSEN == "mailman":
    _use_flask_mailman()
