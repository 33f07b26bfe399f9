"""Templates: a message's subject, text and html from files of one name.

::

    welcome.subject.txt      one line
    welcome.txt              the text part; derived from the html where there is none
    welcome.html             the html part
    welcome.de.html          the html part in German

Jinja2 is loaded when the first of them is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .attachment import Attachment, free_content_id, names_of
from .errors import ConfigError, TemplateError
from .field import has_surrogate
from .html_to_text import html_to_text
from .message import Message
from .search_path import Found, Places, SearchPath, check_name, locale_tags, localised, near

if TYPE_CHECKING:
    from jinja2 import Environment

    from .rendering import Files

__all__ = ["Templates", "checked_part", "with_parts"]

# Field of the message -> how the names of its templates end, and what stands there when the message gives none itself.
_PARTS = {"subject": (".subject.txt", ""), "text": (".txt", None), "html": (".html", None)}
_ENDINGS = tuple(ending for ending, _ in _PARTS.values())
_LINE_BREAK = re.compile(r"[\r\n]")
# What no header may hold, but the line breaks above.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ENVIRONMENTS = 64  # locales times two, kept ready; a guard against locales that come from visitors


@dataclass(slots=True)
class _Images:
    """The images that one rendering shows."""

    templates: Templates
    folder: str
    tags: tuple[str, ...]
    taken: set[str]
    shown: dict[Found, Attachment] = field(default_factory=dict)


_images: ContextVar[_Images] = ContextVar("mailer_template_images")


class Templates:
    """Templates on a search path. May be shared by threads and mailers.

    ``Mailer(templates=...)`` takes what ``places`` does, or one of these made by hand for the rest.

    Args:
        places: A folder, "package:folder", or a list of them: the first that has a file of a name is taken, so that an
            app overrides what a plug-in brings.
        translations: Where LOCALE/LC_MESSAGES/DOMAIN.mo are found: places as above.
        domain: The name of the catalogues.
        text: Whether a text part is derived from the html where a template has none; ``Message(text=False)`` turns it
            off for one message.
        reload: Whether changed files are noticed; False saves a few microseconds and needs a restart.
        filters: More filters for the templates, by name.
        variables: What every template sees beside ``image`` and ``locale``; a message's context goes before.

    Raises:
        ConfigError: A place is not there.
    """

    def __init__(
        self,
        places: Places,
        *,
        translations: Places = (),
        domain: str = "messages",
        text: bool = True,
        reload: bool = True,
        filters: Mapping[str, Callable[..., Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self._search = SearchPath(places, reload=reload)
        if not self._search.labels:
            raise ConfigError("templates: give at least one folder or 'package:folder'")
        self._translations = SearchPath(translations, setting="translations", reload=reload)
        self._domain = domain
        self._derives_text = text
        self._reload = reload
        self._filters = dict(filters or {})
        self._variables = dict(variables or {})
        self._files: Files | None = None
        self._environments: dict[tuple[tuple[str, ...], bool], Environment] = {}
        self._attachments: dict[tuple[int, str], tuple[Found, Attachment]] = {}

    @classmethod
    def of(cls, value: Templates | Places) -> Templates:
        """Templates as they are, or made from a place or a list of places."""
        return value if isinstance(value, Templates) else cls(value)

    def __repr__(self) -> str:
        return f"<Templates {', '.join(self._search.labels)}>"

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
            parts = self._rendered(message, name, tags, variables)
        finally:
            _images.reset(token)
        if images.shown:
            parts["attachments"] = (*message.attachments, *images.shown.values())
        return with_parts(message, parts, derives_text=self._derives_text)

    def sources(self, name: str) -> dict[str, bytes]:
        """The files of a template itself, of every part and locale, and not what they include: to tell it from another.

        Raises:
            TemplateError: There is none of this name.
        """
        check_name(name)
        names = [file for file in self._search.names() if file.startswith(f"{name}.")]
        found = {file: at for file in names if (at := self._search.find([file])) is not None}
        if not found:
            raise TemplateError(self._nothing_found(name, ()), field="template")
        return {file: self._search.read(at) for file, at in found.items()}

    def check(self) -> tuple[str, ...]:
        """Compile every template, and return their names: for a test, or at start.

        Raises:
            TemplateError: One is not UTF-8, or its syntax is wrong.
        """
        from .rendering import loaded

        names = [name for name in self._search.names() if name.endswith((".txt", ".html"))]
        for name in names:
            loaded(self._environment((), name.endswith(".html")), name, self._ready())
        return tuple(names)

    def _rendered(
        self, message: Message, name: str, tags: tuple[str, ...], variables: Mapping[str, Any]
    ) -> dict[str, Any]:
        from .rendering import loaded, rendered

        files = self._ready()
        parts: dict[str, Any] = {}
        is_there = False
        for part, (ending, not_given) in _PARTS.items():
            if getattr(message, part) != not_given:
                is_there = is_there or self._search.find(localised(name + ending, tags)) is not None
                continue
            template = loaded(self._environment(tags, part == "html"), name + ending, files)
            if template is not None:
                is_there = True
                parts[part] = checked_part(rendered(template, variables, files), part, files.label(template.name or ""))
        if not is_there:
            raise TemplateError(self._nothing_found(name, tags), field="template")
        return parts

    def _nothing_found(self, name: str, tags: tuple[str, ...]) -> str:
        wanted = [name + ending for ending in _ENDINGS]
        stem = next((name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending)), name)
        files = self._search.names()
        known = {file.removesuffix(ending) for ending in _ENDINGS for file in files if file.endswith(ending)}
        hint = f"; give the name without its ending: {stem!r}" if stem != name and stem in known else near(name, known)
        also = f" (nor for the locale {tags[0]})" if tags else ""
        places = ", ".join(self._search.labels)
        return f"there is no {', '.join(wanted[:-1])} or {wanted[-1]}{also} in {places}{hint}"

    def _ready(self) -> Files:
        from .rendering import Files

        if self._files is None:
            self._files = Files(self._search)
        return self._files

    def _environment(self, tags: tuple[str, ...], is_html: bool) -> Environment:
        from .rendering import environment_of, translations_of

        key = (tags, is_html)
        found = self._environments.get(key)
        if found is None:
            if len(self._environments) >= _ENVIRONMENTS:
                self._environments.clear()
            found = environment_of(
                self._ready(),
                tags,
                is_html=is_html,
                reload=self._reload,
                translations=translations_of(self._translations, tags, self._domain),
                filters=self._filters,
                variables={
                    "image": _image if is_html else _no_image,
                    "locale": tags[0] if tags else None,
                    **self._variables,
                },
            )
            self._environments[key] = found
        return found

    def _image(self, name: str, folder: str, tags: tuple[str, ...]) -> tuple[Found, Attachment]:
        from .rendering import Refused

        names = localised(name, tags)
        if folder:
            names = (*localised(f"{folder}/{name}", tags), *names)
        try:
            found = self._search.find(names)
            if found is None:
                raise Refused("image(): there is no such file beside the templates")
            known = self._attachments.get((found.place, found.name))
            if known is None or known[0] != found:
                made = Attachment.from_bytes(name, self._search.read(found), inline=True)
                if not made.content_type.startswith("image/"):
                    raise Refused(f"image(): {made.content_type} is no image")
                self._attachments[found.place, found.name] = known = (found, made)
        except TemplateError:  # its text may hold a computed name
            raise Refused(
                "image(): the file cannot be read, or its name is not relative to the search path or leads out of it"
            ) from None
        return known


def _image(name: str) -> str:
    """Attach an image once, inline, and return the URL that shows it. A template calls it: ``image("logo.png")``."""
    from .rendering import Refused

    if not isinstance(name, str):
        raise Refused(f"image() takes a file name, not {type(name).__name__}")
    images = _images.get()
    found, attachment = images.templates._image(name, images.folder, images.tags)
    if found not in images.shown:
        cid = free_content_id(attachment.name, images.taken)
        # SparkPost, Mailgun, Mandrill and SMTP2GO take the file name for the content id: they are the same.
        images.shown[found] = attachment.with_(name=cid, content_id=cid)
    return f"cid:{images.shown[found].content_id}"


def _no_image(name: object) -> str:
    from .rendering import Refused

    raise Refused("image() is for the html part")


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
