"""Runs CPython's own ``test.test_smtplib``, where it lies, against ``mailer.smtplib``: ``python cpython_suite.py``.

What carries the standard library's dialogue is broken first, so that nothing passes by it. Prints a JSON object: how
many ran, and the ids of those that were skipped, and failed with why.
"""

from __future__ import annotations

import json
import smtplib
import sys
import unittest
import warnings

warnings.simplefilter("ignore")

from mailer import smtplib as ours  # noqa: E402


def _never(*_args, **_keywords):
    raise AssertionError("smtplib's own client was used")


for name in ("send", "putcmd", "getreply", "connect", "_get_socket", "data", "login", "starttls", "close"):
    setattr(smtplib.SMTP, name, _never)

import test.test_smtplib as suite  # noqa: E402 - with Python's own tests

suite.smtplib = ours
suite.SMTPGeneralTests.client = ours.SMTP  # bound when the module was loaded
suite.LMTPGeneralTests.client = ours.LMTP

result = unittest.TestResult()
unittest.defaultTestLoader.loadTestsFromModule(suite).run(result)
print(
    json.dumps(
        {
            "ran": result.testsRun,
            "skipped": [case.id() for case, _ in result.skipped],
            "failed": {case.id(): why for case, why in result.failures + result.errors},
        }
    ),
    file=sys.__stdout__,
)
