"""``mailer check``."""

from __future__ import annotations

import click

from .backend import mailer_of, mailer_option
from .show import echo_json, plain

__all__ = ["command"]


@click.command("check")
@click.argument("url", required=False)
@mailer_option
@click.option("-v", "--verbose", is_flag=True, help="Print what was said with the server.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(url: str | None, name: str | None, as_json: bool, verbose: bool) -> None:
    """Try a backend without sending: connect, secure, log in; show what the server offers.

    URL is the backend's; without it, that of the settings (MAILER_URL ...).
    """
    with mailer_of(url, name, transcript=verbose) as mailer:
        health = mailer.check()
    if as_json:
        echo_json(health.to_dict())
    else:
        for line in health.transcript:
            click.echo(plain(line))
        click.echo(f"{'ok' if health.ok else 'NOT OK'}  {health.backend}")
        width = max(map(len, health.facts), default=0)
        for name, value in health.facts.items():
            click.echo(f"  {plain(name):<{width}}  {plain(value)}")
    health.raise_unless_ok()
