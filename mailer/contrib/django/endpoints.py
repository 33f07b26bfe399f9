"""The views of :mod:`mailer.contrib.django.urls`: what providers tell, tracking links, unsubscribe links.

The setting ``MAILER_WEBHOOKS`` is a mapping of what :class:`mailer.webhooks.WsgiWebhooks` takes beside the mailer::

    MAILER_WEBHOOKS = {"secrets": {"postmark": "hook:a-long-secret"}, "base_url": "https://shop.example.com/mail/webhooks"}

The other two are those of the plug-ins ``tracking`` and ``list_unsubscribe``, and are not found where these are off.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

from ...errors import ConfigError
from ...mailer import Mailer
from ...sources import nearest
from ...webhooks.app import WsgiWebhooks
from .mailers import get_mailer
from .mount import answered_wsgi, exempt

__all__ = ["tracking", "unsubscribe", "webhook_options", "webhooks"]

SETTING = "MAILER_WEBHOOKS"

# Mailer's name -> what its app was made of, and the app: it remembers what it was told, so there is one in a process.
_apps: dict[str, tuple[Mailer, object, WsgiWebhooks]] = {}


@exempt
def webhooks(request: HttpRequest, rest: str, mailer: str = "default") -> HttpResponse:
    """What a provider tells: its name is the path."""
    made = get_mailer(mailer)
    options = webhook_options()
    if options is None:
        raise Http404(f"there is no {SETTING}")
    kept = _apps.get(mailer)
    if kept is None or kept[0] is not made or kept[1] != options:
        kept = _apps[mailer] = (made, options, WsgiWebhooks(made, **options))
    return answered_wsgi(kept[2], request, rest)


@exempt
def tracking(request: HttpRequest, rest: str, mailer: str = "default") -> HttpResponse:
    """The image or the way of a tracking link: its token is the path."""
    return _answered("tracking", request, rest, mailer)


@exempt
def unsubscribe(request: HttpRequest, rest: str, mailer: str = "default") -> HttpResponse:
    """The page of an unsubscribe link, and what its button does: its token is the path."""
    return _answered("list_unsubscribe", request, rest, mailer)


def _answered(plugin: str, request: HttpRequest, rest: str, mailer: str) -> HttpResponse:
    made = get_mailer(mailer)
    if plugin not in made.plugins:
        raise Http404(f"the plug-in {plugin} is not on")
    found: Any = made.plugins[plugin]
    return answered_wsgi(found.app(made).wsgi, request, rest)


def webhook_options() -> dict[str, Any] | None:
    """What ``MAILER_WEBHOOKS`` says; None if there is none.

    Raises:
        ConfigError: It is no mapping, has no secrets, or an option that there is not. The text shows no secret.
    """
    given = getattr(settings, SETTING, None)
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ConfigError(f"{SETTING} must be a mapping with 'secrets', not {type(given).__name__}")
    known = [
        name
        for cls in WsgiWebhooks.__mro__
        if "__init__" in vars(cls)
        for name, one in inspect.signature(vars(cls)["__init__"]).parameters.items()
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) and name not in ("self", "mailer")
    ]
    for name in given:
        if name not in known:
            raise ConfigError(f"{SETTING}: there is no {name!r}; {nearest(str(name), sorted(set(known)))}")
    if not isinstance(given.get("secrets"), Mapping):
        raise ConfigError(f"{SETTING}['secrets'] must map each provider to its secret")
    return dict(given)
