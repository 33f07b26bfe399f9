"""The message: what an app writes. Wide in, narrow stored; a wrong one cannot be built."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypedDict

from .address import Address
from .attachment import Attachment, media_type
from .delivery import DeliveryOptions
from .envelope import NULL_SENDER, NullSender
from .errors import AddressError, HeaderError, MessageError
from .field import SINGLE_FIELDS, field_name, line, prose, reads_json, several, shown, token_id
from .twin import twin_of

if TYPE_CHECKING:
    from email.message import Message as StandardMessage
    from typing import Unpack

__all__ = ["AddressLike", "Addresses", "FrozenDict", "Message", "MessageFields"]

#: One mailbox: an Address, a string with exactly one mailbox, or (name, addr-spec).
AddressLike = Address | str | tuple[str, str]
#: One mailbox or several.
Addresses = AddressLike | Iterable[AddressLike]


class MessageFields(TypedDict, total=False):
    """What ``Message(...)`` and ``message.with_(...)`` take. What each means: :class:`Message`."""

    from_: Addresses | None
    to: Addresses | None
    cc: Addresses | None
    bcc: Addresses | None
    reply_to: Addresses | None
    sender: AddressLike | None
    subject: str
    text: str | Literal[False] | None
    html: str | None
    amp_html: str | None
    alternatives: Iterable[tuple[str, str]]
    attachments: Iterable[Attachment | os.PathLike[str]]
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | None
    template: str | None
    context: Mapping[str, Any] | None
    locale: str | None
    tags: str | Iterable[str]
    metadata: Mapping[str, Any] | None
    send_at: datetime | None
    priority: int | str | None
    track_opens: bool | None
    track_clicks: bool | None
    merge_data: Mapping[str, Mapping[str, Any]] | None
    merge_metadata: Mapping[str, Mapping[str, Any]] | None
    merge_headers: Mapping[str, Mapping[str, str]] | None
    provider_template: str | None
    provider_options: Mapping[str, Any] | None
    return_path: AddressLike | NullSender | None
    idempotency_key: str | None
    message_id: str | None
    date: datetime | None
    delivery: DeliveryOptions | None


class FrozenDict(dict[str, Any]):
    """A mapping inside a frozen value: reads, compares, pickles and serialises as a dict; cannot be changed."""

    __slots__ = ()

    def __new__(cls, *items: Any, **more: Any) -> FrozenDict:
        self = super().__new__(cls)
        dict.update(self, *items, **more)
        return self

    def __init__(self, *items: Any, **more: Any) -> None:
        """Nothing: ``__new__`` has filled it, once."""

    def _frozen(self, *_args: object, **_more: object) -> NoReturn:
        raise TypeError("this mapping belongs to a frozen value: copy it with dict(...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _frozen

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenDict, (dict(self),))


class FrozenList(list[Any]):
    """A list inside a frozen value: reads, compares, pickles and serialises as a list; cannot be changed."""

    __slots__ = ()

    def __init__(self, items: Iterable[Any] = ()) -> None:
        if not self:
            super().__init__(items)

    def _frozen(self, *_args: object, **_more: object) -> NoReturn:
        raise TypeError("this list belongs to a frozen value: copy it with list(...)")

    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = remove = _frozen
    reverse = sort = _frozen

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenList, (list(self),))


_MAX_DEPTH = 50  # mappings and lists within each other

# --- from wide to narrow: one function for each kind of field ---------------------------------------------------------


def _addresses(value: Any, field: str) -> tuple[Address, ...]:
    if value is None:
        return ()
    if isinstance(value, (str, Address)) or (
        isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)
    ):
        return (Address.of(value, field=field),)
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise AddressError(f"must be one address or a list of them, not {type(value).__name__}", field=field)
    return tuple([item if type(item) is Address else Address.of(item, field=field) for item in value])


def _address(value: Any, field: str) -> Address | None:
    return None if value is None else Address.of(value, field=field)


def _return_path(value: Any, field: str) -> Address | NullSender | None:
    return value if value is NULL_SENDER else _address(value, field)


def _subject(value: Any, field: str) -> str:
    return line(value, field).strip(" \t")


def _line(value: Any, field: str) -> str | None:
    return None if value is None else line(value, field)


def _key(value: Any, field: str) -> str | None:
    if value is not None and not (line(value, field).isascii() and 1 <= len(value) <= 255):
        raise MessageError(f"{shown(value)} is not 1-255 ASCII characters", field=field)
    return value  # type: ignore[no-any-return]


def _prose(value: Any, field: str) -> str | None:
    return None if value is None else prose(value, field)


def _text(value: Any, field: str) -> str | Literal[False] | None:
    return value if value is None or value is False else prose(value, field)


def _alternatives(value: Any, field: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in several(value, field):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise MessageError("each must be (content type, text)", field=field)
        kind, _ = media_type(pair[0], field)
        if not kind.startswith("text/"):
            raise MessageError(f"{kind} is not text: attach it instead", field=field)
        pairs.append((pair[0], prose(pair[1], field)))
    return tuple(pairs)


def _attachments(value: Any, field: str) -> tuple[Attachment, ...]:
    if isinstance(value, (Attachment, str, bytes, os.PathLike)):
        raise MessageError("give a list of attachments", field=field)
    return tuple(Attachment.of(item) for item in several(value, field))


def _headers(value: Any, field: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    seen = set()
    for pair in value.items() if isinstance(value, Mapping) else several(value, field, error=HeaderError):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise HeaderError("give a mapping or (name, value) pairs", field=field)
        name = field_name(pair[0])
        text = line(pair[1], name, error=HeaderError).strip(" \t")
        lower = name.lower()
        if lower in SINGLE_FIELDS and lower in seen:
            raise HeaderError("may stand only once (RFC 5322 section 3.6)", field=name)
        seen.add(lower)
        pairs.append((name, text))
    return tuple(pairs)


def _strings(value: Any, field: str) -> tuple[str, ...]:
    return tuple(line(item, field) for item in ((value,) if isinstance(value, str) else several(value, field)))


def _checked_strings(value: Any, field: str) -> None:
    """Every string in a JSON-like value fits a header: these reach X-headers and provider fields."""
    if isinstance(value, str):
        line(value, field)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            line(key, field)
            _checked_strings(item, field)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _checked_strings(item, field)


def _mapping(value: Any, field: str) -> FrozenDict:
    if value is not None and not isinstance(value, Mapping):
        raise MessageError(f"must be a mapping, not {type(value).__name__}", field=field)
    return FrozenDict({line(key, field): _frozen(item, field) for key, item in (value or {}).items()})


def _frozen(value: Any, field: str, around: tuple[int, ...] = ()) -> Any:
    """Plain dicts and lists, and what is in them, as frozen copies; anything else as it is."""
    if type(value) not in (dict, list):
        return value
    if id(value) in around or len(around) == _MAX_DEPTH:
        if field == "context":  # holds whatever its templates read
            return value
        raise MessageError(f"holds itself, or is nested more than {_MAX_DEPTH} deep", field=field)
    around = (*around, id(value))
    if type(value) is list:
        return FrozenList([_frozen(item, field, around) for item in value])
    return FrozenDict({key: _frozen(item, field, around) for key, item in value.items()})


def _metadata(value: Any, field: str) -> FrozenDict:
    stored = _mapping(value, field)
    _checked_strings(stored, field)
    return stored


def _merge(value: Any, field: str) -> FrozenDict:
    """Per recipient: addr-spec -> mapping."""
    return FrozenDict(
        {
            Address.of(address, field=field).addr_spec: _mapping(item, field)
            for address, item in _mapping(value, field).items()
        }
    )


def _merge_metadata(value: Any, field: str) -> FrozenDict:
    stored = _merge(value, field)
    _checked_strings(stored, field)
    return stored


def _merge_headers(value: Any, field: str) -> FrozenDict:
    return FrozenDict({key: FrozenDict(_headers(item, field)) for key, item in _merge(value, field).items()})


def _time(value: Any, field: str) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise MessageError(f"must be a datetime, not {type(value).__name__}", field=field)
    if value.utcoffset() is None:
        raise MessageError("is naive: give it a time zone, e.g. datetime.now(timezone.utc)", field=field)
    return value


_PRIORITIES = {"highest": 1, "high": 2, "normal": 3, "low": 4, "lowest": 5}


def _priority(value: Any, field: str) -> int | None:
    level = _PRIORITIES.get(value.lower()) if isinstance(value, str) else value
    if value is not None and (isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= 5):
        raise MessageError(f"{shown(value)} is not 1 (highest) to 5, nor one of {', '.join(_PRIORITIES)}", field=field)
    return level


def _flag(value: Any, field: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise MessageError(f"must be True, False or None, not {shown(value)}", field=field)
    return value


def _message_id(value: Any, field: str) -> str | None:
    return None if value is None else f"<{token_id(value, field, needs_at=True)}>"


def _delivery(value: Any, field: str) -> DeliveryOptions | None:
    if value is not None and not isinstance(value, DeliveryOptions):
        raise MessageError(f"must be DeliveryOptions, not {type(value).__name__}", field=field)
    return value


# Field -> how what was given becomes what is stored, and what stands there when nothing was given.
_EMPTY = FrozenDict()
_NARROW: dict[str, tuple[Callable[[Any, str], Any], Any]] = {
    "from_": (_addresses, ()),
    "to": (_addresses, ()),
    "cc": (_addresses, ()),
    "bcc": (_addresses, ()),
    "reply_to": (_addresses, ()),
    "sender": (_address, None),
    "subject": (_subject, ""),
    "text": (_text, None),
    "html": (_prose, None),
    "amp_html": (_prose, None),
    "alternatives": (_alternatives, ()),
    "attachments": (_attachments, ()),
    "headers": (_headers, ()),
    "template": (_line, None),
    "context": (_mapping, _EMPTY),
    "locale": (_line, None),
    "tags": (_strings, ()),
    "metadata": (_metadata, _EMPTY),
    "send_at": (_time, None),
    "priority": (_priority, None),
    "track_opens": (_flag, None),
    "track_clicks": (_flag, None),
    "merge_data": (_merge, _EMPTY),
    "merge_metadata": (_merge_metadata, _EMPTY),
    "merge_headers": (_merge_headers, _EMPTY),
    "provider_template": (_line, None),
    "provider_options": (_mapping, _EMPTY),
    "return_path": (_return_path, None),
    "idempotency_key": (_key, None),
    "message_id": (_message_id, None),
    "date": (_time, None),
    "delivery": (_delivery, None),
}


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Message:
    """What is to be said, to whom. Frozen; ``with_``, ``attach`` and ``inline`` give copies.

    Every field is a keyword and optional. An address is an :class:`Address`, a string with one mailbox
    (``"Ann <ann@example.org>"``) or ``(name, addr-spec)``; several are a list. Comparable, picklable, not hashable.

    Attributes:
        from_: Who wrote it; none takes the mailer's own ``from_``. Several need ``sender`` (RFC 5322 section 3.6.2).
        to: The To field. Recipients are To, Cc and Bcc together.
        cc: The Cc field.
        bcc: In the envelope only; written nowhere.
        reply_to: The Reply-To field.
        sender: The Sender field, and the envelope sender unless ``return_path`` is given.
        subject: One line; blanks at its ends are dropped.
        text: The text/plain part, any line ends; "" is an empty part, None no part. Where there is a template, None
            takes the template's, else derives one from the html; False leaves it out (and is None once rendered).
        html: The text/html part.
        amp_html: The text/x-amp-html part.
        alternatives: More ways to show it, (content type, text), plainest first:
            ``("text/calendar; method=REQUEST", ics)``.
        attachments: Files and inline images.
        headers: Further header fields, a mapping or pairs; repeats are kept. What has a field here cannot stand there.
        template: Renders subject, text and html from templates of this name.
        context: The template's variables.
        locale: The template's language, "de" or "de_AT".
        tags: Labels for the provider's statistics.
        metadata: Data that the provider repeats in its events.
        send_at: Not before this time; with a time zone.
        priority: 1 (highest) to 5, or "high", "normal", "low".
        track_opens: Ask the provider to track opens; None leaves it to its settings.
        track_clicks: Ask the provider to track clicks.
        merge_data: Per recipient, addr-spec to variables.
        merge_metadata: Per recipient, addr-spec to metadata.
        merge_headers: Per recipient, addr-spec to header fields.
        provider_template: A template stored at the provider.
        provider_options: Passed to the provider as they are.
        return_path: The envelope sender, if another than Sender or From; ``NULL_SENDER`` for ``<>``.
        idempotency_key: 1-255 ASCII characters that a provider uses to send only once; None takes the mail's id.
        message_id: The Message-ID, with or without angle brackets; None makes one.
        date: The Date field, with a time zone; None is now.
        delivery: What is asked of the transport.

    Raises:
        MessageError: A value is wrong; ``.field`` names it. AddressError and HeaderError are its kinds.
        TypeError: There is no such field.
    """

    from_: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    sender: Address | None
    subject: str
    text: str | None
    html: str | None
    amp_html: str | None
    alternatives: tuple[tuple[str, str], ...]
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...]
    template: str | None
    context: FrozenDict
    locale: str | None
    tags: tuple[str, ...]
    metadata: FrozenDict
    send_at: datetime | None
    priority: int | None
    track_opens: bool | None
    track_clicks: bool | None
    merge_data: FrozenDict
    merge_metadata: FrozenDict
    merge_headers: FrozenDict
    provider_template: str | None
    provider_options: FrozenDict
    return_path: Address | NullSender | None
    idempotency_key: str | None
    message_id: str | None
    date: datetime | None
    delivery: DeliveryOptions | None

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, **fields: Unpack[MessageFields]) -> None:
        for put, value in _DEFAULTS:
            put(self, value)
        _put(self, fields)

    def with_(self, **changes: Unpack[MessageFields]) -> Message:
        """A copy with other values for the fields named, checked as ``Message(...)`` checks them."""
        copy = _copied(self)
        _put(copy, changes)
        return copy

    def attach(self, *attachments: Attachment | os.PathLike[str]) -> Message:
        """A copy with these attachments behind those it has."""
        return self.with_(attachments=(*self.attachments, *attachments))

    def inline(self, *attachments: Attachment | os.PathLike[str]) -> Message:
        """A copy with these shown inside the html, which names them as ``cid:`` and their content id.

        Without a content id, the file name serves (``cid:logo.png``).
        """
        shown_inside = (Attachment.of(a) for a in attachments)
        return self.attach(*(a.with_(inline=True, content_id=a.content_id or _cid(a.name)) for a in shown_inside))

    @classmethod
    def from_email_message(cls, message: StandardMessage) -> Message:
        """Read the standard library's ``EmailMessage`` (or ``email.mime``) into fields, so that it can be filtered.

        To send ready-made bytes as they are, use ``mailer.send_raw``.

        Raises:
            MessageError: It holds what fields cannot say, such as a signed or encrypted part.
        """
        from .standard import message_of

        return message_of(message)

    def __repr__(self) -> str:
        said = [name for name in _NARROW if getattr(self, name) not in (None, (), {}, "")]
        return f"<Message with {', '.join(said) or 'nothing'}>"

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: keys are the field names (``from`` without underscore), unset ones left out.

        Raises:
            MessageError: A value, such as an object in ``context``, is not JSON.
        """
        data: dict[str, Any] = {}
        for name, (_, default) in _NARROW.items():
            value = getattr(self, name)
            if value != default or type(value) is not type(default):
                data["from" if name == "from_" else name] = _as_json(value, name)
        return data

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> Message:
        """Read back what :meth:`to_dict` gave; unknown keys are ignored, wrong values raise :class:`MessageError`."""
        fields: dict[str, Any] = {}
        for name in _NARROW:
            key = "from" if name == "from_" else name
            if key in data:
                try:
                    fields[name] = _FROM_JSON.get(name, _same)(data[key])
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    raise MessageError(f"{shown(data[key])} is not what to_dict writes", field=name) from error
        return cls(**fields)


