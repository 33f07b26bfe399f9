"""Content as it is: a provider's API that takes a whole mail in the place of its parts, mostly by ``?api=mime``.

Then features are those of ``Provider.mime``, ``letter.content`` is what is to be sent (without Bcc, as SMTP would carry
it), and the envelope alone says to whom: ready-made mail travels, and so do signatures and what JSON has no field for.
"""

from __future__ import annotations

from base64 import b64encode

from ..features import Features
from .letter import Letter

__all__ = ["MIME", "base64_content"]

#: What content says by itself. A provider adds what its API has beside it: ``replace(MIME, tags=True)``.
MIME = Features(return_path=False)


def base64_content(letter: Letter) -> str:
    """The content of a letter that has some, in base64, standard alphabet, no line breaks."""
    assert letter.content is not None, "its features carry no content"  # noqa: S101 - a fault of the provider's code
    return b64encode(bytes(letter.content)).decode("ascii")
