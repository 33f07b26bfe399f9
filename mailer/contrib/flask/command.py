"""``flask mailer``: the whole command ``mailer``, by the app's config and with the hooks that the app has added."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any

import click

from ...cli import main
from ...cli.backend import MailerSource
from ...mailer import Mailer
from .context import in_context

if TYPE_CHECKING:
    from flask.sansio.app import App

    from ...settings import Settings
    from .app_mailers import AppMailers

__all__ = ["add_command"]

_NAME = "mailer"


def add_command(app: App, mailers: AppMailers) -> None:
    """Give an app the command, unless it has another of this name."""
    there = app.cli.commands.get(_NAME)
    if there is None or isinstance(there, _Command):
        command = _Command(_NAME, short_help="Send mail; check and try the app's mailers.")
        command.source = _AppSource(app, mailers)
        app.cli.add_command(command)


class _AppSource(MailerSource):
    """The mailers of an app."""

    def __init__(self, app: App, mailers: AppMailers) -> None:
        self.app = weakref.ref(app)
        self._mailers = weakref.ref(mailers)

    @property
    def _now(self) -> AppMailers:
        mailers = self._mailers()
        assert mailers is not None  # noqa: S101 - the app has them, and it runs this
        return mailers

    def settings(self, **keywords: Any) -> Settings:
        """The app's, its templates among them."""
        return self._now.settings_with(**keywords)

    def mailer(self, name: str) -> Mailer:
        """The app's own; under Quart one like it, which blocks, without what the app has added."""
        mailer = self._now.get(name)
        return mailer if isinstance(mailer, Mailer) else Mailer(settings=self.settings(), name=name)


class _Command(click.Command):
    """Hands all that stands behind its name to ``mailer``, and exits with that one's code."""

    source: _AppSource

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave everything to be read there."""
        ctx.args = args
        return args

    def invoke(self, ctx: click.Context) -> None:
        """Run it in the app's context."""
        app = self.source.app()
        with contextlib.nullcontext() if app is None else in_context(app):
            main(ctx.args, name=ctx.command_path, mailers=self.source)
