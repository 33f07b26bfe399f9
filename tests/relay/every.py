"""Each provider there is, without a socket: made from its fake's URL, asked and answered as plain values."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from relay_cases import mail_of, message_of

from mailer import Mail
from mailer.aws.credentials import AwsCredentials
from mailer.backends.relay import RelayBackend
from mailer.backends.url import backend_from_url
from mailer.relay.exchange import Request, Response
from mailer.relay.provider import Provider
from mailer.testing import FakeRelay, RelayRequest
from mailer.testing.relay import _ACCEPTING

__all__ = [
    "EMPTY_IS_TAKEN",
    "JUNK",
    "NOW",
    "NO_TEXTS",
    "PAIR",
    "SCHEMES",
    "TOKEN",
    "Every",
    "every",
    "response",
    "spoilt",
]

TOKEN = "s3cret-T0ken/+"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMES = tuple(_ACCEPTING)
PAIR = mail_of(message_of("plain").with_(to=["ann@example.org", "bob@example.org"]))

#: What an id, or a status, may be in the place of a text.
NO_TEXTS: tuple[Any, ...] = (None, "", [], {}, [1], {"id": "x"}, True, "a\0b", "x" * 300)
JUNK: dict[str, bytes] = {
    "html": b"<!doctype html><html>OK</html>",
    "plain text": b"OK",
    "empty": b"",
    "blanks": b" \r\n",
    "list": b"[]",
    "list of numbers": b"[0]",
    "list of lists": b"[[]]",
    "list of objects": b"[{}]",
    "object": b"{}",
    "null": b"null",
    "text": b'"OK"',
    "number": b"0",
    "true": b"true",
    "NUL": b"\0",
    "deep": b"[" * 100_000,
    "deep object": b'{"data":' * 50_000,
    "huge number": b"9" * 5000,
    "not a number": b"NaN",
    "lone surrogate": b'{"id": "\\ud800"}',
}
#: Who takes an empty answer for a success, at which status: it is what it documents.
EMPTY_IS_TAKEN = {("msgraph", 202), ("http+json", 202), ("http+json", 204)}


class Every(NamedTuple):
    """One provider with its fake, which is not started.

    Attributes:
        scheme: Of its URL.
        relay: The fake.
        provider: With :data:`TOKEN`.
        credential: What it signs with, or None.
        secret: What must be shown nowhere.
    """

    scheme: str
    relay: FakeRelay
    provider: Provider
    credential: Any
    secret: str

    def asked(self, mail: Mail = PAIR) -> Request:
        """The request as it goes out."""
        return self.provider.signed(self.provider.request(mail), self.credential, NOW)

    def answered(self, request: Request) -> Response:
        """What the fake answers."""
        parts = urlsplit(request.url)
        headers = {"host": parts.netloc, **{name.lower(): value for name, value in request.headers}}
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = self.relay.accept(RelayRequest(request.method, path, headers, request.content))
        return response(answer.status, answer.body, answer.headers)


def response(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> Response:
    """An answer of now; a body in JSON if it is neither text nor bytes."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Response(status, {name.lower(): value for name, value in (headers or {}).items()}, content, NOW)


def every(scheme: str, options: str = "") -> Every:
    """The provider of this scheme, with more options of its URL."""
    relay = FakeRelay(scheme, token=TOKEN)
    backend = backend_from_url(relay.url.replace(relay.authority, f"{relay.host}:9") + options)  # it has no port yet
    assert isinstance(backend, RelayBackend)
    credential = {"token": TOKEN, "aws": AwsCredentials("KEY", TOKEN)}.get(backend.provider.signs_with)
    if credential is not None:
        backend.provider.hide(credential)
    secret = b64encode(TOKEN.encode()).decode() if scheme == "azure" else TOKEN  # its key is base64
    return Every(scheme, relay, backend.provider, credential, secret)


def spoilt(value: Any, wrong: Any) -> list[Any]:
    """The value with each one of its parts replaced."""
    if isinstance(value, dict):
        return [wrong, *[{**value, key: other} for key, item in value.items() for other in spoilt(item, wrong)]]
    if isinstance(value, list):
        return [
            wrong,
            *[[*value[:n], other, *value[n + 1 :]] for n, item in enumerate(value) for other in spoilt(item, wrong)],
        ]
    return [wrong]
