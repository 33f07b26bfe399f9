"""AWS Signature Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

Pure: a request, credentials and a time in, a request with three more headers out. What is signed is what is sent: every
header that the request names, its host, and the hash of its body.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from posixpath import normpath
from urllib.parse import quote, urlsplit

from ..aws.credentials import AwsCredentials
from ..errors import ConfigError
from .exchange import Request, with_host

__all__ = ["canonical_request", "sigv4_signed"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_WORD = re.compile(r"[a-z0-9-]{1,63}", re.ASCII)
# What a hop on the way may change or add, so AWS' own clients leave it unsigned.
_UNSIGNED = frozenset({"connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})
_OURS = frozenset({"authorization", "host", "x-amz-date", "x-amz-security-token"})


def sigv4_signed(request: Request, credentials: AwsCredentials, *, region: str, service: str, now: datetime) -> Request:
    """The request with a date, a session's token and a signature in its headers, in the place of any it had.

    Args:
        request: Its URL is percent-encoded; a port that is the scheme's own is taken out, as clients differ about
            naming it in Host.
        region, service: What the signature is for: "eu-west-1", "ses".
        now: With a time zone. AWS takes a request for five minutes.

    Raises:
        ConfigError: Region or service is no such word.
    """
    for name, value in (("region", region), ("service", service)):
        if not _WORD.fullmatch(value):
            raise ConfigError(f"AWS signature: the {name} must be lower case letters, digits and '-'")
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    url, host = with_host(request.url)
    kept = [(name, value) for name, value in request.headers if name.lower() not in _OURS]
    ours = [("X-Amz-Date", stamp)]
    if credentials.session_token:
        ours.append(("X-Amz-Security-Token", credentials.session_token))
    bare = Request(url, (*kept, *ours), request.content, request.method)
    canonical, signed_names = canonical_request(bare, host)
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    said = f"Credential={credentials.access_key}/{scope}, SignedHeaders={signed_names}, Signature="
    authorization = f"{_ALGORITHM} {said}{_mac(key, to_sign).hex()}"
    return Request(url, (*bare.headers, ("Authorization", authorization)), request.content, request.method)


def canonical_request(request: Request, host: str) -> tuple[str, str]:
    """The request in the one form that both sides sign, and the names of the headers in it.

    Args:
        host: As the Host header says it.
    """
    parts = urlsplit(request.url)
    fields: dict[str, list[str]] = {"host": [host]}
    for name, value in request.headers:
        if (lower := name.lower().strip()) not in _UNSIGNED:
            fields.setdefault(lower, []).append(" ".join(value.split()))
    names = ";".join(sorted(fields))
    lines = [f"{name}:{','.join(fields[name])}" for name in sorted(fields)]
    body = hashlib.sha256(request.content).hexdigest()
    whole = (request.method.upper(), _path(parts.path), _query(parts.query), *lines, "", names, body)
    return "\n".join(whole), names


def _path(path: str) -> str:
    """Without dot segments and doubled slashes, and encoded once more than it is sent: so all services but S3."""
    if not path:
        return "/"
    # normpath keeps two slashes at the beginning.
    shortest = normpath("/" + path.lstrip("/"))
    return quote(shortest + ("/" if path.endswith("/") and shortest != "/" else ""), safe="/~")


def _query(query: str) -> str:
    """The parameters as they are sent, percent-encoded, in order of name and value."""
    pairs: Iterable[tuple[str, str, str]] = (pair.partition("=") for pair in query.split("&")) if query else ()
    return "&".join([f"{name}={value}" for name, value in sorted((name, value) for name, _, value in pairs)])


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
