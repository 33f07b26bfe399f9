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

from .backend import EmailBackend
from .locmem import LocMemBackend
from .mailers import InvalidMailerError, get_mailer
from .message import InvalidMessageError

__all__ = ["EmailBackend", "InvalidMailerError", "InvalidMessageError", "LocMemBackend", "get_mailer"]
