"""``mailer config``."""

from __future__ import annotations

import click

from .backend import settings_of
from .show import echo_json, echo_rows, plain

__all__ = ["command"]


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="Print the settings as JSON.")
def command(as_json: bool) -> None:
    """Show the settings that hold here, secrets masked, and where each comes from.

    They are read from the environment (MAILER_URL ...), from .env and from mailer.toml in this folder. Sends and
    connects nothing; exits with 78 if a setting is wrong or there is no mailer.
    """
    settings = settings_of()
    rows = settings.rows()
    if as_json:
        echo_json({name: {"value": value, "source": source} for name, value, source in rows})
    else:
        echo_rows([(name, _shown(value), source) for name, value, source in rows])
    if not settings.names:
        settings.of()


def _shown(value: object) -> str:
    return "-" if value is None else plain(", ".join(value) if isinstance(value, list) else str(value))
