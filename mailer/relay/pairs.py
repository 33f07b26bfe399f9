"""Tags and metadata as pairs of name and value in a narrow alphabet, which is all that some services have.

Our tags have no name there: they are "tag", "tag_2", "tag_3" ... Metadata keeps its keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..message import Message
from .letter import as_text

__all__ = ["pair_losses", "pairs"]

_PAIR = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
_TAG = re.compile(r"tag(?:_[0-9]+)?", re.ASCII)


def pairs(tags: Iterable[str], metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Tags and metadata, as far as the alphabet goes."""
    carried = [tag for tag in tags if _PAIR.fullmatch(tag)]
    named = [("tag" if number == 1 else f"tag_{number}", tag) for number, tag in enumerate(carried, 1)]
    return [*named, *_metadata(metadata)]


def pair_losses(message: Message, name: str) -> Iterator[tuple[str, str, bool]]:
    """What of them is left out, as a provider's ``left_out`` says it."""
    beyond = f"beyond letters, digits, '_' and '-' (1-256) are not carried by {name}"
    if not all(map(_PAIR.fullmatch, message.tags)):
        yield "tags", beyond, True
    if len(list(_metadata(message.metadata))) < len(message.metadata):
        yield "metadata", f"named tag or {beyond}", True


def _metadata(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in metadata.items():
        if _PAIR.fullmatch(key) and not _TAG.fullmatch(key) and _PAIR.fullmatch(as_text(value)):
            yield key, as_text(value)
