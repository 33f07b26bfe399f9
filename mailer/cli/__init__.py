"""The ``mailer`` command. Sub-commands are imported when they are called, so that ``mailer --help`` is quick."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import click

from ..errors import (
    AuthError,
    ConfigError,
    DeliveryDeferred,
    DeliveryRefused,
    DeliveryUnknown,
    HookError,
    MailerError,
    MessageError,
)

if TYPE_CHECKING:
    from .backend import MailerSource

__all__ = ["exit_code", "main"]

# Command -> what it does, for the list; the module of that name (with "_") holds it as ``command``.
_COMMANDS = {
    "send": "Send a mail.",
    "check": "Connect, secure and log in without sending; show what the server offers.",
    "config": "Show the settings that hold here, and where each comes from.",
    "plugins": "Show the plug-ins there are, and which are on.",
    "hooks": "Show what is registered at each hook, in the order in which it is called.",
    "demo": "Send a mail to a mailbox started for it, and show what happened.",
    "dkim": "Make keys to sign mail with, and the DNS records to publish.",
    "new-template": "Write a template to start from, with a layout that looks right in common mail programs.",
}

# sysexits.h. The first class that fits.
_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (DeliveryUnknown, 76),
    (DeliveryDeferred, 75),
    (DeliveryRefused, 69),
    (ConfigError, 78),
    (AuthError, 78),
    (HookError, 78),
    (MessageError, 65),
    (MailerError, 75),
)
_USAGE = 64
_IO = 74


def exit_code(error: BaseException) -> int:
    """What the command exits with for an error."""
    return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))


class _Group(click.Group):
    """A group whose commands are imported by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return cast(click.Command, importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mailwright", prog_name="mailer")
@click.option(
    "-v", "--verbose", count=True, help="Log to standard error what is done; -vv: and each line that is said."
)
def cli(verbose: int) -> None:
    """Outbound mail: send, check and try backends.

    The backend is --url, else that of the settings (MAILER_URL, .env, mailer.toml): smtp://user:password@host,
    file:./out, console:, memory: ...

    Exits with 0 if every recipient accepted, 64 on wrong usage, 65 if the message is at fault, 69 if a recipient was
    refused, 74 if a file or the output fails, 75 if a recipient was deferred, 76 if it is unknown whether the mail
    arrived, 78 if the settings are wrong.
    """
    if verbose:
        _log_to_stderr(logging.INFO if verbose == 1 else logging.DEBUG)


def _log_to_stderr(level: int) -> None:
    from ..redaction import RedactingFilter

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)-7s %(message)s"))
    handler.addFilter(RedactingFilter())
    log = logging.getLogger("mailer")
    log.addHandler(handler)
    log.setLevel(level)


def _show_warning(message: Warning | str, *where: object, **more: object) -> None:
    click.echo(f"mailer: warning: {message}", err=True)


def main(arguments: Sequence[str] | None = None, *, name: str = "mailer", mailers: MailerSource | None = None) -> None:
    """Run the command and exit.

    Args:
        arguments: Those of the process by default.
        name: What it is called by: "manage.py mailer".
        mailers: Where a framework has them; None reads environment, ``.env`` and ``mailer.toml``.

    Raises:
        SystemExit: What the command exits with, unless that is 0.
    """
    showed, warnings.showwarning = warnings.showwarning, _show_warning
    try:
        cli.main(arguments, prog_name=name, standalone_mode=False, obj=mailers)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(_USAGE)
    except MailerError as error:
        click.echo(f"mailer: {type(error).__name__}: {error}", err=True)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        _hush()
        sys.exit(141)
    except OSError as error:  # of the screen, or the file that an option names
        _hush()
        click.echo(f"mailer: {error.filename or 'the output'}: {error.strerror or error}", err=True)
        sys.exit(_IO)
    finally:
        warnings.showwarning = showed


def _hush() -> None:
    """Nothing more goes to standard output, so that Python does not stumble over what is left in its buffer."""
    if sys.stdout is None:
        return
    with contextlib.suppress(io.UnsupportedOperation):  # a framework's tests have put a text in its place
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
