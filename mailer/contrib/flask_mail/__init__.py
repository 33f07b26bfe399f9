"""Flask-Mail 0.10's API on our pipeline: the import is the whole migration.

::

    from mailer.contrib.flask_mail import Mail, Message

    mail = Mail(app)                                    # or mail.init_app(app)
    mail.send(Message("Hello", recipients=["ann@example.org"], body="..."))

The ``MAIL_`` keys are Flask-Mail's (:mod:`mailer.contrib.flask_keys`); ``MAILER_URL`` in their place is any backend's
URL. ``mail.state.mailer`` is the :class:`~mailer.Mailer` behind it, and what became of a message stands on it
afterwards: ``message.mailer_receipt``. Where it is better, and so differs: docs/howto/from-flask-mail.md.
"""

from __future__ import annotations

import warnings
from email.header import Header
from typing import Any

from .mail import Connection, Mail, _Mail, _MailMixin, email_dispatched, signals
from .message import Attachment, Message
from .text import (
    BadHeaderError,
    FlaskMailUnicodeDecodeError,
    force_text,
    sanitize_address,
    sanitize_addresses,
    sanitize_subject,
)

__all__ = [
    "Attachment",
    "BadHeaderError",
    "Connection",
    "FlaskMailUnicodeDecodeError",
    "Header",
    "Mail",
    "Message",
    "_Mail",
    "_MailMixin",
    "email_dispatched",
    "force_text",
    "sanitize_address",
    "sanitize_addresses",
    "sanitize_subject",
    "signals",
    "signals_available",
]

#: As old releases had it, when blinker was not always there.
signals_available = True


def __getattr__(name: str) -> Any:
    if name == "__version__":
        warnings.warn("use importlib.metadata.version('mailwright')", DeprecationWarning, stacklevel=2)
        return "0.10.0"  # whose API this is
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
