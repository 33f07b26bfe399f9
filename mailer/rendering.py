"""Rendering on Jinja2: environments, loading, and errors that name template, line and variable, never a value.

Loaded when the first template is used, as it loads Jinja2.

What a template raises may hold what was rendered: a filter says "invalid literal for int(): 'the secret'". So nothing
of a foreign exception gets out but its class, where it was raised, and names that the template's own source has; and
the TemplateError is raised after the handler has ended, so that not even its ``__context__`` leads there.
"""

from __future__ import annotations

import functools
import gettext
import io
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType, TracebackType
from typing import Any, Protocol

from jinja2 import BaseLoader, Environment, StrictUndefined, Template, TemplateNotFound, TemplateSyntaxError, nodes
from jinja2 import UndefinedError as _JinjaUndefined
from jinja2.ext import Extension
from jinja2.utils import missing

from .errors import ConfigError, TemplateError
from .message import FrozenDict, FrozenList
from .search_path import Found, SearchPath, localised, near
from .template_engine import Refused

__all__ = [
    "Files",
    "Origin",
    "Strict",
    "compiled",
    "environment_of",
    "loaded",
    "rendered",
    "translations_of",
    "undefined_name",
]


# --- undefined variables ----------------------------------------------------------------------------------------------


class _UndefinedName(_JinjaUndefined):
    """An undefined variable, attribute or item was used.

    Attributes:
        name: Its name or key; may be a value, where it was computed.
        of: The class of what should have it, or "" for a variable.
    """

    def __init__(self, name: object, of: str, message: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.of = of


def undefined_name(name: str, value: object) -> Exception:
    """The error for a name that may not be read in the value."""
    return _UndefinedName(name, _class_of(value))


def _class_of(value: object) -> str:
    """As the app knows it: a message's context is kept in kinds of its own."""
    return _SHOWN_AS.get(type(value), type(value).__name__)


_SHOWN_AS: dict[type, str] = {FrozenDict: "dict", FrozenList: "list"}


class Strict(StrictUndefined):
    """Undefined names are errors wherever they are used; ``is defined`` and ``default`` may ask."""

    __slots__ = ()

    def __init__(
        self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = _JinjaUndefined
    ) -> None:
        if exc is _JinjaUndefined and name is not None:
            exc = functools.partial(_UndefinedName, name, "" if obj is missing else _class_of(obj))
        super().__init__(hint, obj, name, exc)

    @property
    def _undefined_message(self) -> str:
        return "undefined"  # Jinja2's own may hold a value: the key of an item that is missing


# --- environments -----------------------------------------------------------------------------------------------------


class _StandaloneTags(Extension):
    """A line with nothing but a tag leaves no line behind, as one writes plain text with loops in it.

    The line break moves into the tag, so that line numbers stay. Tags whose blanks are stripped by hand, raw blocks
    and texts to be translated (a catalogue has them as Jinja2 itself reads them) are left alone.
    """

    _TAG = re.compile(
        r"\{%[-+]?\s*raw\b.*?\{%[-+]?\s*endraw\b"
        r"|\{#.*?#\}"
        r"|^[ \t]*(\{%(?![-+])\s*(?!trans\b|pluralize\b|endtrans\b|raw\b|endraw\b)"
        r"(?:[^%\n]|%(?!\}))*(?<![-+]))%\}[ \t]*(\r?\n|\Z)",
        re.S | re.M,
    )

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return self._TAG.sub(lambda found: f"{found[1]}{found[2]}%}}" if found[1] else found[0], source)


class Origin(Protocol):
    """Where the templates of an environment come from; an error asks it."""

    def label(self, name: str) -> str:
        """What an error calls the template that Jinja2 knows by this name."""
        ...

    def source(self, name: str) -> str:
        """Its source, or "" if that is gone."""
        ...


class Files:
    """Templates on a search path, compiled once, whatever the locale. To Jinja2 a file is "place:name"."""

    def __init__(self, search: SearchPath) -> None:
        self.search = search
        self._codes: dict[tuple[Found, bool], CodeType] = {}

    def _found(self, name: str) -> Found | None:
        place, colon, file = name.partition(":")
        if not colon:  # it never came to be loaded
            return None
        return self.search.find((file,), None if place == "0" else (int(place) - 1, file))

    def label(self, name: str) -> str:
        found = self._found(name)
        return self.search.label(found) if found else name.rpartition(":")[2]

    def source(self, name: str) -> str:
        found = self._found(name)
        return "" if found is None else self.text(found)

    def text(self, found: Found) -> str:
        """Read a template. A byte order mark is dropped.

        Raises:
            TemplateError: It cannot be read, or is not UTF-8; with the line.
        """
        data = self.search.read(found)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
        raise TemplateError(f"{self.search.label(found)}, line {line}: is not UTF-8", field="template")

    def code(self, found: Found, environment: Environment) -> CodeType:
        """The file as code, which any environment of the same escaping may run."""
        key = (found, bool(environment.autoescape))
        if key not in self._codes:
            for old in [k for k in self._codes if (k[0].place, k[0].name, k[1]) == (found.place, found.name, key[1])]:
                self._codes.pop(old, None)
            self._codes[key] = environment.compile(self.text(found), f"{found.place}:{found.name}", found.name)
        return self._codes[key]


# Stands behind the name that a template extends, and before that of the template itself.
_HIDDEN_BY = "\0"


class _Loader(BaseLoader):
    """Finds by locale, on the search path."""

    def __init__(self, files: Files, tags: tuple[str, ...]) -> None:
        self._files = files
        self._tags = tags

    def load(
        self,
        environment: Environment,
        name: str,
        globals: Any = None,  # noqa: A002 - Jinja2's name for it
    ) -> Template:
        wanted, _, child = name.partition(_HIDDEN_BY)
        found = self._find(wanted, child)
        if found is None:
            raise TemplateNotFound(wanted)
        code = self._files.code(found, environment)
        names = globals if globals is not None else {}
        return environment.template_class.from_code(
            environment, code, names, lambda: self._find(wanted, child) == found
        )

    def _find(self, wanted: str, child: str) -> Found | None:
        place, _, name = child.partition(":")
        try:
            return self._files.search.find(localised(wanted, self._tags), (int(place), name) if child else None)
        except TemplateError:  # it is not a name; a template may have computed it
            return None


class _Environment(Environment):
    """Lets a template extend the one that it hides: welcome.de.html, or an app's welcome.html, a plug-in's."""

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        for extends in source.find_all(nodes.Extends):
            if isinstance(extends.template, nodes.Const) and isinstance(extends.template.value, str):
                extends.template = nodes.Const(extends.template.value + _HIDDEN_BY, lineno=extends.lineno)
        return super()._generate(source, name, filename, defer_init)

    def join_path(self, template: str, parent: str) -> str:
        return template + parent if template.endswith(_HIDDEN_BY) else template


def environment_of(
    files: Files,
    tags: tuple[str, ...],
    *,
    is_html: bool,
    reload: bool,
    translations: gettext.NullTranslations,
    filters: Mapping[str, Callable[..., Any]],
    tests: Mapping[str, Callable[..., Any]],
    extensions: Sequence[str | type[Extension]],
    variables: Mapping[str, Any],
) -> Environment:
    """An environment for one locale and either html, where all that is not marked safe is escaped, or plain text.

    What is included, imported or extended is escaped as the part is for which it is: never by its own name.
    """
    environment = _Environment(
        loader=_Loader(files, tags),
        autoescape=is_html,
        undefined=Strict,
        auto_reload=reload,
        keep_trailing_newline=True,
        cache_size=-1,  # as many as there are files
        extensions=["jinja2.ext.i18n", *(() if is_html else (_StandaloneTags,)), *extensions],
    )
    environment.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(filters)
    environment.tests.update(tests)
    environment.globals.update(variables)
    return environment


def translations_of(search: SearchPath, tags: Iterable[str], domain: str) -> gettext.NullTranslations:
    """The catalogues of the locale (LOCALE/LC_MESSAGES/DOMAIN.mo), the most particular first.

    Raises:
        ConfigError: One is no catalogue.
    """
    chain: list[gettext.NullTranslations] = []
    for tag in tags:
        found = search.find((f"{tag}/LC_MESSAGES/{domain}.mo",))
        if found is not None:
            try:
                chain.append(gettext.GNUTranslations(io.BytesIO(search.read(found))))
            except Exception as error:
                raise ConfigError(f"translations: {search.label(found)} is not a gettext catalogue") from error
    for catalogue, fallback in itertools.pairwise(chain):
        catalogue.add_fallback(fallback)
    return chain[0] if chain else gettext.NullTranslations()


# --- rendering --------------------------------------------------------------------------------------------------------


def loaded(environment: Environment, name: str, origin: Origin) -> Template | None:
    """Load a template; None if there is none of this name.

    Raises:
        TemplateError: It is not UTF-8, or its syntax is wrong.
    """
    fault: TemplateError
    try:
        return environment.get_template(name)
    except TemplateNotFound:
        return None
    except Exception as error:  # noqa: BLE001 - MemoryError and RecursionError too: this template's fault alone
        fault = _fault(error, name, origin, ())
    raise fault


def compiled(environment: Environment, source: str, name: str, origin: Origin) -> Template:
    """Compile a template that stands in no file.

    Raises:
        TemplateError: Its syntax is wrong, or the environment refuses it.
    """
    fault: TemplateError
    try:
        code = environment.compile(source, name, name)
        return environment.template_class.from_code(environment, code, environment.make_globals(None))
    except Exception as error:  # noqa: BLE001 - as above
        fault = _fault(error, name, origin, ())
    raise fault


def rendered(template: Template, context: Mapping[str, Any], origin: Origin) -> str:
    """Render a template.

    Raises:
        TemplateError: Whatever went wrong. It is chained to nothing.
    """
    fault: TemplateError
    try:
        # What Template.render does, without rewriting tracebacks for a debugger.
        return "".join(template.root_render_func(template.new_context(dict(context))))
    except Exception as error:  # noqa: BLE001 - see the module
        fault = _fault(error, template.name or "", origin, context)
    raise fault


def _fault(error: Exception, template: str, origin: Origin, known: Iterable[str]) -> TemplateError:
    if isinstance(error, TemplateError):
        return TemplateError(str(error).removeprefix("template: "), field="template")
    name, line, raised_in = _place(error.__traceback__)
    name = name or template
    if isinstance(error, TemplateSyntaxError):
        name, line = error.name or name, error.lineno
    at = f"{origin.label(name)}, line {line}: " if line else f"{origin.label(name)}: "
    return TemplateError(at + _said(error, origin.source(name), raised_in, known), field="template")


def _said(error: Exception, source: str, raised_in: str, known: Iterable[str]) -> str:
    """What went wrong, in words of ours and names of the source."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, TemplateSyntaxError):
        return str(error.message)  # about the source alone
    if isinstance(error, _UndefinedName):
        name = _of_source(error.name, source)
        if error.of:
            return f"{name or 'an item'} is undefined in what is a {error.of}"
        return f"{name or 'a variable'} is undefined" + (near(str(error.name), map(str, known)) if name else "")
    if isinstance(error, _JinjaUndefined):
        return "something undefined is used"
    if isinstance(error, TemplateNotFound):
        return f"there is no template {_of_source(error.name, source) or 'of the name it asks for'}"
    if isinstance(error, RecursionError):
        return "goes too deep: a template includes or a macro calls itself without end, or a value holds itself"
    if isinstance(error, SyntaxError):  # as for more than twenty loops within each other
        return "is nested too deep for Python to compile"
    kind = type(error)
    known_as = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{known_as} was raised{raised_in}"


def _of_source(name: object, source: str) -> str:
    """The name as an error may show it: only if the template's author wrote it."""
    if isinstance(name, str) and (name := name.partition(_HIDDEN_BY)[0]) and name in source and name.isprintable():
        return repr(name[:80])
    return ""


_OF_LIBRARIES = ("jinja2", "markupsafe", "mailer")


def _place(trace: TracebackType | None) -> tuple[str, int, str]:
    """The innermost template and line, and " in function (file, line)" if code of the app raised below it."""
    name, line, raised_in = "", 0, ""
    while trace is not None:
        names = trace.tb_frame.f_globals
        template = names.get("__jinja_template__")
        if isinstance(template, Template):
            name, line, raised_in = template.name or "", template.get_corresponding_lineno(trace.tb_lineno), ""
        elif name and str(names.get("__name__")).partition(".")[0] not in _OF_LIBRARIES:
            code = trace.tb_frame.f_code
            file = code.co_filename.replace("\\", "/").rpartition("/")[2]
            raised_in = f" in {code.co_name} ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return name, line, raised_in
