"""From a URL to a backend; the table of schemes, and plug-ins' additions to it.

A package adds a scheme by an entry point of the group ``mailer.backends``: its name is the scheme, its object the
factory.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigError, MailerError
from ..redaction import forgets_arguments, words_of
from ..relay import PROVIDERS
from ..smtp.presets import PREFIX, PRESETS, preset_of
from .base import Backend
from .options import BackendURL, choice, parse_query, read_options, seconds

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ..runtime import Runtime

__all__ = ["BackendFactory", "backend_from_url", "register_backend"]

#: Makes a backend from its URL; the runtime is None until a mailer attaches one.
BackendFactory = Callable[[BackendURL, "Runtime | None"], Backend]

# Scheme -> module and factory in this package, imported when the scheme is used.
_BUILT_IN = {
    "smtp": ("smtp", "smtp_from_url"),
    "smtps": ("smtp", "smtp_from_url"),
    "lmtp": ("smtp", "smtp_from_url"),
    "mx": ("mx", "mx_from_url"),
    "sendmail": ("sendmail", "sendmail_from_url"),
    "file": ("file", "file_from_url"),
    "memory": ("memory", "memory_from_url"),
    "console": ("memory", "console_from_url"),
    "null": ("memory", "null_from_url"),
    **dict.fromkeys(PROVIDERS, ("relay", "relay_from_url")),
}
#: The entry points that packages offer schemes by.
ENTRY_POINTS = "mailer.backends"
_registered: dict[str, BackendFactory] = {}

_GROUP = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)\(", re.ASCII)
_GROUPS = ("failover", "roundrobin", "weighted")
_WEIGHT = re.compile(r"([^*:/@(]*)\*(.*)", re.DOTALL)
_MAX_DEPTH = 8


def register_backend(name: str, factory: BackendFactory) -> None:
    """Let URLs with this scheme make backends by this factory, ``(url, runtime) -> Backend``.

    Raises:
        ConfigError: The name is no URL scheme, or is built in.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9+.-]*", name, re.ASCII):
        raise ConfigError(f"{name!r} is not a URL scheme: lower-case letters, digits, '+', '.', '-'")
    if name in _BUILT_IN or name in _GROUPS or (name.startswith(PREFIX) and name.removeprefix(PREFIX) in PRESETS):
        raise ConfigError(f"{name!r} is built in")
    _registered[name] = factory


@forgets_arguments
def backend_from_url(url: str, runtime: Runtime | None = None) -> Backend:
    """Make a backend from its URL. Opens no connection.

    Raises:
        ConfigError: The URL is wrong; the text names what is, and shows no secret.
    """
    if not isinstance(url, str):
        raise ConfigError(f"a backend's URL must be a string, not {type(url).__name__}")
    return _made(url.strip(" "), runtime, 0)


