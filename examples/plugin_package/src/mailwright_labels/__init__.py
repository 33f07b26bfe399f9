"""Labels what one environment sends: in the subject, and in a header for filters."""

from __future__ import annotations

from pydantic import Field, field_validator

from mailer import Context, Hooks, Message, Plugin, PluginSettings

__all__ = ["Labels", "LabelsSettings"]


class LabelsSettings(PluginSettings):
    """What it is told."""

    text: str = Field(description="The label.")
    spare: tuple[str, ...] = Field((), description="Domains whose recipients get mail without it.")

    @field_validator("text")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.isprintable() or not value:  # it becomes a header
            raise ValueError("must be some characters, without line breaks")
        return value


class Labels(Plugin[LabelsSettings]):
    """Writes ``[text]`` before the subject, and ``X-Label: text``.

    Attributes:
        labelled: How many labelled mails somebody accepted.
    """

    name = "labels"
    labelled = 0

    def register(self, hooks: Hooks) -> None:
        """Change the message before anything is derived from it; count what went out."""
        hooks.add_filter("message", self.label)
        hooks.add_action("sent", self.count)

    def label(self, message: Message, context: Context) -> Message:
        """The message with its label, once; as it is, if all its recipients are to be spared."""
        everybody = (*message.to, *message.cc, *message.bcc)
        if all(recipient.domain in self.settings.spare for recipient in everybody):
            return message
        prefix = f"[{self.settings.text}] "
        subject = message.subject or ""
        if not subject.startswith(prefix):
            message = message.with_(subject=prefix + subject)
        return message.with_(headers=(*message.headers, ("X-Label", self.settings.text)))

    def count(self, context: Context) -> None:
        """An action: what it did, and raised, would change nothing."""
        if context.message is not None and ("X-Label", self.settings.text) in context.message.headers:
            self.labelled += 1
