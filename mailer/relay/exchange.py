"""The exchange with a provider: what goes there and what comes back, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..errors import MailerError, MessageError
from ..retry import retry_after_seconds

__all__ = ["Request", "Response", "with_host"]

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """An HTTP request. Its text shows neither headers nor content: both may hold secrets.

    Attributes:
        url: Where to, in ASCII, percent-encoded.
        headers: Name and value, the credentials among them.
        content: The body.
        method: "POST" mostly.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    method: str = "POST"

    @classmethod
    def json(cls, url: str, body: Any, headers: Mapping[str, str]) -> Request:
        """A POST of a JSON body (RFC 8259).

        Raises:
            MessageError: The body holds what JSON cannot, from ``provider_options``, ``metadata`` or ``context``.
        """
        try:
            content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            text = f"or metadata or context: holds what JSON cannot: {error}"
            raise MessageError(text, field="provider_options") from error
        fixed = (("Accept", "application/json"), ("Content-Type", "application/json"))
        return cls(url, (*fixed, *headers.items()), content)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}, {len(self.content)} bytes>"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer.

    Attributes:
        status: The status code.
        headers: Names in lower case.
        content: The body, as far as it came.
        received_at: When, with a time zone.
        cut: Why the body is not whole, or None.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(default=b"", repr=False)
    received_at: datetime = field(default_factory=_now)
    cut: MailerError | None = field(default=None, compare=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx. It alone says nothing of a mail."""
        return 200 <= self.status <= 299

    @property
    def code(self) -> int | None:
        """The status as a receipt may hold it: 200-599, or None."""
        return self.status if 200 <= self.status <= 599 else None

    @property
    def retry_after_s(self) -> float | None:
        """What Retry-After asks for, in seconds; None without one that can be read (RFC 9110 section 10.2.3)."""
        return retry_after_seconds(self.headers.get("retry-after"), self.received_at)

    def json(self) -> Any:
        """The body as JSON in UTF-8 (RFC 8259 section 8.1), whatever Content-Type says; None if it is none.

        A byte order mark before it, as that section allows, is passed over.
        """
        try:
            return json.loads(self.content.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None

    def prose(self) -> str:
        """The body where it is a line or two of plain text; "" for markup, JSON and binary."""
        text = self.content[:2000].decode("utf-8", "replace").strip()
        return "" if not text or text[0] in "<{[" or "\0" in text else text


def with_host(url: str) -> tuple[str, str]:
    """For who signs the host: the URL, and the host as the Host header says it.

    A port that is the scheme's own is in neither: clients differ about naming it.
    """
    parts = urlsplit(url)
    host = parts.netloc.lower()
    if parts.port is not None and parts.port == _PORTS.get(parts.scheme):
        host = host.rpartition(":")[0]
    return urlunsplit((parts.scheme, host, parts.path, parts.query, "")), host
