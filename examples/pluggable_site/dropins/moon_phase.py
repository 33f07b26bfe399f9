"""Drop this into the site's plug-in folder to see a broken one: it wants a package that is not there."""

from __future__ import annotations

from astronomy_of_the_moon import phase  # type: ignore[import-not-found]

from mailer import Context, Hooks, Message, Plugin


class MoonPhase(Plugin):
    """Writes the phase of the moon into every subject."""

    name = "moon_phase"
    version = "0.1"

    def register(self, hooks: Hooks) -> None:
        hooks.add_filter("message", self.with_phase)

    def with_phase(self, message: Message, context: Context) -> Message:
        """The message with the moon in its subject."""
        return message.with_(subject=f"{message.subject} {phase()}")
