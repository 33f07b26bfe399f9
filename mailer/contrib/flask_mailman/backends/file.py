"""As ``flask_mailman.backends.file``. Absolute imports, so that it is the same by that name."""

from mailer.contrib.flask_mailman.local import FileBackend as EmailBackend
from mailer.contrib.flask_mailman.local import ImproperlyConfigured

__all__ = ["EmailBackend", "ImproperlyConfigured"]
