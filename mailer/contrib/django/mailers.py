"""The mailers of this process, keyed by what they are made of."""

from __future__ import annotations

import atexit
import os

from django.conf import settings

from ...errors import ConfigError
from ...mailer import Mailer

__all__ = ["mailer_of"]

_mailers: dict[object, Mailer] = {}  # by URL, or by the environment where that says it


def mailer_of(url: str | None) -> Mailer:
    """The mailer of this URL, or of the settings: one for all threads.

    Raises:
        ConfigError: There is no URL, or it is wrong.
    """
    named = "OPTIONS['url']" if url else "MAILER_URL"
    url = url or getattr(settings, "MAILER_URL", None)
    key: object = url or frozenset(item for item in os.environ.items() if item[0].startswith("MAILER_"))
    if key not in _mailers:
        try:
            # One of two threads that come first may make one in vain: it has no connection yet. No lock, so none to be
            # held at a fork.
            _mailers.setdefault(key, Mailer(url) if url else Mailer())
        except ConfigError as error:
            if not url:  # it names the place itself
                raise
            raise ConfigError(f"{named}: {error}") from error
    return _mailers[key]


@atexit.register
def _close() -> None:
    for mailer in _mailers.values():
        mailer.close()
