"""What a fake relay answers where requests are signed: what is not signed with the right key is refused."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ..aws.credentials import AwsCredentials
from ..relay.azure import Azure
from ..relay.exchange import Request
from ..relay.sigv4 import sigv4_signed
from .relay_answers import Answer, RelayRequest

__all__ = ["SIGNED"]


def _ses(request: RelayRequest, token: str, number: int) -> Answer:
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=KEY/[0-9]{8}/([a-z0-9-]+)/ses/aws4_request, SignedHeaders=([a-z0-9;-]+), .*",
        request.headers.get("authorization", ""),
    )
    if found is None:
        return _ses_error(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    names = [name for name in found[2].split(";") if name != "host"]
    url = f"http://{request.headers['host']}{request.path}"
    sent = Request(url, tuple([(name, request.headers[name]) for name in names]), request.content, request.method)
    keys = AwsCredentials("KEY", token, request.headers.get("x-amz-security-token", ""))
    moment = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    wanted = dict(sigv4_signed(sent, keys, region=found[1], service="ses", now=moment).headers)["Authorization"]
    if request.headers["authorization"] != wanted:
        text = "The request signature we calculated does not match the signature you provided."
        return _ses_error(403, "InvalidSignatureException", text)
    if request.method == "GET" and request.path == "/v2/email/account":
        return Answer(body={"SendingEnabled": True, "ProductionAccessEnabled": True})
    if request.method != "POST" or not request.path.startswith("/v2/email/outbound-"):
        return _ses_error(404, "NotFoundException", "No such operation.")
    entries = request.json.get("BulkEmailEntries")
    if entries is None:
        return Answer(body={"MessageId": f"ses-{number}"})
    given = [{"Status": "SUCCESS", "MessageId": f"ses-{number}-{n}"} for n in range(len(entries))]
    return Answer(body={"BulkEmailEntryResults": given})


def _ses_error(status: int, kind: str, text: str) -> Answer:
    return Answer(status=status, body={"message": text}, headers={"x-amzn-ErrorType": kind})


def _azure(request: RelayRequest, token: str, number: int) -> Answer:
    url = f"http://{request.headers['host']}"
    fake = Azure(b64encode(token.encode()).decode("ascii"), base=url)
    try:
        moment = parsedate_to_datetime(request.headers["x-ms-date"])
    except (KeyError, ValueError):
        return _azure_error(401, "Denied", "Denied by the resource provider.")
    sent = Request(f"{url}{request.path}", (), request.content, request.method)
    wanted = dict(fake.signed(sent, None, moment).headers)["Authorization"]
    if request.headers.get("authorization") != wanted:
        return _azure_error(401, "Denied", "Denied by the resource provider.")
    if request.method != "POST" or not request.path.startswith("/emails:send?api-version="):
        return _azure_error(404, "NotFound", "Resource not found.")
    given = request.headers["operation-id"]
    headers = {"Operation-Location": f"{url}/emails/operations/{given}?api-version=2025-09-01", "Retry-After": "30"}
    return Answer(status=202, body={"id": given, "status": "Running", "error": None}, headers=headers)


def _azure_error(status: int, code: str, text: str) -> Answer:
    body = {"error": {"code": code, "message": text}}
    return Answer(status=status, body=body, headers={"x-ms-error-code": code})


#: URL scheme -> what accepts.
SIGNED: dict[str, Callable[[RelayRequest, str, int], Answer]] = {"azure": _azure, "ses": _ses}
