"""The options that say by which backend a command sends; and the mailer that they and the settings make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..mailer import Mailer

if TYPE_CHECKING:
    from ..settings import Settings
    from . import SettingsSource

__all__ = ["mailer_of", "mailer_option", "settings_of", "url_option"]

F = TypeVar("F", bound=Callable[..., Any])


def url_option(function: F) -> F:
    """``--url URL``."""
    return click.option("--url", metavar="URL", help="The backend. [default: MAILER_URL]")(function)


def mailer_option(function: F) -> F:
    """``--mailer NAME``, as ``name``."""
    return click.option("--mailer", "name", metavar="NAME", help="A named mailer of the settings. [default: default]")(
        function
    )


def settings_of(**keywords: Any) -> Settings:
    """The settings that hold for this command: those of the framework that runs it, or of the environment.

    Args:
        keywords: Settings that count more.

    Raises:
        ConfigError: A setting is unknown or wrong.
    """
    source: SettingsSource | None = click.get_current_context().obj
    if source is None:
        from ..settings import Settings

        source = Settings
    return source(**keywords)


def mailer_of(url: str | None, name: str | None, *, needs_url: bool = True, **keywords: Any) -> Mailer:
    """The mailer for a command's options; what they leave open comes from the settings, with a URL too.

    Args:
        needs_url: False: the command looks at the mailer and sends nothing, so that it may have no backend yet.

    Raises:
        click.UsageError: Both are given.
        ConfigError: A setting is unknown, wrong or missing.
    """
    if url is not None and name is not None:
        raise click.UsageError("only one of a URL and --mailer can say which backend it is")
    settings = settings_of() if url is None else settings_of(url=url)
    if not needs_url and name is None and settings.url is None:
        settings = settings_of(url="null:")
    return Mailer(settings=settings, name=name or "default", **keywords)
