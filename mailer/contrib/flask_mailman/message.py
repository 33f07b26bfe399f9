"""As ``flask_mailman.message``. Absolute imports, so that it is the same by that name."""

from email.utils import make_msgid

from mailer.contrib.flask_mailman.letter import DEFAULT_ATTACHMENT_MIME_TYPE, EmailMessage, EmailMultiAlternatives
from mailer.contrib.flask_mailman.names import DNS_NAME, force_str, punycode
from mailer.contrib.flask_mailman.safe_mime import (
    ADDRESS_HEADERS,
    RFC5322_EMAIL_LINE_LENGTH_LIMIT,
    BadHeaderError,
    MIMEMixin,
    SafeMIMEMessage,
    SafeMIMEMultipart,
    SafeMIMEText,
    forbid_multi_line_headers,
    sanitize_address,
    utf8_charset,
    utf8_charset_qp,
)

__all__ = [
    "ADDRESS_HEADERS",
    "BadHeaderError",
    "DEFAULT_ATTACHMENT_MIME_TYPE",
    "DNS_NAME",
    "EmailMessage",
    "EmailMultiAlternatives",
    "MIMEMixin",
    "RFC5322_EMAIL_LINE_LENGTH_LIMIT",
    "SafeMIMEMessage",
    "SafeMIMEMultipart",
    "SafeMIMEText",
    "forbid_multi_line_headers",
    "force_str",
    "make_msgid",
    "punycode",
    "sanitize_address",
    "utf8_charset",
    "utf8_charset_qp",
]
