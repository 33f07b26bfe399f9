"""What a request to SES is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import header
from ..address import Address
from ..attachment import Attachment
from ..errors import MessageError
from ..message import Message
from .letter import Letter, base64_text, unfolded

__all__ = [
    "MAX_HEADERS",
    "MAX_VALUE",
    "destination",
    "fits",
    "fitting_headers",
    "headers",
    "mailbox",
    "parts",
    "simple",
    "template",
    "template_data",
]

MAX_HEADERS = 15
MAX_VALUE = 995
_MAX_NAME = 126


def mailbox(address: Address) -> str:
    """A name is an encoded-word where it is not ASCII, the domain in A-labels."""
    return unfolded(header.addresses("To", [address]))


def destination(letter: Letter, *, is_raw: bool = False) -> dict[str, list[str]]:
    """Exactly the envelope's recipients. Names would say nothing beside a mail as it is."""
    lists = {"ToAddresses": letter.to, "CcAddresses": letter.cc, "BccAddresses": letter.bcc}
    return {
        key: [address.ascii if is_raw else mailbox(address) for address in addresses]
        for key, addresses in lists.items()
        if addresses
    }


def simple(message: Message) -> dict[str, Any]:
    """Subject and texts."""
    body = {}
    if message.text is not None or message.html is None:
        body["Text"] = _text(message.text or "")
    if message.html is not None:
        body["Html"] = _text(message.html)
    return {"Subject": _text(message.subject), "Body": body}


def _text(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": "UTF-8"}


def template(message: Message, data: str) -> dict[str, Any]:
    """A stored template, by its name or ARN, and its variables as JSON."""
    name = message.provider_template or ""
    return {"TemplateArn" if name.startswith("arn:") else "TemplateName": name, "TemplateData": data}


def template_data(message: Message) -> str:
    """A template's variables as JSON.

    Raises:
        MessageError: There is one that JSON cannot hold.
    """
    try:
        return json.dumps(dict(message.context), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(f"holds what JSON cannot: {error}", field="context") from error


def parts(letter: Letter) -> dict[str, Any]:
    """Headers and attachments, as simple content and a template have them."""
    made: dict[str, Any] = {}
    if fitting := fitting_headers(letter):
        made["Headers"] = fitting
    files = [_file(attachment, "ATTACHMENT") for attachment in letter.files]
    shown = [_file(attachment, "INLINE") | {"ContentId": attachment.content_id} for attachment in letter.inline]
    if files or shown:
        made["Attachments"] = [*files, *shown]
    return made


def headers(letter: Letter) -> list[dict[str, str]]:
    """The custom ones, in ASCII."""
    return [{"Name": name, "Value": unfolded(header.custom(name, value))} for name, value in letter.headers]


def fitting_headers(letter: Letter) -> list[dict[str, str]]:
    """Those that it takes."""
    return [item for item in headers(letter) if fits(item)][:MAX_HEADERS]


def fits(item: Mapping[str, str]) -> bool:
    """Whether a header is no longer than it takes."""
    return len(item["Name"]) <= _MAX_NAME and 1 <= len(item["Value"]) <= MAX_VALUE


def _file(attachment: Attachment, disposition: str) -> dict[str, Any]:
    return {
        "RawContent": base64_text(attachment),
        "FileName": attachment.name,
        "ContentType": attachment.content_type,
        "ContentDisposition": disposition,
        "ContentTransferEncoding": "BASE64",
    }
