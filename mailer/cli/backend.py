"""The options that say by which backend a command sends; and the mailer that they and the settings make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..mailer import Mailer

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["MailerSource", "mailer_of", "mailer_option", "settings_of", "url_option"]

F = TypeVar("F", bound=Callable[..., Any])


def url_option(function: F) -> F:
    """``--url URL``."""
    return click.option("--url", metavar="URL", help="The backend. [default: MAILER_URL]")(function)


def mailer_option(function: F) -> F:
    """``--mailer NAME``, as ``name``."""
    return click.option("--mailer", "name", metavar="NAME", help="A named mailer of the settings. [default: default]")(
        function
    )


class MailerSource:
    """Where a framework has its mailers, for a command that runs within it.

    ``main(mailers=...)`` takes one; where click mounts the commands in a framework's own, it is the ``obj`` of a
    context above them.
    """

    def settings(self, **keywords: Any) -> Settings:
        """The settings that hold, with keywords that count more. Raises ConfigError."""
        raise NotImplementedError

    def mailer(self, name: str) -> Mailer:
        """The framework's own mailer of this name, with all that the app has added to it. Raises ConfigError."""
        raise NotImplementedError


def _source() -> MailerSource | None:
    return click.get_current_context().find_object(MailerSource)


def settings_of(**keywords: Any) -> Settings:
    """The settings that hold for this command: those of the framework that runs it, or of the environment.

    Args:
        keywords: Settings that count more.

    Raises:
        ConfigError: A setting is unknown or wrong.
    """
    if (source := _source()) is not None:
        return source.settings(**keywords)
    from ..settings import Settings

    return Settings(**keywords)


def mailer_of(
    url: str | None,
    name: str | None,
    *,
    needs_url: bool = True,
    transcript: bool = False,
    trace_hooks: bool | None = None,
    **keywords: Any,
) -> Mailer:
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
    is_without = not needs_url and name is None and settings.url is None
    source = _source()
    if source is not None and url is None and not is_without and not any(keywords.values()):
        mailer = source.mailer(name or "default")
        mailer.backend.transcript = mailer.backend.transcript or transcript
        mailer.hooks.trace.is_on = mailer.hooks.trace.is_on or bool(trace_hooks)
        return mailer
    if is_without:
        settings = settings_of(url="null:")
    name = name or "default"
    return Mailer(settings=settings, name=name, transcript=transcript, trace_hooks=trace_hooks, **keywords)
