"""What a message asks beyond Django's own attributes, with the defaults of django-anymail's settings.

``None`` takes a default of ``ANYMAIL["SEND_DEFAULTS"]`` away; an attribute that is not there, or UNSET, leaves it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.functional import Promise

from ...errors import MessageError

if TYPE_CHECKING:
    from ...relay.provider import Provider

__all__ = ["Asked", "BATCH", "anymail_setting", "asked_of", "items_of", "updated_deep"]

#: What a message asks beyond Django's own: attribute -> value; nothing in most.
Asked = Mapping[str, Any]

_UNSET: Any = type("UNSET", (), {})

# --- one value out of the defaults' and the message's -----------------------------------------------------------------


def _is_unset(value: object) -> bool:
    """Whether it is a mark that stands for nothing: ours, or django-anymail's own class of this name."""
    return value is _UNSET or (isinstance(value, type) and value.__name__ == "UNSET")


def _last(default: Any, value: Any) -> Any:
    return default if _is_unset(value) else value


def _listed(default: Any, value: Any) -> Any:
    if _is_unset(default) or default is None or _is_unset(value) or value is None:
        return _last(default, value)
    return [*items_of(default), *items_of(value)]


def items_of(value: Any) -> Iterable[Any]:
    """The items of a list; a text is one of its own."""
    return (value,) if isinstance(value, (str, Promise)) else value


def _updated(default: Any, value: Any) -> Any:
    both = isinstance(default, Mapping) and isinstance(value, Mapping)
    return {**default, **value} if both else _last(default, value)


def _updated_within(default: Any, value: Any) -> Any:
    """Each of the inner mappings too."""
    if not (isinstance(default, Mapping) and isinstance(value, Mapping)):
        return _last(default, value)
    return {**default, **{key: _updated(default.get(key, _UNSET), its) for key, its in value.items()}}


def updated_deep(default: Any, value: Any) -> Any:
    """A mapping laid over another, and so are those within; else the value, or the default if it is unset."""
    if not (isinstance(default, Mapping) and isinstance(value, Mapping)):
        return _last(default, value)
    return {**default, **{key: updated_deep(default.get(key, _UNSET), its) for key, its in value.items()}}


_Combine = Callable[[Any, Any], Any]
# Attribute -> how a default and the message's own make one value.
_STANDARD: dict[str, _Combine] = {
    "from_email": _last,
    "to": _listed,
    "cc": _listed,
    "bcc": _listed,
    "subject": _last,
    "reply_to": _listed,
    "extra_headers": _updated,
    "body": _last,
    "alternatives": _listed,
    "attachments": _listed,
}
_FURTHER: dict[str, _Combine] = {
    "envelope_sender": _last,
    "metadata": _updated,
    "send_at": _last,
    "tags": _listed,
    "track_clicks": _last,
    "track_opens": _last,
    "template_id": _last,
    "merge_data": _updated_within,
    "merge_global_data": _updated,
    "merge_headers": lambda _, value: value,
    "merge_metadata": _updated_within,
    "esp_extra": updated_deep,
}
#: Any of these makes a mail for each of To, were it empty.
BATCH = ("merge_data", "merge_metadata", "merge_headers")


def asked_of(message: Any, provider: Provider | None) -> tuple[Any, Asked]:
    """The message, in a copy with the defaults of Django's own attributes if there are any; and what else it asks.

    ``from_email`` is asked for if it is None beside a template: then the template has its own.

    Raises:
        MessageError: A value holds itself.
    """
    defaults = _defaults(provider)
    own = {name: value for name in _FURTHER if not _is_unset(value := getattr(message, name, _UNSET))}
    if not defaults and not own:
        return message, own
    if standard := _STANDARD.keys() & defaults.keys():
        message = copy.copy(message)
        for name in standard:
            combined = _STANDARD[name](defaults[name], getattr(message, name, _UNSET))
            if not _is_unset(combined):
                setattr(message, name, combined)
    asked = {}
    for name in {**own, **defaults}.keys() & _FURTHER.keys():
        value = _FURTHER[name](defaults.get(name, _UNSET), own.get(name, _UNSET))
        if value is not None and not _is_unset(value):
            asked[name] = _plain(value, name)
    if "template_id" in asked and message.from_email is None:
        message = copy.copy(message)
        message.from_email = settings.DEFAULT_FROM_EMAIL  # for the envelope
        asked["from_email"] = None
    return message, asked


#: Our name of a provider -> django-anymail's in its settings, where that is another.
_SETTING_OF = {"ses": "AMAZON_SES", "unisendergo": "UNISENDER_GO"}


def _defaults(provider: Provider | None) -> Mapping[str, Any]:
    """The app's for all messages, and over them those for this provider."""
    common: Mapping[str, Any] = anymail_setting("SEND_DEFAULTS") or {}
    if provider is None:
        return common
    name = _SETTING_OF.get(provider.name, provider.name.upper())
    its = anymail_setting(f"{name}_SEND_DEFAULTS")
    return {**common, **its} if its else common


def anymail_setting(name: str) -> Any:
    """``ANYMAIL[name]``, else ``ANYMAIL_name``; None if it is not set."""
    # What is not set is asked for with each message: of the settings themselves, for their lazy wrapper is slow at it.
    read = settings._wrapped if settings.configured else settings
    given = getattr(read, "ANYMAIL", None)
    return given[name] if given is not None and name in given else getattr(read, f"ANYMAIL_{name}", None)


_MAX_DEPTH = 50  # as in our Message


def _plain(value: Any, field: str, depth: int = 0) -> Any:
    """Django's lazy texts as texts, wherever they stand; mappings and lists as copies."""
    if depth > _MAX_DEPTH:
        raise MessageError(f"holds itself, or is nested more than {_MAX_DEPTH} deep", field=field)
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, Mapping):
        return {_plain(key, field, depth + 1): _plain(item, field, depth + 1) for key, item in value.items()}
    return [_plain(item, field, depth + 1) for item in value] if isinstance(value, (list, tuple, set)) else value
