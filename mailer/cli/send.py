"""``mailer send``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..attachment import Attachment
from ..errors import MailerError, MessageError
from ..message import Message
from ..receipt import Receipt
from .backend import mailer_of, mailer_option, url_option
from .bulk import BulkOptions, bulk_options, send_rows
from .show import report

__all__ = ["command"]


@click.command("send")
@click.option("--to", multiple=True, metavar="ADDRESS", help="A recipient; repeat it for more.")
@click.option("--cc", multiple=True, metavar="ADDRESS", help="A recipient in Cc.")
@click.option("--bcc", multiple=True, metavar="ADDRESS", help="A recipient that nobody sees.")
@click.option("--from", "from_", metavar="ADDRESS", help="Who sends it. [default: MAILER_FROM]")
@click.option("--reply-to", multiple=True, metavar="ADDRESS", help="Where answers go.")
@click.option("--subject", default="", help="The subject.")
@click.option("--text", help="The text; '-' reads standard input.")
@click.option("--html", help="The html; '-' reads standard input.")
@click.option("--template", metavar="NAME", help="Take subject, text and html from the templates of this name.")
@click.option("--templates", multiple=True, metavar="PLACE", help="Where they are. [default: MAILER_TEMPLATES]")
@click.option("--attach", multiple=True, type=click.Path(path_type=Path), metavar="PATH", help="A file to attach.")
@click.option("--header", multiple=True, metavar="'NAME: VALUE'", help="A further header field.")
@url_option
@mailer_option
@click.option("--json", "as_json", is_flag=True, help="Print the receipt, or the summary of --csv, as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Print what was said with the server, and where the time went.")
@bulk_options
def command(
    to: tuple[str, ...],
    cc: tuple[str, ...],
    bcc: tuple[str, ...],
    from_: str | None,
    reply_to: tuple[str, ...],
    subject: str,
    text: str | None,
    html: str | None,
    template: str | None,
    templates: tuple[str, ...],
    attach: tuple[Path, ...],
    header: tuple[str, ...],
    url: str | None,
    name: str | None,
    as_json: bool,
    verbose: bool,
    **bulk: Any,
) -> None:
    """Send a mail, or with --csv one to each row of a file.

    Without --text, --html, --template and --attach the text is read from standard input:

        echo "It is done." | mailer send --to ann@example.org --subject Report

    With --csv, {{ name }} stands for the row's column of that name, in a template too:

        mailer send --csv people.csv --subject "Hello {{ name }}" --text "Your code: {{ code }}" --resume journal
    """
    rows = BulkOptions.of(bulk)
    if rows is not None and (to or cc or bcc):
        raise click.UsageError("with --csv each mail goes to the address in its row: leave out --to, --cc and --bcc")
    if text is None and html is None and template is None and not attach:
        text = "-"
    if [text, html, str(bulk["csv"])].count("-") > 1:
        raise click.UsageError("only one of --text, --html and --csv can come from standard input")
    receipt: Receipt | None = None
    try:
        message = Message(
            from_=from_,
            to=list(to),
            cc=list(cc),
            bcc=list(bcc),
            reply_to=list(reply_to),
            subject=subject,
            text=_typed_in() if text == "-" else text,
            html=_typed_in() if html == "-" else html,
            template=template,
            attachments=[Attachment.from_path(path) for path in attach],
            headers=[_pair(line) for line in header],
        )
        with mailer_of(url, name, templates=templates or None, transcript=verbose) as mailer:
            if template is not None and mailer.templates is None:
                raise click.UsageError("--template needs --templates FOLDER, or the setting MAILER_TEMPLATES")
            if rows is not None:
                send_rows(rows, message, mailer, as_json=as_json)
            receipt = mailer.send(message)
    except MailerError as error:
        report(receipt, error, as_json=as_json, verbose=verbose)
    else:
        report(receipt, None, as_json=as_json, verbose=verbose)


def _typed_in() -> str:
    if sys.stdin is None:  # closed, as some job runners have it
        raise click.UsageError("there is no standard input: give --text")
    if sys.stdin.isatty():
        click.echo("Type the text; end it with Ctrl-D.", err=True)
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise MessageError("standard input is not UTF-8", field="text") from None


def _pair(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise click.UsageError(f"--header {line!r}: must be 'Name: value'")
    return name.strip(), value
