"""Flask-Mailman 1.1's API on our pipeline: the import is the whole migration.

::

    from mailer.contrib.flask_mailman import EmailMessage, Mail

    mail = Mail(app)                                    # or mail.init_app(app)
    mail.send_mail("Hello", "...", None, ["ann@example.org"])

The ``MAIL_`` keys are Flask-Mailman's (:mod:`mailer.contrib.flask_keys`); ``MAILER_URL`` beside them is any backend's
URL, in the place of the server's. What became of a message stands on it afterwards: ``message.mailer_receipt``. Where
it is better, and so differs: docs/howto/from-flask-mailman.md.

Apps import ``message.py``, ``utils.py`` and ``backends``, which are Flask-Mailman's paths,
and hold good under its name too
(``sys.modules["flask_mailman"] = mailer.contrib.flask_mailman``).
"""

from __future__ import annotations

from email.utils import make_msgid

from .letter import DEFAULT_ATTACHMENT_MIME_TYPE, EmailMessage, EmailMultiAlternatives
from .mail import Mail, _Mail, _MailMixin, available_backends
from .names import DNS_NAME, CachedDnsName
from .safe_mime import BadHeaderError, SafeMIMEMultipart, SafeMIMEText, forbid_multi_line_headers

__all__ = [
    "CachedDnsName",
    "DNS_NAME",
    "EmailMessage",
    "EmailMultiAlternatives",
    "SafeMIMEText",
    "SafeMIMEMultipart",
    "DEFAULT_ATTACHMENT_MIME_TYPE",
    "make_msgid",
    "BadHeaderError",
    "forbid_multi_line_headers",
    "Mail",
    "_Mail",
    "_MailMixin",
    "available_backends",
]
