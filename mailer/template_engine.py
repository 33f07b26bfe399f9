"""What renders a message's template, in whoever's language its files are: the rule of names, parts and images.

::

    welcome.subject.txt      one line
    welcome.txt              the text part; derived from the html where there is none
    welcome.html             the html part
    welcome.de.html          the html part in German
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from .attachment import Attachment, free_content_id, names_of
from .errors import TemplateError
from .field import has_surrogate
from .html_to_text import html_to_text
from .message import Message
from .search_path import check_name, locale_tags, localised

__all__ = ["ENDINGS", "Refused", "TemplateEngine", "checked_part", "show_image", "with_parts"]

#: Field of the message -> how the names of its templates end.
ENDINGS = {"subject": ".subject.txt", "text": ".txt", "html": ".html"}
# What stands there when the message gives none itself.
_NOT_GIVEN = {"subject": "", "text": None, "html": None}
_LINE_BREAK = re.compile(r"[\r\n]")
# What no header may hold, but the line breaks above.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Refused(Exception):
    """What a function of ours refuses to a template. Its text holds no value."""


@dataclass(slots=True)
class _Images:
    """The images that one rendering shows."""

    engine: TemplateEngine
    folder: str
    tags: tuple[str, ...]
    taken: set[str]
    shown: dict[Hashable, Attachment] = field(default_factory=dict)


_images: ContextVar[_Images] = ContextVar("mailer_template_images")


class TemplateEngine:
    """Renders templates. May be shared by threads and mailers.

    :class:`~mailer.Templates` is one, on Jinja2; a framework's own is another, a subclass that has the methods below
    the line. ``Mailer(templates=...)`` takes any.
    """

    #: Whether a text part is derived from the html where a template has none.
    derives_text: bool = True

    def render(self, message: Message, context: Mapping[str, Any] | None = None) -> Message:
        """Render a message's template into its subject, text and html.

        What the message gives itself wins: that part's template is not looked at. The result has no ``template`` and
        no ``context`` any more, and the images that its html shows behind its own attachments. A message without a
        template is returned as it is.

        Args:
            context: The variables, in place of ``message.context``.

        Raises:
            TemplateError: There is none of this name, or it cannot be rendered. The text names template, line and
                variable, never a value.
        """
        if message.template is None:
            return message if message.text is None or isinstance(message.text, str) else message.with_(text=None)
        variables = message.context if context is None else context
        name, tags = message.template, locale_tags(message.locale)
        check_name(name)
        images = _Images(self, name.rpartition("/")[0], tags, names_of(message.attachments))
        token = _images.set(images)
        try:
            parts = self._parts(message, name, tags, variables)
        finally:
            _images.reset(token)
        if images.shown:
            parts["attachments"] = (*message.attachments, *images.shown.values())
        return with_parts(message, parts, derives_text=self.derives_text)

    def _parts(
        self, message: Message, name: str, tags: tuple[str, ...], variables: Mapping[str, Any]
    ) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        is_there = False
        for part, ending in ENDINGS.items():
            if getattr(message, part) != _NOT_GIVEN[part]:
                is_there = is_there or self.has(name + ending, tags)
                continue
            rendered = self.rendered(name + ending, tags, variables, is_html=part == "html")
            if rendered is not None:
                is_there = True
                parts[part] = checked_part(rendered[0], part, rendered[1])
        if not is_there:
            raise TemplateError(self.nothing_found(name, tags), field="template")
        return parts

    # --- what a subclass has ------------------------------------------------------------------------------------------

    def rendered(
        self, file: str, tags: tuple[str, ...], variables: Mapping[str, Any], *, is_html: bool
    ) -> tuple[str, str] | None:
        """A part, and what an error calls its file; None if there is no such file.

        Args:
            file: The name with its ending, without a locale: see :func:`mailer.search_path.localised`.
            tags: The locale, the most particular first: ("de_AT", "de"); () for none.
            is_html: Values are escaped; in the others none is.

        Raises:
            TemplateError: It cannot be rendered. The text holds no value, and it is chained to nothing that might.
        """
        raise NotImplementedError

    def has(self, file: str, tags: tuple[str, ...]) -> bool:
        """Whether there is such a file."""
        raise NotImplementedError

    def nothing_found(self, name: str, tags: tuple[str, ...]) -> str:
        """What to say of a name of which there is no file at all."""
        raise NotImplementedError

    def sources(self, name: str) -> dict[str, bytes]:
        """The files of a template itself, of every part and locale, and not what they include: to tell it from another.

        Raises:
            TemplateError: There is none of this name.
        """
        raise NotImplementedError

    def image(self, name: str, files: tuple[str, ...]) -> tuple[Hashable, Attachment]:
        """The file that a template shows by :func:`show_image`, and what it is told from others by.

        Args:
            name: What the attachment is called.
            files: Where it may be, in the order to look: in the message's template's folder first, in its locale first.

        Raises:
            Refused: There is none, or it cannot be read.
        """
        raise Refused("image(): these templates have none")


def show_image(name: str) -> str:
    """Attach an image once, inline, and return the URL that shows it. A template calls it: ``image("logo.png")``.

    Raises:
        Refused: There is no such image.
    """
    if not isinstance(name, str):
        raise Refused(f"image() takes a file name, not {type(name).__name__}")
    images = _images.get(None)
    if images is None:
        raise Refused("image() is for a message's template")
    try:
        check_name(name)
    except TemplateError:  # its text may hold a computed name
        raise Refused("image(): the name is not relative to the search path, or leads out of it") from None
    files = localised(name, images.tags)
    if images.folder:
        files = (*localised(f"{images.folder}/{name}", images.tags), *files)
    found, attachment = images.engine.image(name, files)
    if not attachment.content_type.startswith("image/"):
        raise Refused(f"image(): {attachment.content_type} is no image")
    if found not in images.shown:
        cid = free_content_id(attachment.name, images.taken)
        # SparkPost, Mailgun, Mandrill and SMTP2GO take the file name for the content id: they are the same.
        images.shown[found] = attachment.with_(name=cid, content_id=cid)
    return f"cid:{images.shown[found].content_id}"


def with_parts(message: Message, parts: dict[str, Any], *, derives_text: bool) -> Message:
    """The message with what was rendered, and the text part that follows from it."""
    given_text: object = message.text  # may be False as long as it is not rendered
    html = parts.get("html", message.html)
    if given_text is False:
        parts["text"] = None
    elif given_text is None and "text" not in parts and derives_text and html is not None:
        parts["text"] = html_to_text(html)
    return message.with_(template=None, context=None, **parts)


def checked_part(text: str, part: str, label: str) -> str:
    """What a template gave, if a message can hold it."""
    if part == "subject":
        text = text.strip()
        if _LINE_BREAK.search(text):
            raise TemplateError(
                f"{label}: the subject is more than one line; a value with line breaks needs a filter, as in"
                " {{ name | replace('\\n', ' ') }}",
                field="template",
            )
        if _CONTROL.search(text):
            raise TemplateError(f"{label}: the subject holds a control character or lone surrogate", field="template")
    elif "\0" in text or has_surrogate(text):
        raise TemplateError(f"{label}: the result holds a NUL or a lone surrogate", field="template")
    return text
