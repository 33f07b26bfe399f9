"""Fuzz target for mailer.address: ``python tests/fuzz/fuzz_address.py [-max_total_time=60] [corpus]``.

Needs atheris, which is imported only then; tests/test_address.py runs the same property under hypothesis.
"""

from __future__ import annotations

import sys

from mailer.address import Address
from mailer.errors import AddressError

__all__ = ["check"]


def _tried(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError as error:
        _check_error(error)
        return None


def _check_error(error: AddressError) -> None:
    shown = str(error)
    assert len(shown) < 400, "an error stays short, whatever the input"
    assert shown.isprintable(), "an error never echoes a control character"


def _check_address(address: Address) -> None:
    assert Address.parse(str(address)) == address, "what is written is read again"
    assert Address(address.name, address.local, address.domain) == address, "what is read, the constructor takes"
    assert Address.from_dict(address.to_dict()) == address
    bare = Address.parse(address.ascii)
    assert (bare.name, bare.local, bare.key) == ("", address.local, address.key), "the wire form is the same mailbox"
    assert not set(str(address)) & {"\r", "\n", "\0"}, "no line is broken"
    assert len(address.ascii.encode()) <= 254, "RFC 5321 section 4.5.3.1.3"
    assert len(address.ascii.rpartition("@")[0].encode()) <= 64, "RFC 5321 section 4.5.3.1.1"
    assert address.ascii.rpartition("@")[2].isascii(), "A-labels on the wire"


def check(text: str) -> None:
    """What must hold for any text: AddressError or a sound address, and both ways of reading agree."""
    address = _tried(text)
    assert _tried(text + " ()") == address, "the quick and the full reader agree; a comment changes nothing"
    try:
        several = Address.parse_list(text)
    except AddressError as error:
        _check_error(error)
        assert address is None, "one mailbox is a list of one"
        return
    for each in several:
        _check_address(each)
    assert address is None or several == (address,)
    assert Address.parse_list(text + "()") == several, "the quick and the full list reader agree"
    assert Address.parse_list(", ".join(map(str, several))) == several


def main() -> None:
    import atheris

    def once(data: bytes) -> None:
        check(atheris.FuzzedDataProvider(data).ConsumeUnicode(len(data)))

    atheris.instrument_all()
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