def _made(url: str, runtime: Runtime | None, depth: int) -> Backend:
    if found := _GROUP.match(url):
        return _group(url, found, runtime, depth)
    parsed = BackendURL.parse(url)
    factory = _registered.get(parsed.scheme) or _offered(parsed.scheme)
    if factory is None:
        # A preset of a service is SMTP; an unknown one is refused here, with the nearest.
        scheme = parsed.scheme if preset_of(parsed.scheme) is None else "smtp"
        if parsed.scheme in _GROUPS:
            raise ConfigError(f"{parsed.scheme} is a group: its members stand in parentheses: {parsed.scheme}(URL URL)")
        if scheme not in _BUILT_IN:
            from importlib.metadata import entry_points

            known = [*_BUILT_IN, *_registered, *_GROUPS, *entry_points(group=ENTRY_POINTS).names]
            near = difflib.get_close_matches(parsed.scheme, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise ConfigError(f"there is no backend {parsed.scheme!r}; {hint}")
        module, name = _BUILT_IN[scheme]
        factory = cast(BackendFactory, getattr(importlib.import_module(f"{__package__}.{module}"), name))
    try:
        backend = factory(parsed, runtime)
    except MailerError:
        raise
    except Exception as error:  # anybody's code, and its words may hold what the URL holds
        raise ConfigError(f"{parsed.scheme}: its factory raised {type(error).__name__}") from error
    if not isinstance(backend, Backend):
        raise ConfigError(f"{parsed.scheme}: its factory made {type(backend).__name__}, not a Backend")
    return backend


def _offered(scheme: str) -> BackendFactory | None:
    """The factory that an installed package offers for a scheme that is not ours, by an entry point."""
    if scheme in _BUILT_IN or scheme in _GROUPS or preset_of(scheme) is not None:
        return None
    from importlib.metadata import entry_points

    entries = distinct(entry_points(group=ENTRY_POINTS, name=scheme))
    if not entries:
        return None
    if len(entries) > 1:
        packages = " and ".join(entry.dist.name if entry.dist else entry.value for entry in entries)
        raise ConfigError(f"{scheme}: is offered by {packages}: uninstall one, or use register_backend")
    try:
        factory = entries[0].load()
    except Exception as error:
        text = words_of(error) if isinstance(error, (ImportError, SyntaxError)) else type(error).__name__
        raise ConfigError(f"{scheme}: {entries[0].value} cannot be loaded: {text}") from error
    if not callable(factory):
        raise ConfigError(f"{scheme}: its entry point {entries[0].value} leads to no factory")
    _registered[scheme] = factory
    return cast(BackendFactory, factory)


def distinct(entries: Iterable[EntryPoint]) -> list[EntryPoint]:
    """Entry points without those of a package that is seen twice on the path."""
    return list({(entry.name, entry.value, entry.dist and entry.dist.name): entry for entry in entries}.values())


def _group(url: str, found: re.Match[str], runtime: Runtime | None, depth: int) -> Backend:
    from .group import FailoverBackend, RoundRobinBackend, WeightedBackend

    name = found[1].lower()
    if name not in _GROUPS:
        near = difflib.get_close_matches(name, _GROUPS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(_GROUPS)}"
        raise ConfigError(f"there is no group {name!r}; {hint}")
    if depth >= _MAX_DEPTH:
        raise ConfigError(f"{name}: groups are nested more than {_MAX_DEPTH} deep")
    inside, rest = _to_closing(url, found.end(), name)
    urls, weights = _split(inside), []
    if not urls:
        raise ConfigError(f"{name}: the group is empty: {name}({'1*URL 1*URL' if name == 'weighted' else 'URL URL'})")
    if name == "weighted":
        urls, weights = map(list, zip(*map(_weighed, urls), strict=True))
    elif any(re.match(r"[0-9]+\*", member) for member in urls):
        raise ConfigError(f"{name}: members have no weights here: weighted(3*URL 1*URL) has")
    members = [_made(member, runtime, depth + 1) for member in urls]
    if rest and not rest.startswith("?"):
        raise ConfigError(f"{name}: only ?options may follow the closing parenthesis")
    options = read_options(name, parse_query(name, rest[1:]), {"on_unknown": choice("keep", "resend"), "rest": seconds})
    settings: Any = {"resend_unknown": options.get("on_unknown") == "resend", "rest_s": options.get("rest", 0.0)}
    backend: Backend
    if name == "weighted":
        backend = WeightedBackend(members, weights, **settings)
    else:
        backend = (FailoverBackend if name == "failover" else RoundRobinBackend)(members, **settings)
    if runtime is not None:
        backend.attach(runtime)
    return backend


def _weighed(member: str) -> tuple[str, int]:
    """``3*URL`` as URL and weight."""
    from .group import MAX_WEIGHT

    found = _WEIGHT.fullmatch(member)
    if found is None:
        raise ConfigError("weighted: each member needs its weight and a star before its URL: weighted(3*URL 1*URL)")
    weight, url = found.groups()
    if not re.fullmatch(r"[0-9]{1,4}", weight) or not 1 <= int(weight) <= MAX_WEIGHT:
        # Words are not shown: there may be a password with a raw star.
        which = f"weight {weight}" if re.fullmatch(r"[-+.,0-9]{1,20}", weight) else "a weight"
        raise ConfigError(f"weighted: {which} must be a whole number from 1 to {MAX_WEIGHT}")
    return url, int(weight)


def _to_closing(url: str, start: int, name: str) -> tuple[str, str]:
    """What stands up to the parenthesis that closes the group, and what follows it."""
    depth = 1
    for found in re.compile(r"[()]").finditer(url, start):
        depth += 1 if found[0] == "(" else -1
        if depth == 0:
            return url[start : found.start()], url[found.end() :]
    raise ConfigError(f"{name}: the parenthesis does not close")


def _split(text: str) -> list[str]:
    """The members: parted by blanks that stand outside parentheses."""
    members, start, depth = [], 0, 0
    for found in re.finditer(r"[()]|\s+", text):
        if found[0] in "()":
            depth += 1 if found[0] == "(" else -1
        elif depth == 0:
            members.append(text[start : found.start()])
            start = found.end()
    members.append(text[start:])
    return [member for member in members if member]
