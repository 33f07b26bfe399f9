"""The admin's pages: plug-ins, environments, and what became of the last mails."""

from __future__ import annotations

from typing import Any

import click
from flask import Blueprint, abort, current_app, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from mailer import ConfigError, Health, Receipt

from . import mails
from .environments import Environments
from .guard import admin_only
from .plugins import Switchboard

__all__ = ["pages"]

pages = Blueprint("admin", __name__, url_prefix="/admin", cli_group=None)


def _switchboard() -> Switchboard:
    return current_app.extensions["switchboard"]  # type: ignore[no-any-return]


def _environments() -> Environments:
    return current_app.extensions["environments"]  # type: ignore[no-any-return]


@pages.get("/")
@admin_only
def index() -> str:
    """Everything at a glance."""
    log: Any = mails.mail.mailer.plugins["log"]
    return render_template(
        "admin.html",
        plugins=_switchboard().rows(),
        folder=_switchboard().folder,
        environments=_environments().all,
        log=log.log.search(limit=20),
    )


@pages.post("/plugins/<name>")
@admin_only
def plugin(name: str) -> Response:
    """Switch a plug-in on or off, or save its settings."""
    act = request.form.get("act")
    settings = {key[2:]: value.strip() for key, value in request.form.items() if key.startswith("s.")}
    try:
        if act == "off":
            _switchboard().switch_off(name)
        else:
            _switchboard().switch_on(name, settings if act == "save" else None)
    except ConfigError as error:
        flash(f"{name}: {error}")
    else:
        flash(f"{name} is {'off' if act == 'off' else 'on'}: the next mail is made so.")
    return redirect(url_for(".index"))


@pages.post("/environments/<name>/check")
@admin_only
def check(name: str) -> Response:
    """Try an environment's backend, without sending."""
    try:
        found = _environments()[name].check()
    except KeyError:
        abort(404)
    if isinstance(found, Health) and found.ok:
        flash(f"{name} is well: {found.backend}")
    else:
        flash(f"{name} is not well: {found.cause if isinstance(found, Health) else found}")
    return redirect(url_for(".index"))


@pages.post("/test-mail")
@admin_only
def test_mail() -> Response:
    """Send the admin a mail, through the plug-ins that are on."""
    _tell(mails.deliver(mails.test_mail(g.member)))
    return redirect(url_for(".index"))


@pages.post("/digest")
@admin_only
def digest() -> Response:
    """Send the digest to everybody who subscribed."""
    flash(_sent_digest())
    return redirect(url_for(".index"))


@pages.cli.command("digest")
def digest_by_clock() -> None:
    """Send the digest: for cron."""
    _switchboard().bring_about()  # no request does it here
    click.echo(_sent_digest())


def _sent_digest() -> str:
    receipts = list(mails.mail.send_many(mails.digests()))
    return f"The digest went to {sum(len(receipt.accepted) for receipt in receipts)} of {len(receipts)}."


def _tell(receipt: Receipt | None) -> None:
    """What became of a mail, recipient by recipient."""
    for result in receipt.results if receipt else ():
        flash(f"{result.address.addr_spec}: {result.outcome.value} {result.code or ''} {result.text}")
    if receipt is None or not receipt.results:
        flash("It was not sent: the last mails below say why.")
