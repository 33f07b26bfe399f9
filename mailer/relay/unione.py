"""UniOne: https://docs.unione.io/en/web-api-ref#email-send

``unione://API-KEY@eu1`` or ``@us1``, the account's data centre; ``default`` is the first. It is Unisender Go outside
Russia, and speaks as that does.
"""

from __future__ import annotations

from .unisender_go import UnisenderGo

__all__ = ["UniOne"]


class UniOne(UnisenderGo):
    """UniOne's sending API, version 1."""

    name = "unione"
    bases = {
        "default": "https://eu1.unione.io/en/transactional/api/v1",
        "eu1": "https://eu1.unione.io/en/transactional/api/v1",
        "us1": "https://us1.unione.io/en/transactional/api/v1",
    }
