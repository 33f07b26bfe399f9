"""Content as it is: a provider's API that takes a whole mail in the place of its parts, mostly by ``?api=mime``.

Then features are those of ``Provider.mime``, ``letter.content`` is what is to be sent (without Bcc, as SMTP would carry
it), and the envelope alone says to whom: ready-made mail travels, and so do signatures and what JSON has no field for.
"""

from __future__ import annotations

from base64 import b64encode

from ..errors import HeaderError, UnsupportedFeature
from ..features import Features
from ..mail import Content
from ..ready_made import ascii_headers
from .letter import Letter

__all__ = ["MIME", "base64_content", "in_ascii"]

#: What content says by itself. A provider adds what its API has beside it: ``replace(MIME, tags=True)``.
MIME = Features(return_path=False)


def base64_content(letter: Letter) -> str:
    """The content of a letter that has some, in base64, standard alphabet, no line breaks."""
    assert letter.content is not None, "its features carry no content"  # noqa: S101 - a fault of the provider's code
    return b64encode(bytes(letter.content)).decode("ascii")


def in_ascii(content: Content) -> Content:
    """The content with its header in ASCII (RFC 6857), as a server without SMTPUTF8 gets it; unchanged where that is
    not to be had: it is signed, or no UTF-8.
    """
    if not content.has_utf8_headers:
        return content
    try:
        plain = ascii_headers(bytes(content))
    except HeaderError:
        return content
    return content if plain is None else Content.of(plain)


def text_content(letter: Letter) -> str:
    """The content of a letter that has some, for an API that takes it as text.

    Raises:
        UnsupportedFeature: It is ready-made, in 8 bits, and no UTF-8: text cannot hold it.
    """
    assert letter.content is not None, "its features carry no content"  # noqa: S101 - a fault of the provider's code
    try:
        return bytes(letter.content).decode()
    except UnicodeDecodeError:
        raise UnsupportedFeature("is neither ASCII nor UTF-8, and travels as text", field="raw") from None
