"""Fuzz the header writer: ``python tests/fuzz/fuzz_header.py [-max_total_time=60] [corpus]``.

Needs atheris, which is imported only then; tests/test_fuzz_composer.py runs the same property under hypothesis.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from strict_reader import decoded, mailboxes, parameters, read

from mailer import header
from mailer.address import Address
from mailer.errors import AddressError, MessageError
from mailer.field import line

__all__ = ["check"]


def _body(field: str, *, utf8: bool = False) -> str:
    [(_, body)] = read(field.encode() + b"\r\n", utf8=utf8).fields
    return body


def check(text: str) -> None:
    """Any text is refused, or read back from a free-text field, a display name and a parameter."""
    try:
        line(text, "text")
    except MessageError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    plain = text.strip(" \t")
    for utf8 in (False, True):
        assert decoded(_body(header.unstructured("Subject", plain, utf8=utf8), utf8=utf8)) == plain
    written = header.parameters("attachment", [("filename", text)], column=len("Content-Disposition: "))
    assert parameters(_body(f"Content-Disposition: {written}\r\n"))[1] == {"filename": text}
    try:
        address = Address(text, "ann", "example.org")
    except AddressError:
        return
    for utf8 in (False, True):
        field = header.addresses("Reply-To", [address, address], utf8=utf8)
        assert mailboxes(_body(field, utf8=utf8)) == [(address.name, "ann@example.org")] * 2


def main() -> None:
    import atheris

    def once(data: bytes) -> None:
        check(atheris.FuzzedDataProvider(data).ConsumeUnicode(len(data)))

    atheris.instrument_all()
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
