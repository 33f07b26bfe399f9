"""As ``flask_mailman.backends.smtp``. Absolute imports, so that it is the same by that name."""

from mailer.contrib.flask_mailman.carriers import BaseEmailBackend
from mailer.contrib.flask_mailman.carriers import SmtpEmailBackend as EmailBackend
from mailer.contrib.flask_mailman.safe_mime import sanitize_address

__all__ = ["BaseEmailBackend", "EmailBackend", "sanitize_address"]
