"""A relay service on loopback: it answers as the provider does, or as a test wants, and records what it was sent."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import h11

from ..mailbox.listener import Connection, Server
from .relay_answers import ANSWERS, Answer, RelayRequest
from .relay_refusals import refusing, throttled
from .relay_signed import SIGNED

__all__ = ["Answer", "FakeRelay", "RelayRequest"]

_BLOCK_BYTES = 1 << 16


#: Makes an answer out of a request.
Answering = Callable[[RelayRequest], Answer]


class FakeRelay(Server):
    """An HTTP server that speaks a provider's API; a context manager.

    ::

        with FakeRelay("postmark") as relay, Mailer(relay.url) as mailer:
            relay.refuse("bob@example.org")
            relay.throttle(7)
            relay.next(Answer(lose=True))
            ...
        assert relay.requests[0].json["Subject"] == "Hi"

    Without anything to say next it accepts everything, in the provider's words.

    Args:
        provider: The URL scheme of a provider: "postmark", "netcore", "sendgrid" ...
        token: What the URL holds, or (gmail, msgraph) the access token; a request with another is refused as the
            provider refuses it.
        host: Address to bind.

    Attributes:
        requests: In the order in which they were read.
    """

    def __init__(self, provider: str = "postmark", *, token: str = "TOKEN", host: str = "127.0.0.1") -> None:  # noqa: S107
        if provider not in _ACCEPTING:
            raise ValueError(f"there is no fake of {provider!r}; there are: {', '.join(_ACCEPTING)}")
        super().__init__(host)
        self.provider = provider
        self.token = token
        self.requests: list[RelayRequest] = []
        self._next: list[Answer | Answering] = []
        self._refused: frozenset[str] = frozenset()

    @property
    def base(self) -> str:
        """Its base URL, without a path."""
        return f"http://{self.authority}"

    @property
    def url(self) -> str:
        """The backend URL: ``postmark://TOKEN@127.0.0.1:PORT?scheme=http``."""
        login = _LOGINS.get(self.provider, "{token}").format(
            token=quote(self.token, safe=""), key=quote(b64encode(self.token.encode()), safe="")
        )
        if self.provider == "http+json":
            return f"{self.provider}://{login}@{self.authority}/mails"
        return f"{self.provider}://{login}@{self.authority}?scheme=http{_OPTIONS.get(self.provider, '')}"

    def next(self, *answers: Answer | Answering) -> None:
        """Answer the next requests with these, in order; a function is given the request."""
        self._next += answers

    def refuse(self, *addresses: str) -> None:
        """Refuse these recipients from now on, in the provider's words.

        Alone, where the provider tells recipients apart; where not, it refuses the request that names one of them.
        """
        self._refused |= {address.lower() for address in addresses}

    def throttle(self, after_s: int) -> None:
        """Answer the next request that it is one too many, and that another may come after so many seconds."""
        self.next(throttled(self.provider, after_s))

    def accept(self, request: RelayRequest) -> Answer:
        """What the provider answers to a request that it takes, but for whom it refuses."""
        answer = _ACCEPTING[self.provider](request, self.token, len(self.requests))
        is_taken = 200 <= answer.status <= 299 and request.method == "POST" and not _is_error(answer)
        return refusing(self.provider, request, answer, self._refused) if self._refused and is_taken else answer

    # ---- One connection ----

    def _serve(self, connection: Connection) -> None:
        http = h11.Connection(h11.SERVER)
        while (request := _read(http, connection)) is not None:
            self.requests.append(request)
            wanted = self._next.pop(0) if self._next else self.accept
            answer = wanted if isinstance(wanted, Answer) else wanted(request)
            if not self._answered(answer, http, connection):
                return
            http.start_next_cycle()

    def _answered(self, answer: Answer, http: h11.Connection, connection: Connection) -> bool:
        """Send it; whether the connection goes on."""
        if answer.lose:
            if answer.lose == "reset":
                connection.reset()
            return False
        if answer.hold:
            while connection.recv():
                pass
            return False
        if answer.raw is not None:
            self._send(answer.raw, answer.drip_s, connection)
            return False
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        length = len(body) if answer.length is None else answer.length
        fields = {"Content-Type": "application/json", **answer.headers, "Content-Length": str(length)}
        head = http.send(h11.Response(status_code=answer.status, headers=list(fields.items()))) or b""
        self._send(head, answer.drip_s, connection)
        self._send(body, answer.drip_body_s if answer.drip_s is None else answer.drip_s, connection)
        if length != len(body):
            return False
        if body:
            http.send(h11.Data(data=body))
        http.send(h11.EndOfMessage())
        return http.our_state is h11.DONE and http.their_state is h11.DONE

    def _send(self, data: bytes, drip_s: float | None, connection: Connection) -> None:
        if drip_s is None:
            connection.sendall(data)
            return
        for octet in data:
            connection.sendall(bytes([octet]))
            if self._listener.stopping.wait(drip_s):
                return


