"""``mailer plugins``."""

from __future__ import annotations

from typing import Any

import click

from .. import __version__
from ..plugin_places import offered
from ..plugins import BUILT_IN
from .backend import mailer_of, mailer_option
from .show import echo_json, echo_rows

__all__ = ["command"]


@click.command("plugins")
@mailer_option
@click.option("--json", "as_json", is_flag=True, help="Print the plug-ins as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """Show the plug-ins there are: those that are on, those that failed, and those that could be turned on.

    A plug-in is on if the settings name it (MAILER_PLUGINS, or a table below plugins). What is not on is not loaded.
    """
    with mailer_of(None, name, needs_url=False, on_plugin_error="disable") as mailer:
        rows = _rows(mailer)
    if as_json:
        echo_json(rows)
    else:
        shown = ("name", "version", "state", "from")
        echo_rows([(*[row[column] or "-" for column in shown], row["reason"] or row["hooks"]) for row in rows])
    if failed := [row["name"] for row in rows if row["state"] == "failed"]:
        raise mailer.plugins.disabled[failed[0]]


def _rows(mailer: Any) -> list[dict[str, Any]]:
    """Each plug-in: name, version, state, where it comes from, the hooks it uses, why it failed."""
    packages = {name: entries[0].dist for name, entries in offered().items() if name not in BUILT_IN}
    rows = []

    def row(name: str, state: str, version: str = "", hooks: str = "", reason: str = "") -> None:
        package = packages.get(name)
        given = "given" if state == "on" else ""
        origin = "built in" if name in BUILT_IN else package.name if package else given
        version = version or (__version__ if name in BUILT_IN else package.version if package else "")
        rows.append(
            {"name": name, "version": version, "state": state, "from": origin, "hooks": hooks, "reason": reason}
        )

    used = mailer.hooks.registered()
    for plugin in mailer.plugins:
        hooks = dict.fromkeys(one.hook for one in used if one.owner == plugin.name)
        row(plugin.name, "on", plugin.version, ", ".join(hooks))
    for name, error in mailer.plugins.disabled.items():
        row(name, "failed", reason=str(error))
    seen = {one["name"] for one in rows}
    for name in (*BUILT_IN, *packages):
        if name not in seen:
            row(name, "off")
    return rows
