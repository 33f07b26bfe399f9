"""The options of a bulk run: ``mailer send --csv``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from ...errors import ConfigError
from ...rate import Rate
from .table import Source

__all__ = ["BulkOptions", "bulk_options"]

F = TypeVar("F", bound=Callable[..., Any])


def _rate(context: click.Context, option: click.Parameter, value: str | None) -> Rate | None:
    try:
        return None if value is None else Rate.parse(value)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


_IN = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)

# In the order of --help.
_OPTIONS: tuple[Callable[[F], F], ...] = (
    click.option("--csv", type=_IN, metavar="FILE", help="Send to each row of a CSV file; '-' reads standard input."),
    click.option("--to-column", metavar="NAME", help="Its column with the address. [default: the one called email]"),
    click.option("--name-column", metavar="NAME", help="Its column with the name to show beside the address."),
    click.option("--encoding", metavar="NAME", help="Its encoding. [default: utf-8]"),
    click.option("--delimiter", metavar="CHAR", help="What parts its fields. [default: comma, semicolon or TAB]"),
    click.option("--dry-run", is_flag=True, help="Make every mail, show the first, send none."),
    click.option("--resume", type=_OUT, metavar="FILE", help="Note in FILE what is sent; go on where it ends."),
    click.option("--resend-doubts", is_flag=True, help="Send again to those of whom nobody knows whether it arrived."),
    click.option("--force", is_flag=True, help="Resume although the CSV or the mail has changed since."),
    click.option(
        "--rejects", type=_OUT, metavar="FILE", help="Write the rows that were not accepted to FILE, and why."
    ),
    click.option("--duplicates", is_flag=True, help="Send to a mailbox as often as it is in the file, not once."),
    click.option("--rate", callback=_rate, metavar="RATE", help="At most so many: 50/s, 1000/m, 3600/h, 10000/d."),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N mails."),
    click.option("--concurrency", type=click.IntRange(1, 1000), metavar="N", help="Connections. [default: 1]"),
    click.option("--no-progress", is_flag=True, help="Show no progress."),
)


def bulk_options(command: F) -> F:
    """Add the options to a command, which gets them as keywords; :meth:`BulkOptions.of` takes those."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """What was asked for.

    Attributes:
        source: The CSV.
        dry_run, resume, resend_doubts, force, rejects, duplicates, rate, limit, concurrency, no_progress: The options.
    """

    source: Source
    dry_run: bool
    resume: Path | None
    resend_doubts: bool
    force: bool
    rejects: Path | None
    duplicates: bool
    rate: Rate | None
    limit: int | None
    concurrency: int
    no_progress: bool

    @classmethod
    def of(cls, given: dict[str, Any]) -> BulkOptions | None:
        """Read the keywords of :func:`bulk_options`; None without ``--csv``.

        Raises:
            click.UsageError: An option needs another, or does not go with it.
        """
        if given["csv"] is None:
            lone = next((name for name, value in given.items() if value not in (None, False)), None)
            if lone is not None:
                raise click.UsageError(f"--{lone.replace('_', '-')} goes with --csv")
            return None
        delimiter = given["delimiter"]
        if delimiter is not None and (
            len(delimiter := _DELIMITERS.get(delimiter, delimiter)) != 1 or delimiter in _NO_DELIMITERS
        ):
            raise click.UsageError(f"--delimiter {delimiter!r}: must be one character, or 'tab', and no quote")
        source = Source(
            given["csv"],
            encoding=given["encoding"] or "utf-8",
            delimiter=delimiter,
            to_column=given["to_column"],
            name_column=given["name_column"],
        )
        options = cls(
            source=source,
            dry_run=given["dry_run"],
            resume=given["resume"],
            resend_doubts=given["resend_doubts"],
            force=given["force"],
            rejects=given["rejects"],
            duplicates=given["duplicates"],
            rate=given["rate"],
            limit=given["limit"],
            concurrency=given["concurrency"] or 1,
            no_progress=given["no_progress"],
        )
        options._check()
        return options

    def _check(self) -> None:
        if self.resume is None and (self.force or self.resend_doubts):
            raise click.UsageError(f"--{'force' if self.force else 'resend-doubts'} goes with --resume")
        if self.resume is not None and self.source.is_stream:
            raise click.UsageError(f"--resume needs the CSV in a file: {self.source.name} cannot be read again")
        if self.dry_run and self.resume is not None and self.rejects is not None:
            raise click.UsageError("--dry-run with --resume writes nothing, so no --rejects either")
        files = [path for path in (self.source.path, self.resume, self.rejects) if path is not None]
        if len({path.resolve() for path in files}) < len(files):
            raise click.UsageError("--csv, --resume and --rejects must be different files")


_DELIMITERS = {"tab": "\t", "\\t": "\t"}
_NO_DELIMITERS = ('"', "\n", "\r", "\0")