def _is_error(answer: Answer) -> bool:
    """Postal refuses a key inside a 200."""
    return isinstance(answer.body, dict) and answer.body.get("status") == "error"


def _read(http: h11.Connection, connection: Connection) -> RelayRequest | None:
    """The next request, or None at the end."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        try:
            event: Any = http.next_event()
        except h11.RemoteProtocolError:
            return None
        if event is h11.NEED_DATA:
            http.receive_data(connection.recv(_BLOCK_BYTES))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
            return RelayRequest(head.method.decode(), head.target.decode(), headers, bytes(body), connection.number)
        else:
            return None


# ---- What providers answer ----


def _postmark(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("x-postmark-server-token") != token:
        return Answer(status=401, body={"ErrorCode": 10, "Message": "Bad or missing Server API token."})
    if request.path == "/server":
        return Answer(body={"ID": 1, "Name": "Fake"})
    body = request.json
    if request.path in ("/email/batch", "/email/batchWithTemplates"):
        items = body["Messages"] if isinstance(body, dict) else body
        return Answer(body=[_postmark_item(item, f"m-{number}-{n}") for n, item in enumerate(items)])
    return Answer(body=_postmark_item(body, f"m-{number}"))


def _postmark_item(body: Any, given: str) -> dict[str, Any]:
    return {
        "To": body.get("To", ""),
        "SubmittedAt": "2026-01-01T00:00:00Z",
        "MessageID": given,
        "ErrorCode": 0,
        "Message": "OK",
    }


def _netcore(request: RelayRequest, token: str, number: int) -> Answer:
    if request.method == "GET":
        return Answer(status=404, body={"status": "error", "message": "not found"})
    if request.headers.get("api_key") != token:
        return Answer(status=401, body={"status": "error", "error": [{"message": "Invalid api key"}]})
    return Answer(status=202, body={"status": "success", "message": "OK", "data": {"message_id": f"n-{number}"}})


def _sendgrid(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != f"Bearer {token}":
        error = {
            "message": "The provided authorization grant is invalid, expired, or revoked",
            "field": None,
            "help": None,
        }
        return Answer(status=401, body={"errors": [error]})
    if request.method != "POST" or request.path != "/v3/mail/send":
        return Answer(status=404, body={"errors": [{"message": "Not Found", "field": None, "help": None}]})
    is_checked = request.json.get("mail_settings", {}).get("sandbox_mode", {}).get("enable") is True
    return Answer(status=200) if is_checked else Answer(status=202, headers={"X-Message-Id": f"s-{number}"})


def _resend(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != f"Bearer {token}":
        return Answer(status=403, body={"statusCode": 403, "name": "invalid_api_key", "message": "API key is invalid"})
    if request.method == "POST" and request.path == "/emails/batch":
        return Answer(body={"data": [{"id": f"r-{number}-{n}"} for n, _ in enumerate(request.json)]})
    if request.method != "POST" or request.path != "/emails":
        return Answer(status=404, body={"statusCode": 404, "name": "not_found", "message": "Not found"})
    return Answer(body={"id": f"r-{number}"})


def _brevo(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("api-key") != token:
        return Answer(status=401, body={"code": "unauthorized", "message": "Key not found"})
    if request.method != "POST" or request.path != "/v3/smtp/email":
        return Answer(status=404, body={"code": "document_not_found", "message": "Not found"})
    versions = request.json.get("messageVersions")
    ids = [f"<b-{number}.{n}@smtp-relay.mailin.fr>" for n in range(len(versions or [0]))]
    status = 202 if "scheduledAt" in request.json else 201
    return Answer(status=status, body={"messageId": ids[0]} if versions is None else {"messageIds": ids})


def _mandrill(request: RelayRequest, token: str, number: int) -> Answer:
    if request.method != "POST" or request.json.get("key") != token:
        body = {"status": "error", "code": -1, "name": "Invalid_Key", "message": "Invalid API key"}
        return Answer(status=401, body=body)
    status = "scheduled" if "send_at" in request.json else "sent"
    given = {"status": status, "reject_reason": None, "queued_reason": None}
    body = request.json
    recipients = [to["email"] for to in body["message"]["to"]] if "message" in body else body["to"]
    return Answer(body=[{"email": to, **given, "_id": f"md-{number}-{n}"} for n, to in enumerate(recipients)])


def _mailgun(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != f"Basic {b64encode(f'api:{token}'.encode()).decode()}":
        return Answer(status=401, body="Forbidden")
    found = re.fullmatch(r"/v3/([^/]+)/messages(?:\.mime)?", request.path)
    if request.method != "POST" or found is None:
        return Answer(status=404, body={"message": "Domain not found"})
    if not any(name == "to" for name, _, _ in request.form):
        return Answer(status=400, body={"message": "'to' parameter is not a valid address"})
    return Answer(body={"id": f"<{number}@{found[1]}>", "message": "Queued. Thank you."})


def _sparkpost(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != token:
        return Answer(status=401, body={"errors": [{"message": "Unauthorized."}]})
    if request.method != "POST":
        return Answer(status=405, body={"errors": [{"message": "Method not allowed."}]})
    counts = {"total_accepted_recipients": len(request.json["recipients"]), "total_rejected_recipients": 0}
    return Answer(body={"results": {"id": f"sp-{number}", **counts}})


def _mailjet(request: RelayRequest, token: str, number: int) -> Answer:
    login = b64encode(f"KEY:{token}".encode()).decode()
    if request.method != "POST" or request.headers.get("authorization") != f"Basic {login}":
        words = "API key authentication/authorization failure."
        body = {"ErrorIdentifier": "x", "ErrorCode": "mj-0015", "StatusCode": 401, "ErrorMessage": words}
        return Answer(status=401, body=body)
    items = []
    common = request.json.get("Globals", {})
    for n, own in enumerate(request.json["Messages"]):
        item = {**common, **own}
        lists = {
            key: [
                {"Email": to["Email"], "MessageUUID": f"u-{n}-{m}", "MessageID": (1 << 60) + number * 1000 + n}
                for m, to in enumerate(item.get(key, []))
            ]
            for key in ("To", "Cc", "Bcc")
        }
        items.append({"Status": "success", "CustomID": item.get("CustomID", ""), **lists})
    return Answer(body={"Messages": items})


def _mailersend(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("authorization") != f"Bearer {token}":
        return Answer(status=401, body={"message": "Unauthenticated."})
    if request.method != "POST":
        return Answer(status=405, body={"message": "The method is not supported for this route."})
    if request.path.endswith("/bulk-email"):
        message = "The bulk email is being processed."
        return Answer(status=202, body={"message": message, "bulk_email_id": f"{number:024x}"})
    return Answer(status=202, headers={"X-Message-Id": f"{number:024x}", "Content-Type": "text/html; charset=UTF-8"})


def _mailtrap(request: RelayRequest, token: str, number: int) -> Answer:
    if request.headers.get("api-token") != token:
        return Answer(status=401, body={"success": False, "errors": ["Unauthorized"]})
    found = re.fullmatch(r"/api/(send|batch)(/[0-9]+)?", request.path)
    if request.method != "POST" or found is None:
        return Answer(status=404, body={"error": "Not Found"})
    items = request.json["requests"] if found[1] == "batch" else [request.json]
    taken = []
    for n, item in enumerate(items):
        count = 1 if found[2] else sum(len(item.get(key, [])) for key in ("to", "cc", "bcc"))
        taken.append({"success": True, "message_ids": [f"mt-{number}-{n}-{m}" for m in range(count)]})
    return Answer(body={"success": True, "responses": taken} if found[1] == "batch" else taken[0])


_ACCEPTING: dict[str, Callable[[RelayRequest, str, int], Answer]] = {
    "postmark": _postmark,
    "netcore": _netcore,
    "pepipost": _netcore,
    "sendgrid": _sendgrid,
    "resend": _resend,
    "brevo": _brevo,
    "mailgun": _mailgun,
    "mandrill": _mandrill,
    "sparkpost": _sparkpost,
    "mailjet": _mailjet,
    "mailersend": _mailersend,
    "mailtrap": _mailtrap,
    **ANSWERS,
    **SIGNED,
}

# What stands before the host in a URL, if not the token alone.
_LOGINS = {
    "mailjet": "KEY:{token}",
    "ses": "KEY:{token}",
    "azure": "{key}",  # which is base64
    "gmail": "me%40example.com",
    "msgraph": "me%40example.com",
}
# Options without which a URL is none.
_OPTIONS = {"scaleway": "&project=11111111-2222-3333-4444-555555555555"}
