"""The call: what a provider sent to our webhook, as it came."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import ConfigError, ProtocolError

__all__ = ["MAX_BODY_BYTES", "Call", "Headers", "json_of"]

#: As mappings, or pairs, text or bytes.
Headers = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]

#: More than any provider puts into one call; SparkPost's batches of 10,000 events are the largest known.
MAX_BODY_BYTES = 16 * 1024 * 1024
_MAX_FIELDS = 1000
_NOTHING: Any = object()


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One POST to a webhook. Its text shows nothing of it: headers and URL may hold a secret.

    Attributes:
        headers: Names in lower case; of one that stands several times the values with ", " between them.
        body: The octets as they came: signatures are over these.
        url: The URL that the provider was given, "" if that is not known.
    """

    headers: Mapping[str, str]
    body: bytes
    url: str = ""

    @classmethod
    def of(cls, headers: Headers, body: bytes | str, url: str = "", *, max_bytes: int = MAX_BODY_BYTES) -> Call:
        """The call with these headers and this body.

        Raises:
            ProtocolError: The body is too large.
            ConfigError: What is given is of a wrong type.
        """
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise ConfigError(f"a webhook's body must be bytes, as it came, not {type(body).__name__}")
        if len(body) > max_bytes:
            raise ProtocolError(f"the webhook's body has {len(body)} bytes, at most {max_bytes} are taken")
        named: dict[str, str] = {}
        items: Any = headers.items() if isinstance(headers, Mapping) else headers
        try:
            for given_name, given_value in items:
                name, value = _text(given_name).lower(), _text(given_value).strip()
                named[name] = f"{named[name]}, {value}" if name in named else value
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError("a webhook's headers must be a mapping or pairs of text") from error
        if not isinstance(url, str):
            raise ConfigError(f"a webhook's url must be str, not {type(url).__name__}")
        return cls(named, bytes(body), url)

    def header(self, *names: str) -> str:
        """The header by the first of these names, in lower case, that it has; "" if it has none."""
        return next((value for name in names if (value := self.headers.get(name))), "")

    @property
    def query(self) -> list[tuple[str, str]]:
        """The URL's query, decoded."""
        try:
            return parse_qsl(urlsplit(self.url).query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except ValueError:  # too many, or no URL at all
            return []

    def json(self) -> Any:
        """The body's JSON.

        Raises:
            ProtocolError: It is none, or holds what JSON forbids.
        """
        return json_of(self.body)

    def form(self) -> dict[str, str]:
        """The body's form fields; of one that stands several times the last. See :meth:`pairs`."""
        return dict(self.pairs())

    def pairs(self) -> list[tuple[str, str]]:
        """The body's form fields, URL-encoded, in their order.

        Raises:
            ProtocolError: It is none.
        """
        pairs: list[tuple[str, str]] | None = None
        with contextlib.suppress(ValueError):
            pairs = parse_qsl(
                self.body.decode("utf-8"),
                keep_blank_values=True,
                strict_parsing=bool(self.body),
                errors="strict",
                max_num_fields=_MAX_FIELDS,
            )
        if pairs is None:  # out here: the error above holds the whole body
            raise ProtocolError("the webhook's body is no form")
        return pairs

    def __repr__(self) -> str:
        return f"<Call, {len(self.body)} bytes>"


def json_of(text: bytes | str) -> Any:
    """What a provider's JSON says. NaN, infinities and lone surrogates, which no other JSON reader takes, are refused.

    Raises:
        ProtocolError: It is none.
    """
    data = _NOTHING
    with contextlib.suppress(ValueError, RecursionError):  # deep nesting is a RecursionError
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        read = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if "\\u" in text:
            json.dumps(read, ensure_ascii=False).encode()
        data = read
    if data is _NOTHING:  # out here: the error above holds the whole body
        raise ProtocolError("the webhook's body is no JSON")
    return data


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> Any:
    raise ValueError("a number that JSON has no form for")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str.__str__(value)
