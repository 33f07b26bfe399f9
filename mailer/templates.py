"""Templates: a message's subject, text and html from files of one name.

::

    welcome.subject.txt      one line
    welcome.txt              the text part; derived from the html where there is none
    welcome.html             the html part
    welcome.de.html          the html part in German

Jinja2 is loaded when the first of them is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .attachment import Attachment
from .errors import ConfigError, TemplateError
from .search_path import Found, Places, SearchPath, check_name, localised, near
from .template_engine import ENDINGS, Refused, TemplateEngine, show_image

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.ext import Extension

    from .rendering import Files

__all__ = ["Templates"]

_ENVIRONMENTS = 64  # locales times two, kept ready; a guard against locales that come from visitors


class Templates(TemplateEngine):
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
        tests: More tests (``is ...``) for them, by name.
        extensions: More extensions of Jinja2, for further tags.
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
        tests: Mapping[str, Callable[..., Any]] | None = None,
        extensions: Iterable[str | type[Extension]] = (),
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self._search = SearchPath(places, reload=reload)
        if not self._search.labels:
            raise ConfigError("templates: give at least one folder or 'package:folder'")
        self._translations = SearchPath(translations, setting="translations", reload=reload)
        self._domain = domain
        self.derives_text = text
        self._reload = reload
        self._filters = dict(filters or {})
        self._tests = dict(tests or {})
        self._extensions = tuple(extensions)
        self._variables = dict(variables or {})
        self._files: Files | None = None
        self._environments: dict[tuple[tuple[str, ...], bool], Environment] = {}
        self._attachments: dict[tuple[int, str], tuple[Found, Attachment]] = {}

    @classmethod
    def of(cls, value: TemplateEngine | Places) -> TemplateEngine:
        """Templates as they are, or made from a place or a list of places."""
        return value if isinstance(value, TemplateEngine) else cls(value)

    def __repr__(self) -> str:
        return f"<Templates {', '.join(self._search.labels)}>"

    def sources(self, name: str) -> dict[str, bytes]:
        """The files of a template itself, of every part and locale, and not what they include: to tell it from another.

        Raises:
            TemplateError: There is none of this name.
        """
        check_name(name)
        names = [file for file in self._search.names() if file.startswith(f"{name}.")]
        found = {file: at for file in names if (at := self._search.find([file])) is not None}
        if not found:
            raise TemplateError(self.nothing_found(name, ()), field="template")
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

    def rendered(
        self, file: str, tags: tuple[str, ...], variables: Mapping[str, Any], *, is_html: bool
    ) -> tuple[str, str] | None:
        """See :class:`TemplateEngine`."""
        from .rendering import loaded, rendered

        files = self._ready()
        template = loaded(self._environment(tags, is_html), file, files)
        return None if template is None else (rendered(template, variables, files), files.label(template.name or ""))

    def has(self, file: str, tags: tuple[str, ...]) -> bool:
        """See :class:`TemplateEngine`."""
        return self._search.find(localised(file, tags)) is not None

    def nothing_found(self, name: str, tags: tuple[str, ...]) -> str:
        """See :class:`TemplateEngine`."""
        wanted = [name + ending for ending in ENDINGS.values()]
        stem = next((name.removesuffix(ending) for ending in ENDINGS.values() if name.endswith(ending)), name)
        files = self._search.names()
        known = {file.removesuffix(ending) for ending in ENDINGS.values() for file in files if file.endswith(ending)}
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
                tests=self._tests,
                extensions=self._extensions,
                variables={
                    "image": show_image if is_html else _no_image,
                    "locale": tags[0] if tags else None,
                    **self._variables,
                },
            )
            self._environments[key] = found
        return found

    def image(self, name: str, files: tuple[str, ...]) -> tuple[Hashable, Attachment]:
        """See :class:`TemplateEngine`."""
        try:
            found = self._search.find(files)
            if found is None:
                raise Refused("image(): there is no such file beside the templates")
            known = self._attachments.get((found.place, found.name))
            if known is None or known[0] != found:
                known = found, Attachment.from_bytes(name, self._search.read(found), inline=True)
                self._attachments[found.place, found.name] = known
        except TemplateError:  # its text may hold a computed name
            raise Refused("image(): the file cannot be read, or a link leads out of the search path") from None
        return known


def _no_image(name: object) -> str:
    raise Refused("image() is for the html part")
