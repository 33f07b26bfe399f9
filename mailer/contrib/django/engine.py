"""Messages' templates by Django's engine: its loaders, tags, filters and translations.

::

    MAILER = {"url": "smtp://...", "templates": "django"}

    get_mailer().send(Message(to="ann@example.org", template="shop/welcome", context={"name": "Ann"}))

The files are named as ours are, ``shop/welcome.subject.txt``, ``.txt``, ``.html``, ``welcome.de.html`` before
``welcome.html``, and looked for wherever Django looks for templates. What is different from Jinja2 is Django's own: a
variable that is not there is "", not an error. Context processors do not run, as there is no request.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

from django.apps import apps
from django.conf import settings
from django.template import Context, TemplateDoesNotExist, TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates as DjangoBackend
from django.template.base import Node, Template
from django.template.loaders import filesystem
from django.utils import translation

from ...attachment import Attachment
from ...errors import ConfigError, TemplateError
from ...search_path import check_name, locale_tags, localised
from ...template_engine import ENDINGS, Refused, TemplateEngine

__all__ = ["DjangoTemplates"]


class DjangoTemplates(TemplateEngine):
    """Renders messages' templates by one of the project's ``TEMPLATES``.

    Values are escaped in the html part and in no other, whatever the project's ``autoescape`` says. A message's locale
    is active while it is rendered (``LANGUAGE_CODE``, if it is none of ``LANGUAGES``); without one, the language that
    is. ``{% load mailwright %}{% image "logo.png" %}`` shows an image from beside the templates, or a static file.

    Args:
        using: The ``NAME`` of an engine; None is the first that is Django's own.
        text: Whether a text part is derived from the html where a template has none.
    """

    def __init__(self, using: str | None = None, *, text: bool = True) -> None:
        self._using = using
        self.derives_text = text

    def __repr__(self) -> str:
        return f"<DjangoTemplates{f' {self._using}' if self._using else ''}>"

    def rendered(
        self, file: str, tags: tuple[str, ...], variables: Mapping[str, Any], *, is_html: bool
    ) -> tuple[str, str] | None:
        """See :class:`~mailer.template_engine.TemplateEngine`."""
        template = self._found(file, tags)
        if template is None:
            return None
        context = Context({"locale": tags[0] if tags else None, **variables}, autoescape=is_html)
        fault: TemplateError
        try:
            with _in_language(tags):
                return template.render(context), template.name
        except Exception as error:  # noqa: BLE001 - whatever code of the app a template calls
            fault = _fault(error, template.name, template.source)
        raise fault

    def has(self, file: str, tags: tuple[str, ...]) -> bool:
        """See :class:`~mailer.template_engine.TemplateEngine`."""
        return self._found(file, tags) is not None

    def nothing_found(self, name: str, tags: tuple[str, ...]) -> str:
        """See :class:`~mailer.template_engine.TemplateEngine`."""
        wanted = [name + ending for ending in ENDINGS.values()]
        stem = next((name.removesuffix(ending) for ending in ENDINGS.values() if name.endswith(ending)), name)
        is_stem = stem != name and any(self.has(stem + ending, tags) for ending in ENDINGS.values())
        hint = f"; give the name without its ending: {stem!r}" if is_stem else ""
        also = f" (nor for the locale {tags[0]})" if tags else ""
        return f"Django's loaders find no {', '.join(wanted[:-1])} or {wanted[-1]}{also}{hint}"

    def sources(self, name: str) -> dict[str, bytes]:
        """See :class:`~mailer.template_engine.TemplateEngine`; the locales are those of ``LANGUAGES``."""
        check_name(name)
        tags = [tag for code, _ in settings.LANGUAGES for tag in locale_tags(translation.to_locale(code))]
        files = dict.fromkeys(one for ending in ENDINGS.values() for one in localised(name + ending, tags))
        found = {file: template.source.encode() for file in files if (template := self._loaded(file)) is not None}
        if not found:
            raise TemplateError(self.nothing_found(name, ()), field="template")
        return found

    def image(self, name: str, files: tuple[str, ...]) -> tuple[Hashable, Attachment]:
        """See :class:`~mailer.template_engine.TemplateEngine`."""
        path = next((path for one in files for path in self._paths(one) if os.path.isfile(path)), None)
        if path is None:
            raise Refused("image(): there is no such file beside the templates, nor a static one")
        with open(path, "rb") as file:
            return path, Attachment.from_bytes(name.rpartition("/")[2], file.read(), inline=True)

    # --- Django's engine ----------------------------------------------------------------------------------------------

    def _engine(self) -> Any:
        """The project's engine.

        Raises:
            ConfigError: ``TEMPLATES`` has none.
        """
        wanted = [self._using] if self._using in engines.templates else [] if self._using else [*engines]
        found = next((one for alias in wanted if isinstance(one := engines[alias], DjangoBackend)), None)
        if found is None:
            named = f" of the NAME {self._using!r}" if self._using else ""
            raise ConfigError(f"templates: TEMPLATES has no DjangoTemplates engine{named}")
        return found.engine

    def _found(self, file: str, tags: Iterable[str]) -> Any:
        return next((one for name in localised(file, tags) if (one := self._loaded(name)) is not None), None)

    def _loaded(self, name: str) -> Template | None:
        fault: TemplateError
        try:
            return self._engine().get_template(name)
        except TemplateDoesNotExist:
            return None
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - not UTF-8, or code of the app: a library of tags
            fault = _fault(error, name, "")
        raise fault

    def _paths(self, name: str) -> Iterator[str]:
        """Where a file of this name may be, beside the templates and among the static files."""
        for loader in self._engine().template_loaders:
            for origin in loader.get_template_sources(name):
                if isinstance(origin.loader, filesystem.Loader):
                    yield origin.name
        if apps.is_installed("django.contrib.staticfiles"):
            from django.contrib.staticfiles import finders

            yield from filter(None, [finders.find(name)])


@contextlib.contextmanager
def _in_language(tags: tuple[str, ...]) -> Iterator[None]:
    if not tags:
        yield
        return
    try:  # a locale may come from a visitor: Django keeps each that it activates
        language = translation.get_supported_language_variant(translation.to_language(tags[0]))
    except LookupError:
        language = settings.LANGUAGE_CODE
    with translation.override(language):
        yield


# --- errors -----------------------------------------------------------------------------------------------------------


def _fault(error: Exception, name: str, source: str) -> TemplateError:
    """What went wrong, with nothing of a foreign exception but its class: its words may hold what was rendered."""
    if isinstance(error, TemplateError):
        return TemplateError(str(error).removeprefix("template: "), field="template")
    token = getattr(error, "token", None)
    place, line = _place(error.__traceback__)
    line = getattr(token, "lineno", None) or line
    at = f"{place or name}, line {line}: " if line else f"{place or name}: "
    return TemplateError(at + _said(error, source), field="template")


def _said(error: Exception, source: str) -> str:
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, TemplateSyntaxError) and hasattr(error, "token"):
        # The parser's: about the source alone. Django 6 writes the file's path before it.
        return str(getattr(error, "raw_error_message", error))
    if isinstance(error, TemplateDoesNotExist):
        wanted = repr(str(error)) if str(error) in source else "of the name it asks for"
        return f"there is no template {wanted}"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(error, RecursionError):
        return "goes too deep: a template includes itself without end, or a value holds itself"
    kind = type(error)
    known_as = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{known_as} was raised"


def _place(trace: TracebackType | None) -> tuple[str, int | None]:
    """The innermost template and line that were being rendered."""
    name, line = "", None
    while trace is not None:
        node = trace.tb_frame.f_locals.get("self")
        if isinstance(node, Node) and getattr(node, "token", None) is not None and node.origin is not None:
            name, line = str(node.origin.template_name or ""), node.token.lineno
        trace = trace.tb_next
    return name, line
