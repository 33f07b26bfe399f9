"""Where mail goes: a backend for each environment, one of which is this process'."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

from flask import Flask

from mailer import ConfigError, Health, Mailer, Settings
from mailer.mailbox import Mailbox

__all__ = ["Environment", "Environments"]

#: In the place of a URL: a mailbox of this process' own, to be looked at in the browser.
MAILBOX = "mailbox:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One of them.

    Attributes:
        url: Its backend's, with what is secret in it; "" if it was not said.
        is_active: This process sends by it.
    """

    name: str
    url: str = field(repr=False)
    is_active: bool

    @property
    def shown(self) -> str:
        """The backend with secrets masked; or why there is none."""
        if self.url == MAILBOX:
            return "a mailbox of its own"
        if not self.url:
            return f"not set: FLASK_MAILER__{self.name}__url"
        try:
            with Mailer(self.url) as mailer:
                return str(mailer.backend)
        except ConfigError as error:
            return f"wrong: {error}"

    @property
    def can_be_checked(self) -> bool:
        """Whether there is something to try from here."""
        return self.url not in ("", MAILBOX)

    def check(self) -> Health | ConfigError:
        """Try it, without sending."""
        try:
            with Mailer(self.url) as mailer:
                return mailer.check()
        except ConfigError as error:
            return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """All of them.

    Attributes:
        mailbox: Of the active one, if its mail goes nowhere else.
    """

    all: tuple[Environment, ...]
    mailbox: Mailbox | None = None

    @classmethod
    def of_config(cls, app: Flask) -> Environments:
        """Read the sections of ``MAILER``; starts a mailbox if the active one is to have one, and says so in it."""
        sections = {
            name: table
            for name, table in app.config["MAILER"].items()
            if name not in Settings.model_fields and isinstance(table, dict)
        }
        active = app.config["MAILER_ENV"]
        mailbox: Mailbox | None = None
        if sections.get(active, {}).get("url") == MAILBOX:
            mailbox = Mailbox(keep=200).start()
            weakref.finalize(app, mailbox.stop)
            sections[active]["url"] = mailbox.url
        return cls(
            all=tuple(
                Environment(name=name, url=table.get("url", ""), is_active=name == active)
                for name, table in sections.items()
            ),
            mailbox=mailbox,
        )

    def __getitem__(self, name: str) -> Environment:
        """By name; KeyError if there is none."""
        return {one.name: one for one in self.all}[name]
