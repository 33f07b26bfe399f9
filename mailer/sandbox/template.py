"""The stored template itself: a value that is rendered into a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Template

from ..errors import TemplateError
from ..message import Message
from ..rendering import compiled, rendered
from ..template_engine import checked_part, with_parts
from .language import environment_of
from .meter import Meter, TemplateLimits

__all__ = ["StoredTemplate"]


_DEFAULT = TemplateLimits()


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template that a user of the app wrote.

    ::

        StoredTemplate(subject="Hello {{ name }}", html="<p>{{ text }}</p>").render(message)

    Making one checks it: do so before storing what was typed. Rendering is a plain function, bounded by the limits; it
    may be called from any thread, and takes too long for an event loop (use a thread there).

    Attributes:
        subject: The source of the subject, or "" for none.
        text: The source of the text part; None derives it from the html.
        html: The source of the html part, where all values are escaped; or None.
        limits: How much it may use.

    Raises:
        TemplateError: It is too large, its syntax is wrong, or it holds what a stored template may not.
    """

    subject: str = ""
    text: str | None = None
    html: str | None = None
    limits: TemplateLimits = _DEFAULT
    _parts: dict[str, Template] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("subject", "text", "html"):
            source = getattr(self, part)
            if source is None or source == "":
                continue
            if not isinstance(source, str):
                raise TemplateError(f"must be a string, not {type(source).__name__}", field=part)
            if len(source) > self.limits.source_chars:
                raise TemplateError(f"is longer than {self.limits.source_chars} characters", field=part)
            with Meter(self.limits):  # what is parsed is counted too
                self._parts[part] = compiled(environment_of(part == "html"), source, part, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (StoredTemplate, (self.subject, self.text, self.html, self.limits))

    def render(self, message: Message, context: Mapping[str, Any] | None = None) -> Message:
        """Render into the message's subject, text and html, as :meth:`mailer.Templates.render` does.

        What the message gives itself wins; its ``template`` is not looked at and gone from the result.

        Raises:
            TemplateError: It cannot be rendered, or not within the limits. The text never holds a value.
        """
        variables = message.context if context is None else context
        parts: dict[str, Any] = {}
        for part, template in self._parts.items():
            if getattr(message, part) == ("" if part == "subject" else None):
                with Meter(self.limits) as meter:
                    text = rendered(template, variables, self)
                if len(text) > meter.limits.output_chars:
                    raise TemplateError(f"{self.label(part)}: {meter.too_long()}", field="template")
                parts[part] = checked_part(text, part, self.label(part))
        return with_parts(message, parts, derives_text=True)

    def label(self, name: str) -> str:
        """What an error calls a part."""
        return f"stored {name}"

    def source(self, name: str) -> str:
        """The source of a part."""
        return getattr(self, name, None) or ""
