"""What is asked of a fake relay and what it answers, in each provider's own words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["ANSWERS", "Answer", "RelayRequest"]


@dataclass(frozen=True, slots=True)
class RelayRequest:
    """One request as it came.

    Attributes:
        method: In capitals.
        path: With its query.
        headers: Names in lower case.
        content: The body.
        connection: The number of the connection that it came on, from 0.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes
    connection: int = 0

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)

    @property
    def form(self) -> list[tuple[str, str | bytes, str | None]]:
        """The body's fields as multipart/form-data (RFC 7578) or URL-encoded: name, value and file name.

        A file's value is bytes.
        """
        if self.headers["content-type"].startswith("application/x-www-form-urlencoded"):
            return [(name, value, None) for name, value in parse_qsl(self.content.decode(), keep_blank_values=True)]
        boundary = self.headers["content-type"].partition("boundary=")[2].encode()
        parts = (b"\r\n" + self.content).split(b"\r\n--" + boundary)
        if len(parts) < 2 or parts[0] or parts[-1] != b"--\r\n":
            raise ValueError("the body is no form")
        return [_field(part) for part in parts[1:-1]]


def _field(part: bytes) -> tuple[str, str | bytes, str | None]:
    head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    said = dict(re.findall(r'; (name|filename)="([^"]*)"', head.decode().partition("\r\n")[0]))
    names = {key: value.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n") for key, value in said.items()}
    filename = names.get("filename")
    return names["name"], content.decode() if filename is None else content, filename


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to answer, faults included.

    Attributes:
        status: The HTTP status.
        body: Bytes as they are, text in UTF-8, anything else as JSON.
        headers: Beyond Content-Length.
        drip_s: Seconds between the bytes of the whole answer, its head among them; None sends it at once.
        drip_body_s: The same for the body alone: the head comes at once.
        length: The Content-Length to announce, if not the true one.
        raw: Sent in the place of an HTTP answer, and the connection ended.
        lose: Read the whole request and end the connection without a word; "reset" ends it with a RST.
        hold: Read the whole request and say nothing until the client goes.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip_s: float | None = None
    drip_body_s: float | None = None
    length: int | None = None
    raw: bytes | None = None
    lose: bool | str = False
    hold: bool = False


# ---- What providers answer: made of the request, the token that is right, and the request's number ----


def _scaleway(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("x-auth-token") != token:
        return Answer(status=401, body={"type": "denied_authentication", "method": "api_key", "reason": "not_found"})
    found = re.fullmatch(r"/transactional-email/v1alpha1/regions/([a-z]{2}-[a-z]{3})/emails", request.path)
    if request.method != "POST" or found is None:
        return Answer(status=404, body={"type": "not_found", "message": "resource is not found"})
    emails = [
        {"id": f"sw-{number}-{kind}-{n}", "mail_rcpt": to["email"], "rcpt_type": kind, "status": "new", "flags": []}
        for kind in ("to", "cc", "bcc")
        for n, to in enumerate(request.json.get(kind, []))
    ]
    return Answer(body={"emails": emails})


def _gmail(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != f"Bearer {token}":
        error = {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}
        return Answer(status=401, body={"error": {**error, "errors": [{"domain": "global", "reason": "authError"}]}})
    path = r"(/upload)?/gmail/v1/users/[^/?]+/messages/send(\?.*)?"
    if request.method != "POST" or re.fullmatch(path, request.path) is None:
        return Answer(status=404, body={"error": {"code": 404, "message": "Not Found", "status": "NOT_FOUND"}})
    return Answer(body={"id": f"g-{number}", "threadId": f"g-{number}", "labelIds": ["SENT"]})


def _msgraph(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != f"Bearer {token}":
        words = "Access token has expired or is not yet valid."
        return Answer(status=401, body={"error": {"code": "InvalidAuthenticationToken", "message": words}})
    if request.method != "POST" or re.fullmatch(r"/v1\.0/(me|users/[^/?]+)/sendMail", request.path) is None:
        return Answer(status=404, body={"error": {"code": "ResourceNotFound", "message": "Resource not found."}})
    return Answer(status=202, headers={"request-id": f"00000000-0000-0000-0000-{number:012}"})


def _smtp2go(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("x-smtp2go-api-key") != token:
        code = "E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED"
        return Answer(status=401, body={"request_id": "x", "data": {"error": "No permission.", "error_code": code}})
    if request.method != "POST" or request.path not in ("/v3/email/send", "/v3/email/batch"):
        return Answer(status=404, body={"request_id": "x", "data": {"error": "Not found.", "error_code": "E_NotFound"}})
    body = request.json
    if request.path == "/v3/email/batch":
        items = [
            {"email_id": f"sg-{number}-{n}", **({"schedule_id": f"sch-{number}-{n}"} if "schedule" in email else {})}
            for n, email in enumerate(body["emails"])
        ]
        return Answer(body={"request_id": f"q-{number}", "data": items})
    count = sum(len(body.get(kind, ())) for kind in ("to", "cc", "bcc"))
    data = {"succeeded": count, "failed": 0, "failures": [], "email_id": f"sg-{number}"}
    if "schedule" in body:
        data["schedule_id"] = f"sch-{number}"
    return Answer(body={"request_id": f"q-{number}", "data": data})


def _zeptomail(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != f"Zoho-enczapikey {token}":
        details = [{"code": "SERR_157", "message": "Invalid API Token found", "target": "token"}]
        error = {"code": "TM_4001", "message": "Access Denied", "details": details, "request_id": f"z-{number}"}
        return Answer(status=401, body={"error": error})
    if request.method != "POST" or not re.fullmatch(r"/v1\.1/email(/template)?(/batch)?", request.path):
        return Answer(status=404, body={"error": {"code": "TM_404", "message": "Not found", "details": []}})
    data = [{"code": "EM_104", "additional_info": [], "message": "Email request received"}]
    return Answer(status=201, body={"data": data, "message": "OK", "request_id": f"z-{number}", "object": "email"})


def _unisender_go(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("x-api-key") != token:
        return Answer(status=401, body={"status": "error", "message": "User not found", "code": 102})
    if request.method != "POST" or not re.fullmatch(r"/(ru|en)/transactional/api/v1/email/send\.json", request.path):
        return Answer(status=404, body={"status": "error", "message": "Not found", "code": 1})
    emails = [recipient["email"] for recipient in request.json["message"]["recipients"]]
    return Answer(body={"status": "success", "job_id": f"u-{number}", "emails": emails})


def _postal(request: RelayRequest, token: str, number: int) -> Answer:
    """Every answer is a 200."""

    def error(code: str, text: str) -> Answer:
        data = {"code": code, "message": text}
        return Answer(body={"status": "error", "time": 0.01, "flags": {}, "data": data})

    if request.headers.get("x-server-api-key") != token:
        return error("InvalidServerAPIKey", "The API token provided in X-Server-API-Key was not valid.")
    if request.method != "POST" or request.path not in ("/api/v1/send/message", "/api/v1/send/raw"):
        return Answer(status=404, body="Not Found")
    body = request.json
    named = body.get("rcpt_to") or [address for kind in ("to", "cc", "bcc") for address in body.get(kind, ())]
    if not named:
        return error("NoRecipients", "There are no recipients defined to receive this message")
    addresses = [address.rpartition("<")[2].rstrip(">") for address in named]
    messages = {address: {"id": number * 1000 + n, "token": "abc"} for n, address in enumerate(addresses)}
    data = {"message_id": f"{number}@rp.example.com", "messages": messages}
    return Answer(body={"status": "success", "time": 0.02, "flags": {}, "data": data})


def _http_json(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != f"Bearer {token}":
        return Answer(status=401, body={"error": {"code": "bad_token", "text": "This token is not known."}})
    if request.method != "POST":
        return Answer(status=405, body={"error": "POST mails here"})
    mails = request.json["mails"]
    told = [{"id": m["id"], "outcome": "accepted", "provider_id": f"h-{number}-{n}"} for n, m in enumerate(mails)]
    return Answer(body={"mails": told})


#: URL scheme -> what accepts.
ANSWERS: dict[str, Callable[[RelayRequest, str, int], Answer]] = {
    "gmail": _gmail,
    "msgraph": _msgraph,
    "scaleway": _scaleway,
    "smtp2go": _smtp2go,
    "zeptomail": _zeptomail,
    "unisendergo": _unisender_go,
    "unione": _unisender_go,
    "postal": _postal,
    "http+json": _http_json,
}
