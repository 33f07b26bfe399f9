"""Django's mail, sent by a :class:`~mailer.Mailer`.

::

    EMAIL_BACKEND = "mailer.contrib.django.EmailBackend"                        # Django 5.2 and 6.0
    MAILER_URL = "smtp://user:secret@smtp.example.com"

    MAILERS = {                                                                 # Django 6.1
        "default": {
            "BACKEND": "mailer.contrib.django.EmailBackend",
            "OPTIONS": {"url": "smtp://user:secret@smtp.example.com"},
        }
    }

Switching from Django's own SMTP backend is the dotted path alone: its options and, until ``MAILERS``, its settings
``EMAIL_HOST``, ``EMAIL_PORT`` ... say the server. What else may, and in which order:
:mod:`mailer.contrib.django.mailers`. The From is Django's (``DEFAULT_FROM_EMAIL``). All backends of one configuration
in a process share one mailer, so ``send_mail()`` after ``send_mail()`` goes over one connection; :func:`get_mailer`
gives it.

What becomes of a Django message is said in :mod:`mailer.contrib.django.message`. Its receipt stands on it afterwards:
``message.mailer_receipt``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .backend import EmailBackend
from .local import ConsoleBackend, FileBackend
from .locmem import LocMemBackend
from .mailers import InvalidMailerError, get_mailer
from .message import InvalidMessageError

if TYPE_CHECKING:
    from .aio import asend_mail, asend_messages, get_async_mailer
    from .engine import DjangoTemplates
    from .mount import view_of

__all__ = [
    "ConsoleBackend",
    "DjangoTemplates",
    "EmailBackend",
    "FileBackend",
    "InvalidMailerError",
    "InvalidMessageError",
    "LocMemBackend",
    "asend_mail",
    "asend_messages",
    "get_async_mailer",
    "get_mailer",
    "view_of",
]

# Loaded on first use: what not every process needs.
_MODULE_OF = {
    "DjangoTemplates": "engine",
    "asend_mail": "aio",
    "asend_messages": "aio",
    "get_async_mailer": "aio",
    "view_of": "mount",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
