"""``mailer hooks``."""

from __future__ import annotations

import click

from ..errors import ConfigError, MessageError
from ..hookspecs import ACTIONS, FILTERS
from ..mailer import Mailer
from ..message import Message
from .backend import mailer_of, mailer_option
from .show import echo_json, echo_rows

__all__ = ["command"]


@click.command("hooks")
@mailer_option
@click.option("--time", "with_time", is_flag=True, help="Compose a mail, send none, and show what each filter took.")
@click.option("--json", "as_json", is_flag=True, help="Print the hooks as JSON.")
def command(name: str | None, with_time: bool, as_json: bool) -> None:
    """Show what is registered at each hook, in the order in which it is called.

    This is what the settings' plug-ins registered; what an app's own code adds is not there.
    """
    with mailer_of(None, name, needs_url=False, trace_hooks=with_time or None) as mailer:
        times = _times(mailer) if with_time else {}
        order = [*FILTERS, *ACTIONS]
        entries = sorted(mailer.hooks.registered(), key=lambda one: order.index(one.hook) if one.hook in order else 99)
    rows = [
        {
            "hook": entry.hook,
            "kind": entry.kind,
            "priority": entry.priority,
            "owner": entry.owner,
            "duration_s": times.get((entry.hook, entry.owner, entry.priority)),
        }
        for entry in entries
    ]
    if as_json:
        echo_json(rows)
        return
    shown = [
        (str(row["hook"]), str(row["kind"]), str(row["priority"]), str(row["owner"]), _milliseconds(row["duration_s"]))
        for row in rows
    ]
    echo_rows([row if with_time else row[:-1] for row in shown])


def _times(mailer: Mailer) -> dict[tuple[str, str, int], float]:
    """What each filter took for a mail that is composed and not sent."""
    sender = mailer.from_ or "someone@example.com"
    try:
        mailer.compose(Message(from_=sender, to="someone@example.com", subject="mailer hooks", text="A mail."))
    except (MessageError, ConfigError) as error:  # also: a filter keeps it back
        click.echo(f"mailer: not composed to the end: {error}", err=True)
    return {(call.hook, call.owner, call.priority): call.duration_s for call in mailer.hooks.trace.calls}


def _milliseconds(seconds: object) -> str:
    return f"{seconds * 1000:.3f} ms" if isinstance(seconds, float) else "-"
