"""As ``flask_mailman.backends.locmem``. Absolute imports, so that it is the same by that name."""

from mailer.contrib.flask_mailman.carriers import BaseEmailBackend
from mailer.contrib.flask_mailman.local import LocmemBackend as EmailBackend

__all__ = ["BaseEmailBackend", "EmailBackend"]
