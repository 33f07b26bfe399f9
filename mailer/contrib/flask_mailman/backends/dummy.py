"""As ``flask_mailman.backends.dummy``. Absolute imports, so that it is the same by that name."""

from mailer.contrib.flask_mailman.carriers import BaseEmailBackend
from mailer.contrib.flask_mailman.local import DummyBackend as EmailBackend

__all__ = ["BaseEmailBackend", "EmailBackend"]
