"""django-anymail's attributes of a Django message, as they work there: ../howto/from-anymail.md

========================  ============================================================================================
on the message            of ours
========================  ============================================================================================
``tags metadata``         ``tags metadata``
``send_at``               ``send_at``: a datetime, a date (its midnight), a unix time or text; naive is Django's zone
``track_opens/_clicks``   ``track_opens track_clicks``
``envelope_sender``       ``return_path``, or the provider's own field for it
``template_id``           ``provider_template``; beside it ``from_email`` may be None, where the template has one
``merge_global_data``     ``context``
``merge_data``            ``merge_data``: a mail for each of To, also where it is empty; without a template it fills in
``merge_metadata``        what the texts say in their provider's syntax (:mod:`.placeholders`)
``merge_headers``
``esp_extra``             ``provider_options``
========================  ============================================================================================

Nothing of django-anymail is imported. Its defaults: :mod:`.asked`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils.timezone import get_current_timezone, is_naive, make_aware

from ...address import Address
from ...errors import AddressError, MessageError, UnsupportedFeature
from .asked import BATCH, Asked, anymail_setting, asked_of, items_of, updated_deep
from .placeholders import fill_all, fill_each

if TYPE_CHECKING:
    from ...relay.provider import Provider

__all__ = ["beside_content", "fields_with"]

# --- what it asks as fields of our message ----------------------------------------------------------------------------


def fields_with(fields: dict[str, Any], asked: Asked, provider: Provider | None) -> dict[str, Any]:
    """The fields of our Message, with what the message asks beyond Django's own.

    Raises:
        MessageError: A value is not what the attribute takes.
        UnsupportedFeature: ``esp_extra`` says what only the account's own settings do.
    """
    if not asked and "return_path" not in fields:
        return fields
    for name in _MAPPINGS & asked.keys():
        if not isinstance(asked[name], Mapping) or not all(isinstance(key, str) for key in asked[name]):
            raise MessageError("must be a mapping, its keys texts", field=name)
    options, inline = _options(dict(asked.get("esp_extra", {})), provider)
    for ours, name, convert in _FIELDS:
        if name in asked:
            fields[ours] = convert(asked[name])
    template = asked.get("template_id")
    if template is not None:  # Django's own "" is no text beside it
        fields |= {name: None for name in ("text", "html") if not fields.get(name)}
    fields |= _merged(fields, asked, None if template is not None else inline)
    if "from_email" in asked and provider is not None:
        options = updated_deep(_WITHOUT_FROM.get(provider.name, {}), options)
    if options := updated_deep(_sender_options(fields, provider), options):
        fields["provider_options"] = options
    return fields


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, OSError, ValueError) as error:
            raise MessageError(f"{value} is no unix time in seconds", field="send_at") from error
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # midnight in Django's zone
    if not isinstance(value, datetime):
        raise MessageError(f"must be a datetime, a date or a unix time, not {type(value).__name__}", field="send_at")
    return make_aware(value, get_current_timezone()) if is_naive(value) else value


def _read(text: str) -> datetime:
    """ISO 8601 or RFC 5322; without a zone it is UTC, as the providers read what they are sent."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = read(text.strip())
        except ValueError:
            continue
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    raise MessageError(f"{text!r} is no time in ISO 8601 or RFC 5322", field="send_at")


def _sender(value: Any) -> Address:
    return Address.of(str(value), field="envelope_sender")


def _tags(value: Any) -> list[Any]:
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise MessageError(f"must be a list of texts, not {type(value).__name__}", field="tags")
    return [str(tag) if isinstance(tag, int) else tag for tag in items_of(value)]


def _template(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)) or value == "":
        raise MessageError("must be the name, number or UUID of a stored template", field="template_id")
    return str(value)


_MAPPINGS = {"metadata", "merge_global_data", "esp_extra"}
# (our field, attribute, how it becomes ours)
_FIELDS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("return_path", "envelope_sender", _sender),
    ("metadata", "metadata", dict),
    ("send_at", "send_at", _moment),
    ("tags", "tags", _tags),
    ("track_clicks", "track_clicks", bool),
    ("track_opens", "track_opens", bool),
    ("provider_template", "template_id", _template),
)


# --- merge ------------------------------------------------------------------------------------------------------------


def _merged(fields: Mapping[str, Any], asked: Asked, inline: str | None) -> dict[str, Any]:
    """The fields that merge: a mail for each of To if any of the three is there, were it empty.

    Args:
        inline: How a placeholder of SendGrid's is written; None: the texts are a stored template's.
    """
    common = asked.get("merge_global_data", {})
    if not any(name in asked for name in BATCH):
        return fill_all(fields, common, inline) if inline is not None and common else {"context": common}
    to = fields["to"]
    data, metadata, headers = [_for(to, asked.get(name, {}), name) for name in BATCH]
    merged: dict[str, Any] = {
        "context": common,
        "merge_data": data,
        "merge_metadata": metadata or {address.addr_spec: {} for address in to},  # which alone makes a mail for each
        "merge_headers": {key: {name: str(value) for name, value in its.items()} for key, its in headers.items()},
    }
    return merged | (fill_each({**fields, **merged}, inline) if inline is not None else {})


