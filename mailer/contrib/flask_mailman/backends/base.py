"""As ``flask_mailman.backends.base``. Absolute imports, so that it is the same by that name."""

from mailer.contrib.flask_mailman.carriers import BaseEmailBackend

__all__ = ["BaseEmailBackend"]
