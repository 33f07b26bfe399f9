"""The app's templates as those of its mails: ``templates/welcome.subject.txt``, ``welcome.txt``, ``welcome.html``.

They are looked for in ``MAILER_TEMPLATES`` first, then where the app's own are: by its ``jinja_loader``, and in the
blueprints' folders, in the order they were registered. What names and parts mean is :class:`mailer.Templates`' rule,
also that html is escaped and text never is; filters, tests, tags, globals and context processors are the app's.
``url_for`` gives whole URLs, as a mail needs them.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, TemplateNotFound
from jinja2.ext import InternationalizationExtension as I18n
from werkzeug.routing import BuildError

from ...errors import TemplateError
from ...field import shown
from ...registered import owner_of
from ...search_path import Place
from ...template_engine import Refused, TemplateEngine
from ...templates import Templates
from .context import current_app, has_request, in_context, is_quart, request_blueprints

if TYPE_CHECKING:
    from flask.sansio.app import App
    from jinja2 import Environment

    from ...hooks import Hooks
    from ...hookspecs import Context
    from ...message import Message

__all__ = ["AppTemplates", "LoaderPlace", "bridge_context_processors"]

_OWNER = "mailer.contrib.flask.templates"
_EARLY = -1000
_MOST_KNOWN = 1000


class AppTemplates(TemplateEngine):
    """The templates of one app. Found when they are first used, as blueprints may be registered after mailers."""

    def __init__(self, app: App, places: tuple[Place, ...] = ()) -> None:
        """Look for templates in these places, then in the app's."""
        self._app = weakref.ref(app)
        self._name = app.name
        self._places = places
        self._made: tuple[object, Templates] | None = None
        self._loaders: dict[int, LoaderPlace] = {}  # by id: a loader may be comparable, and then has no hash

    @classmethod
    def of_setting(cls, app: App, value: Any) -> TemplateEngine:
        """What ``MAILER_TEMPLATES`` means: places beside the app's own, or an engine made by hand, alone."""
        return value if isinstance(value, TemplateEngine) else cls(app, tuple(value or ()))

    def __repr__(self) -> str:
        return f"<AppTemplates of {self._name!r}>"

    def render(self, message: Message, context: Mapping[str, Any] | None = None) -> Message:
        """See :class:`~mailer.template_engine.TemplateEngine`. In the app's context, made where there is none."""
        if message.template is None:
            return super().render(message, context)
        app = self._now()
        with in_context(app):
            return self._templates(app, message.template).render(message, context)

    def sources(self, name: str) -> dict[str, bytes]:
        """See :class:`~mailer.template_engine.TemplateEngine`."""
        return self._templates(self._now(), name).sources(name)

    def check(self) -> tuple[str, ...]:
        """Compile every template of the app that a mail could have; see :meth:`mailer.Templates.check`."""
        return self._templates(self._now(), "").check()

    def _now(self) -> App:
        app = self._app()
        if app is None:
            raise TemplateError(f"the app {self._name!r} is gone, and its templates with it", field="template")
        return app

    def _templates(self, app: App, wanted: str) -> Templates:
        """The templates that there are now: made anew when a loader, a filter or a global has come."""
        environment: Environment = app.jinja_env
        is_reloading = bool(environment.auto_reload)
        sizes = (len(app.blueprints), len(environment.filters), len(environment.tests), len(environment.globals))
        # Where files are not looked at again, neither are folders.
        places = tuple(self._found(app, environment)) if is_reloading or self._made is None else ()
        loader = None if app.jinja_loader is None else weakref.ref(app.jinja_loader)  # it may hold the app
        key = (loader, sizes, places if is_reloading else None)
        if self._made is not None and self._made[0] == key:
            return self._made[1]
        places = places or tuple(self._found(app, environment))
        if not places:
            folder = getattr(app, "template_folder", None) or "templates"
            raise TemplateError(
                f"there is no template {shown(wanted)}: {self._name!r} has no folder {folder!r}, nor a blueprint that"
                " has one, and MAILER_TEMPLATES names none",
                field="template",
            )
        made = Templates(
            places,
            reload=is_reloading,
            filters=environment.filters,
            tests=environment.tests,  # type: ignore[arg-type]  # for mypy they are no callables
            extensions=[type(one) for one in environment.extensions.values() if type(one) is not I18n],
            variables={**environment.globals, "url_for": _UrlFor(self._app)},
        )
        self._made = (key, made)
        return made

    def _found(self, app: App, environment: Environment) -> Iterator[Place]:
        yield from self._places
        for scaffold in (app, *app.iter_blueprints()):
            yield from self._of_loader(scaffold.jinja_loader, environment)

    def _of_loader(self, loader: BaseLoader | None, environment: Environment) -> Iterator[Place]:
        """A folder is looked at as a folder: with images in it, and files that hide each other."""
        if type(loader) is FileSystemLoader and loader.encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
            yield from filter(os.path.isdir, map(str, loader.searchpath))
        elif type(loader) is ChoiceLoader:
            for inner in loader.loaders:
                yield from self._of_loader(inner, environment)
        elif loader is not None:
            known = self._loaders.get(id(loader))
            if known is None or known.loader() is not loader:
                known = self._loaders[id(loader)] = LoaderPlace(loader, environment)
            yield known


