"""``mailer send --csv``, from the options to the exit code."""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from ...errors import ConfigError, MailerError
from ...mail import Mail
from ...mailer import Mailer
from ...message import Message
from ...rate import RateLimiter
from ...runtime import BlockingRuntime
from .. import exit_code
from ..show import echo_json, plain
from .journal import Journal, State
from .ledger import Ledger
from .options import BulkOptions
from .progress import progress_on
from .rejects import Rejects
from .run import Run, stopped_by_signals
from .table import Survey, Table

if TYPE_CHECKING:
    from ...template_engine import TemplateEngine

__all__ = ["send_rows"]


def send_rows(options: BulkOptions, mail: Message, mailer: Mailer, *, as_json: bool) -> NoReturn:
    """Send the mail to every row, show how far it is and what came of it, and exit with what that means.

    Args:
        options: What was asked for.
        mail: What everybody gets, without a recipient.
        mailer: Sends it.
        as_json: Print the summary as one JSON document.

    Raises:
        MailerError: Files or settings are wrong; nothing was begun. What goes wrong later is in the summary.
        SystemExit: Always, at the end.
    """
    survey = None if options.source.is_stream else _surveyed(options)
    start = time.monotonic()
    failure: MailerError | None = None
    with (
        options.source.open() as table,
        _made(options, mail, mailer, table, survey) as run,
        stopped_by_signals(run) as came,
    ):
        try:
            run.go_dry() if options.dry_run else run.go()
        except MailerError as error:
            failure = error
        except KeyboardInterrupt:
            came = came or [signal.SIGINT]
    failure = failure or run.failure
    _summary(run, options, survey, time.monotonic() - start, failure, stopped=bool(came), as_json=as_json)
    if failure is not None:
        click.echo(f"mailer: {type(failure).__name__}: {plain(str(failure))}", err=True)
        sys.exit(exit_code(failure))
    sys.exit(128 + came[0] if came else run.tally.exit_code)


def _surveyed(options: BulkOptions) -> Survey:
    try:
        return options.source.survey()
    except OSError as error:
        raise ConfigError(f"{options.source.name}: {error.strerror or error}") from error


@contextmanager
def _made(options: BulkOptions, mail: Message, mailer: Mailer, table: Table, survey: Survey | None) -> Iterator[Run]:
    """A run with all that it needs, which is closed at the end."""
    with ExitStack() as stack:
        journal = Journal.nowhere()
        digest = _digest(mail, mailer.templates)  # without a journal too: a template that is not there is found now
        if options.resume is not None and survey is not None:
            journal = Journal.open(
                options.resume, csv=survey.digest, mail=digest, force=options.force, dry=options.dry_run
            )
        stack.callback(journal.close)
        ledger = Ledger(journal.records())
        stack.callback(ledger.close)
        rejects = None
        if options.rejects is not None:
            rejects = Rejects(options.rejects, table.columns, again=ledger.has_records)
            stack.callback(rejects.close)
        progress = progress_on(sys.stderr, None if survey is None else survey.rows, wanted=not options.no_progress)
        stack.callback(progress.close)
        limiter = None
        if options.rate is not None and not options.dry_run:
            limiter = RateLimiter(options.rate, BlockingRuntime())
        yield Run(
            mailer,
            mail,
            table,
            journal,
            ledger,
            progress=progress,
            rejects=rejects,
            limiter=limiter,
            limit=options.limit,
            concurrency=options.concurrency,
            # One at a time on each connection where that is noted or paced; else as many as suit the backend.
            window=1 if options.resume is not None or limiter is not None else None,
            sends_duplicates=options.duplicates,
            resends_doubts=options.resend_doubts,
        )


def _digest(mail: Message, templates: TemplateEngine | None) -> str:
    """What tells this mail from another: its fields, and its template's own files."""
    digest = hashlib.sha256(json.dumps(mail.to_dict(), sort_keys=True).encode())
    if mail.template is not None and templates is not None:
        for name, content in sorted(templates.sources(mail.template).items()):
            digest.update(b"\0%s\0%d\0%s" % (name.encode(), len(content), content))
    return digest.hexdigest()


# --- what is shown at the end -----------------------------------------------------------------------------------------


def _summary(
    run: Run,
    options: BulkOptions,
    survey: Survey | None,
    seconds: float,
    failure: MailerError | None,
    *,
    stopped: bool,
    as_json: bool,
) -> None:
    left = None if survey is None else max(0, survey.rows - run.tally.rows)
    if as_json:
        echo_json(
            {
                **run.tally.to_dict(),
                "not_reached": left,
                "doubts": [{"line": line, "address": address} for line, address in run.doubts],
                "examples": {
                    state.value: {"line": line, "reason": reason} for state, (line, reason) in run.examples.items()
                },
                "dry_run": options.dry_run,
                "stopped": stopped,
                "error": None if failure is None else {"type": type(failure).__name__, "text": str(failure)},
                "seconds": round(seconds, 3),
                "rejects": None if options.rejects is None else str(options.rejects),
                "first": None if run.first is None else bytes(run.first.content).decode("utf-8", "backslashreplace"),
            }
        )
        return
    if run.first is not None:
        click.echo(_shown(run.first))
    for line in run.tally.lines():
        click.echo(line)
    pace = f", {run.tally.now.total() / seconds:.0f}/s" if seconds >= 1 else ""
    click.echo(f"{run.tally.rows} rows in {seconds:.1f} s{pace}")
    if left:
        click.echo(
            f"{left} rows were not reached" + (f": go on with --resume {options.resume}" if options.resume else "")
        )
    if run.doubts:
        click.echo(f"{run.tally.of(State.UNKNOWN)} in doubt: not sent again, unless with --resend-doubts")
    if options.rejects is not None:
        click.echo(f"what was not accepted is in {options.rejects}")
    elif run.examples:
        for state, (number, reason) in run.examples.items():
            click.echo(f"line {number}, {state.value}: {plain(reason)}")
        click.echo("all of them, and why: --rejects FILE")


def _shown(mail: Mail) -> str:
    """The first mail as people read it: the fields that matter, its text, its parts."""
    parsed = email.message_from_bytes(bytes(mail.content), policy=email.policy.default)
    lines = [f"{name}: {plain(str(parsed[name]))}" for name in ("From", "To", "Reply-To", "Subject") if parsed[name]]
    body = parsed.get_body(("plain", "html"))
    if body is not None:
        lines += ["", *(plain(line) for line in str(body.get_content()).splitlines())]
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    if len(parts) > 1:
        kinds = (f"{part.get_content_type()} {part.get_filename() or ''}".strip() for part in parts)
        lines += ["", "parts: " + ", ".join(plain(kind) for kind in kinds)]
    return "\n".join(["--- the first mail ---", *lines, "---"])
