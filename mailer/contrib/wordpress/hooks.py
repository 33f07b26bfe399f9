"""WordPress' mail hooks on a mailer's registry: ``wp_mail_from`` there is ``wordpress.wp_mail_from`` here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import ConfigError, MailerError
from ...hooks import Check, Hooks
from ...hookspecs import Context
from ...receipt import Receipt
from ...registered import is_async, owner_of
from ...sources import nearest
from .letter import PHPMailer

__all__ = ["HOOKS", "PREFIX", "WPError", "WordPressContext", "WordPressHooks"]

#: Hook names with a dot are free for apps; these are WordPress'.
PREFIX = "wordpress."


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPressContext(Context):
    """The context of these hooks.

    Attributes:
        arguments: What WordPress hands over beside the value: the whole mail of ``pre_wp_mail``, and what an action is
            told.
    """

    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WPError:
    """Why a mail was not sent, as ``wp_mail_failed`` is told.

    Attributes:
        code: Always "wp_mail_failed".
        message: What happened, in words.
        data: ``to``, ``subject``, ``message``, ``headers``, ``attachments``, ``embeds``, as far as they were read.
        error: What was raised.
        receipt: What became of it for each recipient, if it came so far.
    """

    code: str = "wp_mail_failed"
    message: str
    data: dict[str, Any] = field(repr=False)
    error: MailerError = field(repr=False)
    receipt: Receipt | None = field(default=None, repr=False)


def _is_decided(value: object) -> str | None:
    return None if isinstance(value, bool) else f"{type(value).__name__}: it must return None, True or False"


@dataclass(frozen=True, slots=True)
class _Hook:
    """One of WordPress' hooks.

    Attributes:
        kind: "reference" is an action whose argument may be changed: a filter here, whose result is not looked at.
        arguments: How many a callback may be given, the value included.
        check: What a filter must return.
    """

    kind: Literal["filter", "action", "reference"]
    arguments: int
    check: Check | None = None


#: All of them, in their order.
HOOKS: dict[str, _Hook] = {
    "wp_mail": _Hook("filter", 1, dict),
    "pre_wp_mail": _Hook("filter", 2, _is_decided),
    "wp_mail_from": _Hook("filter", 1, str),
    "wp_mail_from_name": _Hook("filter", 1, str),
    "wp_mail_content_type": _Hook("filter", 1, str),
    "wp_mail_charset": _Hook("filter", 1, str),
    "wp_mail_embed_args": _Hook("filter", 1, dict),
    "phpmailer_init": _Hook("reference", 1, PHPMailer),
    "wp_mail_succeeded": _Hook("action", 1),
    "wp_mail_failed": _Hook("action", 1),
}


@dataclass(frozen=True, slots=True)
class _Filter:
    """A callback of WordPress' form as a filter of ours; equal to another of the same callback."""

    callback: Callable[..., Any]
    count: int = field(compare=False)

    def __call__(self, value: Any, context: WordPressContext) -> Any:
        return self.callback(*(value, *context.arguments)[: self.count])


@dataclass(frozen=True, slots=True)
class _AsyncFilter(_Filter):
    async def __call__(self, value: Any, context: WordPressContext) -> Any:
        return await self.callback(*(value, *context.arguments)[: self.count])


@dataclass(frozen=True, slots=True)
class _Reference(_Filter):
    def __call__(self, value: Any, context: WordPressContext) -> Any:
        self.callback(*(value,)[: self.count])
        return value


@dataclass(frozen=True, slots=True)
class _AsyncReference(_Filter):
    async def __call__(self, value: Any, context: WordPressContext) -> Any:
        await self.callback(*(value,)[: self.count])
        return value


@dataclass(frozen=True, slots=True)
class _Action:
    callback: Callable[..., Any]
    count: int = field(compare=False)

    def __call__(self, context: WordPressContext) -> Any:
        return self.callback(*context.arguments[: self.count])


@dataclass(frozen=True, slots=True)
class _AsyncAction(_Action):
    async def __call__(self, context: WordPressContext) -> Any:
        return await self.callback(*context.arguments[: self.count])


_FORMS: dict[tuple[str, bool], Any] = {
    ("filter", False): _Filter,
    ("filter", True): _AsyncFilter,
    ("reference", False): _Reference,
    ("reference", True): _AsyncReference,
    ("action", False): _Action,
    ("action", True): _AsyncAction,
}


class WordPressHooks:
    """Adding and removing by WordPress' names, callbacks of WordPress' form, on the registry of a mailer."""

    @property
    def hooks(self) -> Hooks:
        """The registry."""
        raise NotImplementedError

    def add_filter(
        self, name: str, callback: Callable[..., Any], priority: int = 10, accepted_args: int | None = None
    ) -> Literal[True]:
        """Add a callback; as in WordPress, an action may be added by this name too.

        Args:
            callback: Called with the value and what else the hook has; plain, or async for ``AsyncWordPress``.
            accepted_args: How many it is called with. None is as many as it takes, where WordPress calls with one.

        Raises:
            ConfigError: There is no such hook, the callback cannot be called, or it is async and the mailer is not.
        """
        hook = _hook(name)
        if not callable(callback):
            raise ConfigError(f"{name}: {callback!r} cannot be called")
        taken = _taken(callback) if accepted_args is None else accepted_args
        form = _FORMS[hook.kind, is_async(callback)](callback, min(taken, hook.arguments))
        add = self.hooks.add_action if hook.kind == "action" else self.hooks.add_filter
        add(PREFIX + name, form, priority, owner=owner_of(callback))
        return True

    add_action = add_filter

    def remove_filter(self, name: str, callback: Callable[..., Any], priority: int = 10) -> bool:
        """Take a callback away; False if it is not there at that priority."""
        form = _FORMS[_hook(name).kind, is_async(callback)](callback, 0)
        return self.hooks.remove(PREFIX + name, form, priority=priority) > 0

    remove_action = remove_filter

    def has_filter(self, name: str, callback: Callable[..., Any] | None = None) -> int | bool:
        """Whether anything is there; of a callback its priority, which may be 0, or False."""
        _hook(name)
        for one in self.hooks.registered():
            if one.hook == PREFIX + name:
                if callback is None:
                    return True
                if getattr(one.callback, "callback", None) == callback:
                    return one.priority
        return False

    has_action = has_filter


def _hook(name: str) -> _Hook:
    if name not in HOOKS:
        raise ConfigError(f"wp_mail has no hook {name!r}; {nearest(str(name), list(HOOKS))}")
    return HOOKS[name]


def _taken(callback: Callable[..., Any]) -> int:
    """How many arguments it takes by place."""
    try:
        parameters = inspect.signature(callback).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have none
        return 1
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return len(HOOKS)
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)
