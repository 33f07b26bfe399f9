"""Fuzz the reply parser with atheris: ``python tests/fuzz/fuzz_reply.py [corpus] [-max_total_time=60]``.

The same properties run under hypothesis in ``tests/smtp/test_reply.py``; atheris is not needed there.
"""

from __future__ import annotations

import re
import sys

from mailer.errors import ProtocolError
from mailer.smtp.capabilities import Capabilities
from mailer.smtp.reply import Reply, ReplyParser

_LAST_LINE_OF_SUCCESS = re.compile(rb"(?:^|\n)2[0-5][0-9](?=[ \r\n])")


def check(data: bytes) -> None:
    """Raise AssertionError if a reply read from data breaks a rule, is no line of it, or depends on how it is cut."""
    step = data[0] % 16 + 1 if data else 1
    whole, cut = replies(data, len(data) or 1), replies(data, step)
    assert whole == cut, (whole, cut)
    successes = sum(reply is not None and reply.code < 300 for reply in whole)
    assert successes <= len(_LAST_LINE_OF_SUCCESS.findall(data)), whole
    for reply in whole:
        if reply is not None:
            assert 200 <= reply.code <= 599
            assert reply.text.isascii()
            assert reply.text.isprintable()
            assert reply.enhanced_code is None or reply.enhanced_code[0] == str(reply.code)[0]
            assert Reply.parse(reply.format()).code == reply.code
            Capabilities.parse(reply)


def replies(data: bytes, step: int) -> list[Reply | None]:
    """Return the replies in data fed in steps; a None at the end is a protocol error."""
    parser = ReplyParser(max_line=128, max_lines=8, max_bytes=512)
    found: list[Reply | None] = []
    try:
        for start in range(0, len(data), step):
            parser.feed(data[start : start + step])
            while (reply := parser.next()) is not None:
                found.append(reply)
    except ProtocolError:
        found.append(None)
    return found


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
