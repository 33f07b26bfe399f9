"""Answers that any provider may get, from whoever stands in between, and what each means."""

from __future__ import annotations

import json
from typing import Any

from ..errors import AuthError, ConfigError, Outcome
from ..relay.exchange import Response

__all__ = ["JUNK", "STATUSES", "Meant", "answer"]

#: What an answer must come to: the outcomes of ann and bob, the error that goes with them, what the text says.
Meant = tuple[list[Outcome], type[Exception] | None, str]

_A, _R, _D, _U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.DEFERRED, Outcome.UNKNOWN
#: What any provider may be answered by a proxy, a captive portal or a fault: status -> body, and what it means.
STATUSES: dict[int, tuple[bytes, Meant]] = {
    400: (b"", ([_R, _R], None, "HTTP 400")),
    403: (b"Forbidden", ([_D, _D], AuthError, "Forbidden")),
    404: (b"<html>", ([_R, _R], None, "HTTP 404")),
    408: (b"", ([_D, _D], None, "HTTP 408")),
    413: (b"too\nlarge", ([_R, _R], None, "too large")),
    422: (b"", ([_R, _R], None, "HTTP 422")),
    429: (b"{}", ([_D, _D], None, "HTTP 429")),
    500: (b"", ([_D, _D], None, "HTTP 500")),
    502: (b"<html>Bad Gateway", ([_U, _U], None, "HTTP 502")),
    503: (b"", ([_D, _D], None, "HTTP 503")),
    504: (b"\0", ([_U, _U], None, "HTTP 504")),
    520: (b"", ([_U, _U], None, "HTTP 520")),
    302: (b"moved", ([_D, _D], ConfigError, "redirects")),
    307: (b"", ([_D, _D], ConfigError, "redirects")),
    700: (b"", ([_U, _U], None, "HTTP 700")),
}
#: A 200 that is no answer of any provider; ``TOKEN`` is its token.
JUNK: dict[str, bytes] = {
    "html": b"<html>OK</html>",
    "empty": b"",
    "truncated": b'{"ErrorCode": 0, "Message": "OK", "MessageID": "m-1", "To": "ann@example',
    "list": b'[{"ErrorCode":0}]',
    "scalar": b"0",
    "null": b"null",
    "charset": '{"ErrorCode":0,"Message":"Grüße","MessageID":"m-1","data":1}'.encode("utf-16"),
    "latin-1": '{"ErrorCode":0,"MessageID":"ü","status":"success","data":{"message_id":"ü"}}'.encode("latin-1"),
    "nul": b'{"ErrorCode":0,"MessageID":"\0","status":"success","data":{"message_id":"\0"}}',
    "escaped nul": b'{"ErrorCode":0,"MessageID":"\\u0000","status":"success","data":{"message_id":"\\u0000"}}',
    "no id": b'{"ErrorCode":0,"Message":"OK","status":"success","data":{}}',
    "id of another kind": b'{"ErrorCode":0,"MessageID":[1],"status":"success","data":{"message_id":true}}',
    "no code": b'{"Message":"OK","MessageID":"1","data":{"message_id":"1"}}',
    "code of another kind": b'{"ErrorCode":false,"MessageID":"1","status":true,"data":{"message_id":"1"}}',
    "echo": b'{"ErrorCode":0,"MessageID":"TOKEN","status":"success","data":{"message_id":"TOKEN"}}',
    "deep": b"[" * 100_000,
    "huge number": b'{"ErrorCode":' + b"9" * 5000 + b"}",
}


def answer(status: int, body: Any = b"", **headers: str) -> Response:
    """An answer as it comes: bytes, or what JSON is made of; header names with "_" for "-"."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)
