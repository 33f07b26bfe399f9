"""Azure Communication Services: https://learn.microsoft.com/en-us/rest/api/communication/email/email/send

``azure://ACCESS-KEY@RESOURCE``, the key percent-encoded, or the resource's whole host in its place; without a key, with
access tokens (their scope is ``https://communication.azure.com/.default``). What it accepts is queued: what becomes of
it comes by its events. The name of the sender is the one that is set there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import header
from ..address import Address
from ..attachment import Attachment
from ..errors import ConfigError
from ..features import Features, Limits
from ..mail import Mail
from ..message import Message
from ..receipt import Receipt
from ..redaction import forgets_arguments
from .exchange import Request, Response, with_host
from .letter import Letter, base64_text, unfolded
from .meaning import SETTINGS, UNKNOWN
from .option import base_url
from .provider import Junk, Provider, merged

if TYPE_CHECKING:
    from typing import Self

    from ..backends.options import BackendURL

__all__ = ["Azure"]

_TAKEN = ("recipients", "to", "cc", "bcc")
_VERSION = "2025-09-01"
_RESOURCE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_OPERATION = re.compile(r"/emails/operations/([A-Za-z0-9-]{1,64})(?:\?|$)", re.ASCII)
_OURS = frozenset({"authorization", "x-ms-content-sha256", "x-ms-date"})
_UNDER_WAY = frozenset({"NotStarted", "Running", "Succeeded"})
_FAILED = frozenset({"Failed", "Canceled"})


class Azure(Provider):
    """Azure's API for email, of one resource."""

    name = "azure"
    bases = {}
    features = Features.of_api(tracking=True)
    has_unique_headers = True
    needs_to = True
    limits = Limits(size_bytes=10_000_000)
    statuses = {
        404: SETTINGS,  # the path is always the same: there is no such resource, or no such domain in it
        409: UNKNOWN,  # an operation of this mail's id exists already
    }

    @forgets_arguments
    def __init__(self, token: str = "", *, base: str) -> None:
        """Make it for a resource.

        Args:
            token: One of its access keys, in base64; "" signs in with access tokens.
            base: The resource's base URL, "https://NAME.communication.azure.com". Trust it.

        Raises:
            ConfigError: The key cannot be one.
        """
        if not token:
            self.signs_with = "token"
        super().__init__(token, base=base)
        try:
            self._key = base64.b64decode(token, validate=True)
        except binascii.Error:
            raise ConfigError("azure: the access key must be base64, percent-encoded: azure://KEY@RESOURCE") from None

    @classmethod
    def from_url(cls, url: BackendURL, **options: Any) -> Self:
        """Make it from ``azure://ACCESS-KEY@RESOURCE``, or without a key."""
        if url.password is not None:
            raise ConfigError("azure: the URL needs the access key alone before the '@': azure://KEY@RESOURCE")
        is_http = options.pop("scheme", "https") == "http"
        is_name = _RESOURCE.fullmatch(url.host) and url.host not in ("default", "localhost")
        if is_name and url.port is None and not is_http:
            url.refuse("path")
            return cls(url.username or "", base=f"https://{url.host}.communication.azure.com", **options)
        return cls(url.username or "", base=base_url(url, {}, is_http=is_http), **options)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The access key."""
        return (self.token,)

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: the sender's name, and tracking of one kind alone."""
        yield from super().left_out(letter)
        message = letter.message
        if message.from_[0].name:
            yield "names", f"of From are not carried by {self.name}, which has its own for each address", True
        if {message.track_opens, message.track_clicks} == {True, False}:
            yield "tracking", f"of opens and clicks is one switch of {self.name}, which is off then", True

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail. Its id is the operation's, so that nobody takes two tries for two mails."""
        letter = self.letter(mail)
        message = letter.message
        content: dict[str, Any] = {"subject": message.subject}
        if message.text is not None or message.html is None:
            content["plainText"] = message.text or ""
        if message.html is not None:
            content["html"] = message.html
        body: dict[str, Any] = {
            "senderAddress": message.from_[0].ascii,
            "content": content,
            "recipients": {kind: [*map(_named, those)] for kind, those in letter.kinds().items() if those},
        }
        if message.reply_to:
            body["replyTo"] = [*map(_named, message.reply_to)]
        if letter.headers:
            body["headers"] = {name: unfolded(header.custom(name, value)) for name, value in letter.headers}
        files = [*map(_file, letter.files)]
        files += [_file(attachment) | {"contentId": attachment.content_id} for attachment in letter.inline]
        if files:
            body["attachments"] = files
        if message.track_opens is not None or message.track_clicks is not None:
            body["userEngagementTrackingDisabled"] = False in (message.track_opens, message.track_clicks)
        return Request.json(
            f"{self.base}/emails:send?api-version={_VERSION}",
            merged(body, message.provider_options, _TAKEN),
            {"Operation-Id": _operation_id(mail, message), "x-ms-client-request-id": str(_uuid(mail.id))},
        )

    def signed(self, request: Request, credential: Any, now: datetime) -> Request:
        """By the access key, or the access token that is given."""
        kept = [(name, value) for name, value in request.headers if name.lower() not in _OURS]
        if self.signs_with:
            headers = [("Authorization", f"Bearer {credential}")]
            return Request(request.url, (*kept, *headers), request.content, request.method)
        url, host = with_host(request.url)
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        date = format_datetime(now.astimezone(UTC), usegmt=True)
        body = base64.b64encode(hashlib.sha256(request.content).digest()).decode("ascii")
        to_sign = f"{request.method}\n{target}\n{date};{host};{body}"
        mac = base64.b64encode(hmac.new(self._key, to_sign.encode(), hashlib.sha256).digest()).decode("ascii")
        headers = [
            ("x-ms-date", date),
            ("x-ms-content-sha256", body),
            ("Authorization", f"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={mac}"),
        ]
        return Request(url, (*kept, *headers), request.content, request.method)

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"id": "...", "status": "Running"}``: an operation that is under way, or has failed at once."""
        data = self.fields_of(data)
        status = data.get("status")
        if not isinstance(status, str):
            raise Junk("it has no status")
        if status in _FAILED:
            return self.refused(data if data.get("error") else {"error": {"code": status}}, mail, response)
        if status not in _UNDER_WAY or data.get("error"):
            raise Junk("it does not say that the mail is under way")
        found = _OPERATION.search(response.headers.get("operation-location", ""))
        return self.taken(mail, response, self.id_of(data.get("id") or (found and found[1])), text=f"queued: {status}")

    def refused(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """The error's code may stand in a header alone."""
        if not self.error_of(data)[0] and (code := response.headers.get("x-ms-error-code")):
            data = {"error": {"code": code, "message": self.error_of(data)[1]}}
        return super().refused(data, mail, response)

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"error": {"code": "...", "message": "...", "details": [...]}}``"""
        error = data.get("error") if isinstance(data, dict) else None
        if not isinstance(error, dict):
            return None, ""
        code, text = error.get("code"), error.get("message")
        return (code if isinstance(code, str) and code else None), text if isinstance(text, str) else ""


def _named(address: Address) -> dict[str, str]:
    named = {"address": address.ascii}
    return named | {"displayName": address.name} if address.name else named


def _file(attachment: Attachment) -> dict[str, Any]:
    return {
        "name": attachment.name,
        "contentType": attachment.content_type,
        "contentInBase64": base64_text(attachment),
    }


def _operation_id(mail: Mail, message: Message) -> str:
    """The same for one mail at every try, and for one idempotency key."""
    return str(_uuid(mail.id if message.idempotency_key is None else message.idempotency_key))


def _uuid(text: str) -> uuid.UUID:
    """A mail's id is one, without its dashes; any other text is given its own."""
    is_one = re.fullmatch(r"[0-9a-f]{32}", text) is not None
    return uuid.UUID(text) if is_one else uuid.uuid5(uuid.NAMESPACE_URL, text)
