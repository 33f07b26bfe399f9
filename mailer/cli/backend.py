"""The options that say by which backend a command sends; and the mailer that they and the settings make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..mailer import Mailer

__all__ = ["mailer_of", "mailer_option", "url_option"]

F = TypeVar("F", bound=Callable[..., Any])


def url_option(function: F) -> F:
    """``--url URL``."""
    return click.option("--url", metavar="URL", help="The backend. [default: MAILER_URL]")(function)


def mailer_option(function: F) -> F:
    """``--mailer NAME``, as ``name``."""
    return click.option("--mailer", "name", metavar="NAME", help="A named mailer of the settings. [default: default]")(
        function
    )


def mailer_of(url: str | None, name: str | None, *, needs_url: bool = True, **keywords: Any) -> Mailer:
    """The mailer for a command's options; what they leave open comes from the settings, with a URL too.

    Args:
        needs_url: False: the command looks at the mailer and sends nothing, so that it may have no backend yet.

    Raises:
        click.UsageError: Both are given.
        ConfigError: A setting is unknown, wrong or missing.
    """
    from ..settings import Settings

    if url is not None and name is not None:
        raise click.UsageError("only one of a URL and --mailer can say which backend it is")
    settings = Settings() if url is None else Settings(url=url)
    if not needs_url and name is None and settings.url is None:
        settings = Settings(url="null:")
    return Mailer(settings=settings, name=name or "default", **keywords)
