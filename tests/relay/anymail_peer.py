"""django-anymail as a second opinion: what its backends ask of a provider for the same message."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from email import encoders
from email.mime.base import MIMEBase
from email.utils import getaddresses
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import requests
from django.conf import UserSettingsHolder, global_settings
from django.conf import settings as django_settings
from requests.adapters import BaseAdapter

from mailer import Message
from mailer.relay.exchange import Request
from mailer.testing import RelayRequest

__all__ = ["Asked", "asked_of", "configured", "differences", "peer_asks", "peer_message"]


class Asked(NamedTuple):
    """One request in a form that two programs can agree in.

    Attributes:
        line: Method and URL.
        auth: Header -> value, of those that may hold a credential.
        body: JSON, or the fields of a form: name -> its values; a file is its name, content and type.
    """

    line: str
    auth: dict[str, str]
    body: Any


class _Seen(Exception):
    """No error: the request has been seen, and goes nowhere."""


class _Adapter(BaseAdapter):
    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raise _Seen(request)

    def close(self) -> None:
        """Nothing is open."""


@contextlib.contextmanager
def configured() -> Iterator[None]:
    """Django's settings as they come, put back at the end: they belong to whoever tests Django itself."""
    before = django_settings._wrapped
    django_settings._wrapped = UserSettingsHolder(global_settings)
    try:
        yield
    finally:
        django_settings._wrapped = before


def peer_asks(name: str, keywords: Mapping[str, Any], message: Any) -> Asked:
    """What its backend of this name sends for its message; whatever it raises instead."""
    module = importlib.import_module(f"anymail.backends.{name}")
    backend = module.EmailBackend(**keywords)
    backend.open()
    try:
        backend.session.mount("https://", _Adapter())
        backend.send_messages([message])
    except _Seen as seen:
        request = seen.args[0]
    finally:
        backend.close()
    headers = {key.lower(): value for key, value in request.headers.items()}
    return _asked(request.method, request.url, headers, request.body)


def asked_of(request: Request) -> Asked:
    """What we ask."""
    return _asked(request.method, request.url, {key.lower(): value for key, value in request.headers}, request.content)


def peer_message(message: Message, **more: Any) -> Any:
    """The message as django-anymail has it.

    Args:
        more: Its own attributes for what is said otherwise: ``template_id``, ``merge_data`` ...
    """
    from anymail.message import AnymailMessage
    from django.core.mail import EmailAlternative

    made = AnymailMessage(
        subject=message.subject,
        body=message.text or "",
        from_email=", ".join(map(str, message.from_)),
        to=[str(address) for address in message.to],
        cc=[str(address) for address in message.cc],
        bcc=[str(address) for address in message.bcc],
        reply_to=[str(address) for address in message.reply_to],
        headers=_headers(message),
    )
    for content, kind in ((message.html, "text/html"), (message.amp_html, "text/x-amp-html")):
        if content is not None:
            made.attach_alternative(content, kind)
    made.alternatives += [EmailAlternative(text, kind) for kind, text in message.alternatives]
    for attachment in message.attachments:
        made.attach(_mime_of(attachment))
    for key in ("metadata", "tags", "send_at", "track_opens", "track_clicks"):
        value = getattr(message, key)
        if value not in (None, (), {}):
            setattr(made, key, dict(value) if key == "metadata" else value)
    if message.return_path is not None:
        made.envelope_sender = str(message.return_path)
    if message.provider_template is not None:
        made.template_id = message.provider_template
        made.merge_global_data = dict(message.context)
    if message.provider_options:
        made.esp_extra = dict(message.provider_options)
    for key, value in more.items():
        setattr(made, key, value)
    return made


def _headers(message: Message) -> dict[str, str]:
    headers = dict(message.headers)
    if message.sender is not None:
        headers["Sender"] = str(message.sender)
    return headers


def _mime_of(attachment: Any) -> Any:
    kind, _, more = attachment.content_type.partition(";")
    part = MIMEBase(*kind.split("/"))
    if more:
        part.set_param("charset", more.partition("=")[2])
    part.set_payload(bytes(attachment))
    encoders.encode_base64(part)
    if attachment.inline:
        part.add_header("Content-Disposition", "inline", filename=attachment.name)
        part.add_header("Content-ID", f"<{attachment.content_id}>")
    else:
        part.add_header("Content-Disposition", "attachment", filename=attachment.name)
    return part


# --- a common form ----------------------------------------------------------------------------------------------------

_CREDENTIALS = re.compile(r"authorization|(?!idempotency).*(token|key|subaccount).*")


def _asked(method: str, url: str, headers: Mapping[str, str], content: Any) -> Asked:
    kind = headers.get("content-type", "")
    content = content.encode() if isinstance(content, str) else content or b""
    body = _form(headers, content) if kind.startswith(("multipart/", "application/x-www-form")) else json.loads(content)
    auth = {key: value for key, value in headers.items() if _CREDENTIALS.fullmatch(key)}
    return Asked(f"{method} {url}", auth, _without_ids(body))


_IDS = frozenset({"mailer_id", "v:mailer_id", "anymail_id", "v:anymail_id"})


def _without_ids(value: Any) -> Any:
    """The value without the random ids that both programs give a mail, to know its events by, wherever they stand."""
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            return _without_ids(json.loads(value))
    if isinstance(value, list):
        return [_without_ids(item) for item in value if not (isinstance(item, dict) and item.get("name") in _IDS)]
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key not in _IDS}
    return value


def _form(headers: Mapping[str, str], content: bytes) -> dict[str, list[Any]]:
    fields: dict[str, list[Any]] = {}
    if headers["content-type"].startswith("application/x-www-form"):
        for name, value in parse_qsl(content.decode(), keep_blank_values=True):
            fields.setdefault(name, []).append(value)
        return fields
    boundary = headers["content-type"].partition("boundary=")[2].encode()
    types = [_PART_TYPE.search(part.partition(b"\r\n\r\n")[0]) for part in content.split(b"--" + boundary)[1:-1]]
    parts = zip(RelayRequest("POST", "/", headers, content).form, types, strict=True)
    for (name, value, filename), kind in parts:
        is_file = filename is not None and isinstance(value, bytes)
        fields.setdefault(name, []).append([filename, value.hex(), kind and kind[1].decode()] if is_file else value)
    return fields


_PART_TYPE = re.compile(rb"content-type: *([^\r\n]*)", re.IGNORECASE)


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two values in JSON differ: path, and what each has; ... where it has nothing."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from differences(ours.get(key, ...), theirs.get(key, ...), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(*pair, f"{path}[{number}]")
    elif _read(ours) != _read(theirs):
        yield path, ours, theirs


def _read(value: Any) -> Any:
    """What a list of addresses, or a content type, says, however it is quoted; what is empty says nothing."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if _read(item) is not ...}
    if value in ("", [], {}, [""]):
        return ...
    if not isinstance(value, str):
        return value
    text = value
    if "@" in text and (pairs := getaddresses([text])) and all("@" in address for _, address in pairs):
        return pairs
    return re.sub(r'; charset="([a-z0-9-]+)"', r"; charset=\1", text)
