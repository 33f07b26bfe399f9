"""SASLprep: how user names and passwords are made comparable before they are hashed (RFC 4013, RFC 3454)."""

from __future__ import annotations

import stringprep
import unicodedata

from ..errors import AuthError

__all__ = ["saslprep"]

_FORBIDDEN = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Map, normalise and check a string, as a query is: what is not assigned in Unicode 3.2 passes.

    Raises:
        AuthError: It holds what may not stand there, or is empty afterwards. The text is not shown.
    """
    if text.isascii() and text.isprintable() and text:
        return text
    mapped = [" " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)]
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", "".join(mapped))
    if not prepared:
        raise AuthError("a user name or password is empty once prepared (RFC 4013)")
    if any(forbidden(char) for char in prepared for forbidden in _FORBIDDEN):
        raise AuthError("a user name or password holds a character that may not stand there (RFC 4013 section 2.3)")
    # RFC 3454 section 6: text from right to left is so as a whole, and begins and ends with such a character.
    is_right = [stringprep.in_table_d1(char) for char in prepared]
    if any(is_right) and (any(map(stringprep.in_table_d2, prepared)) or not (is_right[0] and is_right[-1])):
        raise AuthError("a user name or password mixes writing directions (RFC 4013 section 2.4)")
    return prepared
