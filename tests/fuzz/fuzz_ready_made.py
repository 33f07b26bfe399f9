"""Fuzz the reader of ready-made mail: ``python tests/fuzz/fuzz_ready_made.py [-max_total_time=60] [corpus]``.

Needs atheris, which is imported only then; tests/test_fuzz_composer.py runs the same property under hypothesis.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime

from mailer.errors import MessageError
from mailer.ready_made import ReadyMade, ascii_headers, canonical, seven_bit

__all__ = ["check"]

DATE = datetime(2026, 11, 24, tzinfo=UTC)


def _check_lines(data: bytes) -> None:
    assert data.endswith(b"\r\n")
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", data)


def check(data: bytes) -> None:
    """Any octets are refused with a MessageError, or can be sent; again read, they stay as they are."""
    for change in (seven_bit, ascii_headers):
        try:
            changed = change(canonical(data))
        except MessageError:
            continue
        if changed is not None and change is seven_bit:
            assert changed.isascii()
            assert max(map(len, changed.split(b"\r\n"))) <= 998
        elif changed is not None:
            assert (b"\r\n" + changed).partition(b"\r\n\r\n")[0].isascii()
    try:
        made = ReadyMade.of(data, message_id="<new@example.org>", date=DATE)
    except MessageError as error:
        assert str(error).isprintable()  # noqa: PT017
        assert error.field  # noqa: PT017
        return
    _check_lines(made.content)
    assert max(map(len, made.content.split(b"\r\n"))) <= 998
    assert not re.search(rb"(?im)^(?:bcc|resent-bcc|return-path)[ \t]*:", made.content.partition(b"\r\n\r\n")[0])
    again = ReadyMade.of(made.content, message_id="<other@example.org>", date=DATE)
    assert again.content == made.content
    assert again.is_signed == made.is_signed


def main() -> None:
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
