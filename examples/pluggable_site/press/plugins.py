"""Plug-ins that an admin switches on and off while the site runs, as WordPress has them.

What is on, and with which settings, stands in the database; each process brings its mailer to that. A change is in
force in the process that made it at once, and in every other one at the start of its next request, when it sees that
the counter ``plugins_changed`` has moved. So no process needs to be told, and a new one begins with what is on. The
value that the counter had when a plug-in was switched on is its place in the order, in all of them.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, current_app, request

from mailer import ConfigError, Plugin
from mailer.plugin_file import PluginFile, plugin_files

from .database import connected, rows
from .mails import mail

__all__ = ["Row", "Setting", "Switchboard"]

#: When it was switched on, by the counter, and its settings as JSON.
_Wanted = tuple[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting of a plug-in that is on, as a form has it; of a secret one the value is not shown."""

    name: str
    means: str
    value: str
    is_secret: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A plug-in as the admin's page shows it.

    Attributes:
        state: "on", "off", "broken", or "built in".
        act: What can be done: "on", "off", or "".
        problem: Why it is not on, or cannot be.
    """

    name: str
    version: str = ""
    description: str = ""
    file: str = ""
    state: str
    act: str = ""
    problem: str = ""
    settings: tuple[Setting, ...] = ()


class Switchboard:
    """The folder, what is on of it, and this process' mailer."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._seen: object = None  # the counter, as it stood when the mailer was brought to it
        self._there: dict[str, _Wanted] = {}  # what is in the mailer by this, in its order
        self._problems: dict[str, str] = {}

        @app.before_request
        def up_to_date() -> None:
            if request.endpoint != "static":
                self.bring_about()

    # --- what is shown ------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Those of the folder by file name, then those whose file is gone, then what is built into the site."""
        wanted = self._wanted()
        files = plugin_files(self.folder)
        shown = [self._row(file, is_wanted=file.name in wanted) for file in files]
        for name in wanted:
            if name not in [file.name for file in files]:
                problem = f"its file is gone from {self.folder}"
                shown.append(Row(name=name, state="broken", act="off", problem=problem))
        for plugin in mail.mailer.plugins:
            if plugin.name not in self._there:
                first = (plugin.__doc__ or "").partition("\n\n")[0]
                shown.append(Row(name=plugin.name, description=" ".join(first.split()), state="built in"))
        return shown

    def _row(self, file: PluginFile, *, is_wanted: bool) -> Row:
        problem = file.problem or self._problems.get(file.name, "")
        is_on = file.name in self._there
        return Row(
            name=file.name or file.path.stem,
            version=file.version,
            description=file.description,
            file=file.path.name,
            state="on" if is_on else "broken" if problem else "off",
            act="off" if is_on or is_wanted else "" if file.problem else "on",
            problem=problem,
            settings=_settings(mail.mailer.plugins[file.name]) if is_on else (),
        )

    # --- what is done -------------------------------------------------------------------------------------------------

    def switch_on(self, name: str, given: Mapping[str, str] | None = None) -> None:
        """Switch one on with the settings that it had, or give one that is on others.

        Args:
            given: All of its settings. A blank one is the plug-in's default; a blank secret stays what it was.

        Raises:
            ConfigError: It cannot be switched on. It is off then, or on as it was; nothing is kept of this.
        """
        kept = rows("SELECT settings FROM plugin WHERE name = ?", name)
        old = kept[0]["settings"] if kept else "{}"
        new = old
        if given is not None:
            secrets = [one.name for one in _settings(mail.mailer.plugins[name]) if one.is_secret]
            secret = {key: text for key, text in json.loads(old).items() if key in secrets}
            new = json.dumps(secret | {key: text for key, text in given.items() if text})
        try:
            with self._lock:
                self._put(name, (0, new))
                self._there[name] = (self._keep(name, is_on=True, settings=new), new)
        except ConfigError as error:
            self._problems[name] = str(error)
            self._seen = None
            self.bring_about()  # what was on before
            raise

    def switch_off(self, name: str) -> None:
        """Switch one off; its settings are kept for the next time.

        Raises:
            ConfigError: Another that is on requires it.
        """
        with self._lock:
            self._take(name)
            self._problems.pop(name, None)
        self._keep(name, is_on=False)

    def bring_about(self) -> None:
        """Bring this process' mailer to what the database says, if that has changed since."""
        [counter] = rows("SELECT value FROM setting WHERE name = 'plugins_changed'")
        if counter["value"] == self._seen:
            return
        with self._lock:
            there, wanted = list(self._there.items()), list(self._wanted().items())
            same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(there, wanted, strict=False))))
            for name, _ in reversed(there[same:]):
                self._try(self._take, name)
            for name, one in wanted[same:]:
                self._try(self._put, name, one)
            self._seen = counter["value"]

    def _wanted(self) -> dict[str, _Wanted]:
        """What is to be on, in the order of switching on."""
        found = rows("SELECT * FROM plugin WHERE is_on ORDER BY switched")
        return {row["name"]: (row["switched"], row["settings"]) for row in found}

    def _keep(self, name: str, *, is_on: bool, settings: str | None = None) -> int:
        with connected() as db:
            db.execute("UPDATE setting SET value = value + 1 WHERE name = 'plugins_changed'")
            [counter] = rows("SELECT value FROM setting WHERE name = 'plugins_changed'")
            db.execute("INSERT OR IGNORE INTO plugin (name) VALUES (?)", [name])
            query = "UPDATE plugin SET is_on = ?, settings = coalesce(?, settings), switched = ? WHERE name = ?"
            db.execute(query, [is_on, settings, counter["value"], name])
        return int(counter["value"])

    # --- this process' mailer -----------------------------------------------------------------------------------------

    def _try(self, step: Any, name: str, *more: _Wanted) -> None:
        """What cannot be brought about is shown to the admin; the rest of the site goes on."""
        try:
            step(name, *more)
        except ConfigError as error:
            self._problems[name] = str(error)

    def _put(self, name: str, one: _Wanted) -> None:
        """Load the file as it stands, and add what it defines in the place of what was there."""
        file = next((file for file in plugin_files(self.folder) if file.name == name), None)
        if file is None:
            raise ConfigError(f"there is no plug-in {name!r} in {self.folder}")
        kind = file.load()  # what is wrong with it is known before anything is taken away
        self._take(name)
        mail.mailer.plugins.add(kind, json.loads(one[1]))
        self._there[name] = one
        self._problems.pop(name, None)

    def _take(self, name: str) -> None:
        if name in self._there:
            plugin = mail.mailer.plugins.remove(name)
            del self._there[name]
            try:
                plugin.close()
            except Exception:  # it is somebody else's, and out of the mailer by now
                current_app.logger.exception("plug-in %s: close", name)


def _settings(plugin: Plugin[Any]) -> tuple[Setting, ...]:
    found = []
    for name, field in type(plugin.settings).model_fields.items():
        value = getattr(plugin.settings, name)
        is_secret = hasattr(value, "get_secret_value")
        shown = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
        shown = "" if value is None or is_secret else shown
        found.append(Setting(name=name, means=field.description or "", value=shown, is_secret=is_secret))
    return tuple(found)