class LoaderPlace:
    """What any Jinja loader is as a place on the search path: a ``DictLoader``, a ``PackageLoader``, one's own."""

    def __init__(self, loader: BaseLoader, environment: Environment) -> None:
        """Ask this loader, as if for this environment."""
        self.loader = weakref.ref(loader)
        self._environment = weakref.ref(environment)
        self._known: dict[str, tuple[str, Callable[[], bool] | None]] = {}

    def __str__(self) -> str:
        return type(self.loader()).__name__

    def _source(self, name: str) -> str | None:
        known = self._known.get(name)
        if known is not None and known[1] is not None and known[1]():
            return known[0]
        loader, environment = self.loader(), self._environment()
        try:
            if loader is None or environment is None:
                raise TemplateNotFound(name)
            source, _, is_current = loader.get_source(environment, name)
        except TemplateNotFound:
            self._known.pop(name, None)
            return None
        if len(self._known) < _MOST_KNOWN:
            self._known[name] = (source, is_current)
        return source

    def stamp(self, name: str) -> tuple[int, ...] | None:
        """A hash of the source."""
        source = self._source(name)
        return None if source is None else (hash(source),)

    def read(self, name: str) -> bytes:
        """The source, in UTF-8."""
        source = self._source(name)
        if source is None:
            raise FileNotFoundError(0, f"{self} has it no more")
        return source.encode()

    def names(self) -> Iterator[str]:
        """What the loader lists, if it does."""
        loader = self.loader()
        with contextlib.suppress(TypeError):  # it cannot
            yield from loader.list_templates() if loader is not None else ()


class _UrlFor:
    """``url_for`` as a mail needs it: with scheme and host, in a request or outside of one."""

    def __init__(self, app: weakref.ref[App]) -> None:
        self._app = app

    def __call__(self, endpoint: str, **values: Any) -> str:
        """The URL of an endpoint; ``_external=False`` leaves scheme and host out."""
        app: Any = self._app()
        try:
            if current_app() is app or not is_quart(app):
                return app.url_for(endpoint, **{"_external": True, **values})  # type: ignore[no-any-return]  # Flask's
            adapter = app.create_url_adapter(None)  # Quart's own wants a context, though the config may say it all
            if adapter is None:
                raise RuntimeError
            app.inject_url_defaults(endpoint, values)
            return adapter.build(endpoint, values, force_external=True)  # type: ignore[no-any-return]  # werkzeug's
        except BuildError:
            raise Refused("url_for(): no route of this endpoint takes these values") from None
        except RuntimeError:
            raise Refused("url_for() needs a request, or SERVER_NAME in the app's config") from None


def bridge_context_processors(hooks: Hooks, app: weakref.ref[App]) -> None:
    """Let templates see what the app's context processors give; a message's own context goes before."""
    awaits = is_quart(app())
    hooks.add_filter("template_context", partial(_avariables if awaits else _variables, app), _EARLY, owner=_OWNER)


def _processors(app: App | None) -> list[Callable[[], Any]]:
    """The app's and those of the request's blueprints, but for the framework's own."""
    if app is None:
        return []
    found = app.template_context_processors
    blueprints = request_blueprints() if current_app() is app else []
    named = [one for name in (None, *reversed(blueprints)) for one in found.get(name, ())]
    return [one for one in named if one.__module__ not in ("flask.templating", "quart.templating")]


@contextlib.contextmanager
def _named(processor: Callable[[], Any]) -> Iterator[None]:
    """Say whose fault it is; what was raised, which may have been written for nobody's eyes, is the cause."""
    try:
        yield
    except Exception as error:
        where = "" if has_request() else "; there is no request here: let it ask has_request_context()"
        raise TemplateError(
            f"context processor {owner_of(processor)} raised {type(error).__name__}{where}", field="template"
        ) from error


def _variables(reference: weakref.ref[App], value: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    app = reference()
    processors = _processors(app)
    if app is None or not processors:
        return value
    given: dict[str, Any] = {}
    with in_context(app):
        for processor in processors:
            with _named(processor):
                given.update(app.ensure_sync(processor)())  # type: ignore[attr-defined]  # Flask's
    return {**given, **value}


async def _avariables(reference: weakref.ref[App], value: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    app = reference()
    given: dict[str, Any] = {}
    for processor in _processors(app):
        with _named(processor):
            given.update(await app.ensure_async(processor)())  # type: ignore[union-attr]  # Quart's
    return {**given, **value} if given else value