def _for(to: Iterable[Address], given: Any, name: str) -> dict[str, Mapping[str, Any]]:
    """What is said of those whom the message is for; others are let be."""
    inner = given.values() if isinstance(given, Mapping) else [None]
    if not all(isinstance(its, Mapping) and all(isinstance(key, str) for key in its) for its in inner):
        raise MessageError("must be a mapping of addresses to mappings, whose keys are texts", field=name)
    known = {address.addr_spec for address in to}
    found = {}
    for key, its in given.items():
        try:
            addr_spec = Address.of(str(key)).addr_spec
        except AddressError:
            continue
        if addr_spec in known:
            found[addr_spec] = its
    return found


# --- esp_extra, and what only some providers have a field for ---------------------------------------------------------

_TOKENS = {"postmark": "server_token", "mailersend": "api_token"}


def _options(extra: dict[str, Any], provider: Provider | None) -> tuple[dict[str, Any], str]:
    """``provider_options``, and how SendGrid's placeholders are written ("" for any other provider)."""
    name = provider.name if provider is not None else ""
    inline = ""
    if (token := _TOKENS.get(name)) in extra:
        text = f"{token} is another account: send by a mailer of its own, MAILERS or get_connection(url=...)"
        raise UnsupportedFeature(text, field="esp_extra")
    if name == "sendgrid":
        inline = extra.pop("merge_field_format", None) or anymail_setting("SENDGRID_MERGE_FIELD_FORMAT") or "{}"
        extra.pop("use_dynamic_template", None)
    elif name == "mailersend":
        extra.pop("batch_send_mode", None)  # each gets a mail that names nobody else, whatever it takes
    elif name == "mailgun" and "sender_domain" in extra:
        extra["domain"] = extra.pop("sender_domain")
    elif name == "mailjet":
        if "SandboxMode" in extra:
            raise UnsupportedFeature("SandboxMode is the whole request's: give the URL ?sandbox=yes", field="esp_extra")
        extra |= extra.pop("Globals", {})
    elif name == "mandrill":
        extra |= _mandrill(extra)
    return extra, inline


def _mandrill(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings where it takes lists of names and values."""
    made: dict[str, Any] = {}
    content, within = extra.get("template_content"), extra.get("message")
    if isinstance(content, Mapping):
        made["template_content"] = [{"name": key, "content": value} for key, value in content.items()]
    if isinstance(within, Mapping) and isinstance(each := within.get("recipient_metadata"), Mapping):
        listed = [{"rcpt": rcpt, "values": values} for rcpt, values in each.items()]
        made["message"] = {**within, "recipient_metadata": listed}
    return made


# Provider -> what says the envelope sender there, where the API has a field for it, or for its domain alone.
_SENDERS: dict[str, Callable[[Address], dict[str, Any]]] = {
    "mailgun": lambda sender: {"domain": _domain_of(sender)},
    "mandrill": lambda sender: {"message": {"return_path_domain": _domain_of(sender)}},
    "sparkpost": lambda sender: {"return_path": sender.ascii},
    "mailjet": lambda sender: {"Sender": {"Email": sender.ascii} | ({"Name": sender.name} if sender.name else {})},
    "postal": lambda sender: {"sender": str(sender)},
}


# Provider whose stored templates have a From -> what takes ours away. SparkPost is never given one beside a template.
_WITHOUT_FROM: dict[str, dict[str, Any]] = {
    "mandrill": {"message": {"from_email": None, "from_name": None}},
    "mailjet": {"From": None},
    "brevo": {"sender": None},
    "mailersend": {"from": None},
    "unisendergo": {"from_email": None, "from_name": None},
}


def _domain_of(address: Address) -> str:
    return address.ascii.rpartition("@")[2]


def _sender_options(fields: dict[str, Any], provider: Provider | None) -> dict[str, Any]:
    """The envelope sender as the provider takes it; then it is no field any more."""
    sender = fields.get("return_path")
    if sender is None or provider is None or provider.features.return_path or provider.name not in _SENDERS:
        return {}
    del fields["return_path"]
    return _SENDERS[provider.name](sender)


# --- beside ready-made mail -------------------------------------------------------------------------------------------

_ADVICE = ("tags", "metadata", "track_opens", "track_clicks")


def beside_content(message: Any, provider: Provider | None) -> tuple[Any, list[str]]:
    """What a message asks that builds itself, and so goes as it is: its envelope sender, or its From; and notes.

    Raises:
        UnsupportedFeature: It asks for what would change who gets what, and when.
    """
    message, asked = asked_of(message, provider)
    text = "is not carried beside a message that builds itself, or has a To of its own in its headers"
    if must := asked.keys() - {*_ADVICE, "envelope_sender"}:
        raise UnsupportedFeature(text, field=min(must))
    return asked.get("envelope_sender", message.from_email), [f"{name} {text}" for name in _ADVICE if name in asked]