# The annotation above keeps type checkers from hashing messages; this keeps Python from it.
Message.__hash__ = None

_FIELDS = {name: (narrow, getattr(Message, name).__set__) for name, (narrow, _) in _NARROW.items()}
_DEFAULTS = [(_FIELDS[name][1], default) for name, (_, default) in _NARROW.items()]
_Twin = twin_of(Message)


def _put(message: Message, given: Mapping[str, Any]) -> None:
    """Store what is given, narrowed."""
    for name, value in given.items():
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, 1)
            raise TypeError(f"Message has no field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        narrow, put = _FIELDS[name]
        put(message, narrow(value, name))


def _copied(message: Message) -> Message:
    """The same in another object, field by field: a loop takes four times as long, and each merged mail has a copy."""
    copy = _Twin()
    copy.from_ = message.from_
    copy.to = message.to
    copy.cc = message.cc
    copy.bcc = message.bcc
    copy.reply_to = message.reply_to
    copy.sender = message.sender
    copy.subject = message.subject
    copy.text = message.text
    copy.html = message.html
    copy.amp_html = message.amp_html
    copy.alternatives = message.alternatives
    copy.attachments = message.attachments
    copy.headers = message.headers
    copy.template = message.template
    copy.context = message.context
    copy.locale = message.locale
    copy.tags = message.tags
    copy.metadata = message.metadata
    copy.send_at = message.send_at
    copy.priority = message.priority
    copy.track_opens = message.track_opens
    copy.track_clicks = message.track_clicks
    copy.merge_data = message.merge_data
    copy.merge_metadata = message.merge_metadata
    copy.merge_headers = message.merge_headers
    copy.provider_template = message.provider_template
    copy.provider_options = message.provider_options
    copy.return_path = message.return_path
    copy.idempotency_key = message.idempotency_key
    copy.message_id = message.message_id
    copy.date = message.date
    copy.delivery = message.delivery
    copy.__class__ = Message
    return copy  # type: ignore[no-any-return]  # it has become one


def _cid(name: str) -> str:
    return re.sub(r"[^!-;=?-~]", "_", name)


def _same(value: Any) -> Any:
    return value


def _as_json(value: Any, field: str) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if value is NULL_SENDER:
        return NULL_SENDER.value
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_as_json(item, field) for item in value]
    if isinstance(value, FrozenDict):
        try:
            return json.loads(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise MessageError(f"holds what JSON cannot: {error}", field=field) from error
    return value


def _addresses_from(data: Any) -> Any:
    if not isinstance(data, list):
        return data
    return [_address_from(item) for item in data] if isinstance(data, list) else data


def _address_from(data: Any) -> Any:
    if data == NULL_SENDER.value:
        return NULL_SENDER
    return Address.from_dict(data) if isinstance(data, Mapping) else data


def _time_from(data: Any) -> Any:
    return datetime.fromisoformat(data) if isinstance(data, str) else data


_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("from_", "to", "cc", "bcc", "reply_to"), _addresses_from),
    **dict.fromkeys(("sender", "return_path"), _address_from),
    **dict.fromkeys(("send_at", "date"), _time_from),
    "attachments": lambda data: [Attachment.from_dict(item) for item in data or ()],
    "alternatives": lambda data: [tuple(pair) for pair in data or ()],
    "headers": lambda data: [tuple(pair) for pair in data or ()],
    "delivery": lambda data: DeliveryOptions.from_dict(data) if data is not None else None,
}
