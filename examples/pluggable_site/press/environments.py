"""Where mail goes: a backend for each environment, one of which is this process'."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import Flask

from mailer import ConfigError, Health, Mailer
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
            return f"not set: FLASK_PRESS_BACKENDS__{self.name}"
        try:
            with Mailer(self.url) as mailer:
                return str(mailer.backend)
        except ConfigError as error:
            return f"wrong: {error}"

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
        """Read ``PRESS_BACKENDS`` and ``PRESS_ENV``; starts a mailbox if the active one is to have one.

        Raises:
            ConfigError: There is no such environment, or it has no URL.
        """
        urls: Mapping[str, str] = dict(app.config["PRESS_BACKENDS"])
        active = app.config["PRESS_ENV"]
        if not urls.get(active):
            raise ConfigError(f"PRESS_ENV is {active!r}, and PRESS_BACKENDS has no URL for it: {', '.join(urls)}")
        mailbox: Mailbox | None = None
        if urls[active] == MAILBOX:
            mailbox = Mailbox(keep=200).start()
            weakref.finalize(app, mailbox.stop)
            urls = {**urls, active: mailbox.url}
        return cls(
            all=tuple(Environment(name=name, url=url, is_active=name == active) for name, url in urls.items()),
            mailbox=mailbox,
        )

    def __getitem__(self, name: str) -> Environment:
        """By name; KeyError if there is none."""
        return {one.name: one for one in self.all}[name]

    @property
    def active(self) -> Environment:
        """The one that this process sends by."""
        return next(one for one in self.all if one.is_active)
