"""Fuzz the command grammar with atheris: ``python tests/fuzz/fuzz_command.py [corpus] [-max_total_time=60]``.

The same properties run under hypothesis in ``tests/smtp/test_command.py``; atheris is not needed there.
"""

from __future__ import annotations

import sys

from mailer.errors import MessageError, ProtocolError
from mailer.smtp import command


def check(data: bytes) -> None:
    """Raise AssertionError if a command that is read cannot be written, or one that is written breaks its line."""
    for prefix in ("FROM:", "TO:"):
        try:
            parsed = command.parse_command(data)
            command.parse_path(parsed.argument, prefix)
        except ProtocolError:
            pass
    text = data.decode("utf-8", "surrogateescape")
    for build in (
        lambda: command.ehlo(text),
        lambda: command.mail(text, smtputf8=True, envid=text[:10]),
        lambda: command.mail("a@b", extra={text: None}),
        lambda: command.rcpt(text, smtputf8=True),
        lambda: command.rcpt("a@b", orcpt=text),
        lambda: command.auth(text, data),
    ):
        try:
            line = build()
        except MessageError:
            continue
        assert line.endswith(b"\r\n")
        assert line.count(b"\r") == line.count(b"\n") == 1
        assert b"\0" not in line
    try:
        line = command.rcpt(text, smtputf8=True)
    except MessageError:
        return
    assert command.parse_path(command.parse_command(line).argument, "TO:") == (text, {})


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
