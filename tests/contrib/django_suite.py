"""Settings for Django's own suite, with our backends in place of its own: see test_suite_of_django.py.

Read by its runtests.py; ``DJANGO_SUITE_STANDS_FOR`` names the modules of ``django.core.mail.backends`` to replace.
"""

from __future__ import annotations

import os
import smtplib
import ssl
import sys
import types
from typing import Any

import django.core.mail.backends as backends
from test_sqlite import *  # noqa: F403 - Django's, in the folder of its tests

import mailer.contrib.django as ours


def _stand_for(name: str, cls: type, **more: Any) -> None:
    module: Any = types.ModuleType(f"{backends.__name__}.{name}")
    if cls.__name__ != "EmailBackend":  # which is what Django calls each
        cls = type("EmailBackend", (cls,), {"__module__": module.__name__, "__qualname__": "EmailBackend"})
    vars(module).update(more, EmailBackend=cls)
    sys.modules[module.__name__] = module
    setattr(backends, name, module)


_NAMES = os.environ["DJANGO_SUITE_STANDS_FOR"].split(",")
if "smtp" in _NAMES:
    _stand_for("smtp", ours.EmailBackend, smtplib=smtplib, ssl=ssl)
if "locmem" in _NAMES:
    _stand_for("locmem", ours.LocMemBackend)
if "filebased" in _NAMES:
    _stand_for("filebased", ours.FileBackend)
if "console" in _NAMES:
    _stand_for("console", ours.ConsoleBackend)
