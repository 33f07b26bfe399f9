"""What a relay service of AWS leaves to AWS' own settings: keys, and the region."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .source import AwsSource, region_of

if TYPE_CHECKING:
    from ..backends.options import BackendURL

__all__ = ["options_of", "source_for"]


def source_for(provider: Any) -> AwsSource:
    """Where the provider's credentials come from."""
    given = provider.credentials
    return given if isinstance(given, AwsSource) else AwsSource(given, profile=provider.profile)


def options_of(url: BackendURL, options: Mapping[str, Any]) -> dict[str, Any]:
    """The region, where neither the URL nor its options say it, and it has no keys either: then all is AWS' settings'.

    Raises:
        ConfigError: A shared file cannot be read, or has no such profile.
    """
    if url.username is not None or url.host not in ("", "default") or "region" in options:
        return {}
    region = region_of(os.environ, options.get("profile", ""))
    return {"region": region} if region else {}
