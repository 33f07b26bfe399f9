"""``manage.py mailer``: the command ``mailer``, with the mailers of Django's settings."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from .....cli import main
from .....cli.backend import MailerSource
from .....mailer import Mailer
from .....settings import Settings
from .....smtp_options import SMTP_OPTIONS, SmtpOptions
from ...mailers import get_mailer
from ...project import OPTIONS, email_settings, has_mailers, own_backend, project_table, with_engine

__all__ = ["Command"]

# What the rest of Django reads of a command's options.
_DJANGO_OPTIONS = {"force_color": False, "no_color": False, "skip_checks": True, "traceback": False, "verbosity": 1}


class Command(BaseCommand):
    """Hands all that stands behind ``mailer`` to the command of that name, and exits with its code.

    What it sends by is :func:`get_mailer`'s, with the hooks that the project has added; but by ``--url`` or with
    ``--templates``, where it makes a mailer of its own from the settings.
    """

    help = "The command mailer with the mailers of Django's settings: see manage.py mailer --help"

    def run_from_argv(self, argv: list[str]) -> None:
        """Run it and exit. Of the arguments, Django's ``--settings`` and ``--pythonpath`` alone are not for it."""
        parser = ArgumentParser(add_help=False, allow_abbrev=False)
        for name in ("--settings", "--pythonpath"):  # heeded by now
            parser.add_argument(name)
        try:
            self._run(parser.parse_known_args(argv[2:])[1], f"{Path(argv[0]).name} {argv[1]}")
        finally:
            connections.close_all()

    def create_parser(self, prog_name: str, subcommand: str, **keywords: Any) -> ArgumentParser:
        """For ``call_command("mailer", "check", "--json")``: all are arguments, options of the command's too."""
        parser = ArgumentParser(prog=f"{prog_name} {subcommand}".strip(), add_help=False, prefix_chars="\0")
        parser.add_argument("args", nargs="*")
        parser.set_defaults(**_DJANGO_OPTIONS)
        return parser

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """The command's own help."""
        self._run(["--help"], f"{Path(prog_name).name} {subcommand}")

    def handle(self, *args: str, **options: Any) -> None:
        """As :meth:`run_from_argv`; what is printed goes where ``call_command`` was told.

        Raises:
            SystemExit: With the command's code, unless that is 0.
        """
        self.stdout.ending = self.stderr.ending = ""
        with redirect_stdout(self.stdout), redirect_stderr(self.stderr):
            self._run(args, "manage.py mailer")

    def _run(self, arguments: Sequence[str], name: str) -> None:
        main(arguments, name=name, mailers=_OfDjango())


class _OfDjango(MailerSource):
    def settings(self, **keywords: Any) -> Settings:
        return Settings(_table(), **keywords)

    def mailer(self, name: str) -> Mailer:
        return get_mailer(name)


def _table() -> dict[str, Any]:
    """All that Django's settings say, as ``MAILER`` would say it."""
    table = project_table()
    if has_mailers():
        named = {name: dict(options) for name, options in table.get("mailers", {}).items()}
        for alias, config in settings.MAILERS.items():
            own = own_backend(config.get("BACKEND", ""))
            if own is None:
                continue
            given = {
                name: one for name, one in config.get("OPTIONS", {}).items() if name in OPTIONS and one is not None
            }
            options = with_engine(_with_url(own.options_of(given)))
            if alias == "default":
                table.update(options)
            else:
                named[alias] = {**named.get(alias, {}), **options}
        return {**table, "mailers": named}
    if Settings(table).url is None and (host := email_settings()).get("host"):
        table["url"] = SmtpOptions.of(host).url
    return table


def _with_url(options: dict[str, Any]) -> dict[str, Any]:
    smtp = {name: value for name, value in options.items() if name in SMTP_OPTIONS}
    if "host" not in smtp:
        return options
    rest = {name: value for name, value in options.items() if name not in SMTP_OPTIONS}
    return {**rest, "url": SmtpOptions.of(smtp).url}
