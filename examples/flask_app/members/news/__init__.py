"""The news, by a mailer of their own: another From, a link to unsubscribe in every mail."""

from __future__ import annotations

import click
from flask import Blueprint, current_app

from mailer import Message

from ..mails import news_mail
from ..store import Store

__all__ = ["blueprint"]

blueprint = Blueprint("news", __name__, template_folder="templates", cli_group="news")


@blueprint.cli.command("send")
@click.argument("subject")
@click.argument("text")
def send(subject: str, text: str) -> None:
    """Send the news to all readers, over one connection, and say of each who did not get it."""
    store: Store = current_app.extensions["store"]
    messages = (
        Message(to=email, subject=subject, template="news/letter", context={"text": text}) for email in store.readers()
    )
    count = 0
    for receipt in news_mail.send_many(messages):
        count += bool(receipt.accepted)
        for result in (*receipt.rejected, *receipt.deferred, *receipt.unknown):
            click.echo(f"{result.address.addr_spec}: {result.outcome.value} {result.text}", err=True)
    click.echo(f"{count} sent")
