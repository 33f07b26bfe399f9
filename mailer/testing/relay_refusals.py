"""How each provider refuses a recipient: him alone where it tells recipients apart, the whole request where not."""

from __future__ import annotations

import json
import re
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from email import message_from_bytes
from email.utils import getaddresses
from typing import Any

from .relay_answers import Answer, RelayRequest

__all__ = ["refusing", "throttled"]

_ADDRESS = re.compile(r"[^\s<>\",;:]+@[^\s<>\",;:]+")
#: Keys, in lower case, below which recipients stand.
_LISTS = re.compile(r"(to|cc|bcc)(addresses|recipients)?|recipients|rcpt_to")
#: Keys below which such keys stand.
_AROUND = frozenset(
    "base bulkemailentries content destination emails envelope mails message messages messageversions"
    " personalizations requests".split()
)


def refusing(provider: str, request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    """The answer to a request that was accepted, but for these recipients.

    Args:
        provider: A URL scheme.
        request: As it came.
        accepted: What is answered otherwise.
        bad: Addresses, in lower case; nothing changes where the request is for none of them.
    """
    hit = [address for address in _people_of(request) if address in bad]
    if not hit:
        return accepted
    if provider in _APART:
        return _APART[provider](request, accepted, bad)
    status, body, headers = _WHOLE[provider]
    return Answer(status=status, body=json.dumps(body).replace(_WHO, ", ".join(hit)), headers=headers)


def throttled(provider: str, after_s: int) -> Answer:
    """The answer to one request too many, with Retry-After."""
    status, body, headers = _TOO_MANY.get(provider, (429, {"message": "Too many requests"}, {}))
    return Answer(status=status, body=body, headers={**headers, "Retry-After": str(after_s)})


# ---- Who is asked for ----


def _people_of(request: RelayRequest) -> list[str]:
    """The recipients of a request, in lower case, each once."""
    kind = request.headers.get("content-type", "")
    if kind.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        fields = [value for name, value, _ in request.form if name in ("to", "cc", "bcc") and isinstance(value, str)]
        found: Iterable[str] = (address for value in fields for address in _ADDRESS.findall(value))
    elif kind.startswith("multipart/related"):
        found = _of_mime(request.content.partition(b"message/rfc822")[2].partition(b"\r\n\r\n")[2])
    elif kind.startswith("text/plain"):
        found = _of_mime(b64decode(request.content))
    else:
        data = request.json
        is_raw = isinstance(data, dict) and isinstance(data.get("raw"), str)
        found = _of_mime(urlsafe_b64decode(data["raw"])) if is_raw else people(data)
    return list(dict.fromkeys([address.lower() for address in found]))


def people(data: Any, *, is_list: bool = False) -> Iterator[str]:
    """The addresses below keys that name recipients, as they stand."""
    if isinstance(data, str) and is_list:
        yield from _ADDRESS.findall(data)
    elif isinstance(data, list):
        for item in data:
            yield from people(item, is_list=is_list)
    elif isinstance(data, Mapping):
        for key, value in data.items():
            if (is_list and key != "header_to") or _LISTS.fullmatch(key.lower()):
                yield from people(value, is_list=True)
            elif key.lower() in _AROUND:
                yield from people(value)


def _of_mime(content: bytes) -> Iterator[str]:
    message = message_from_bytes(content)
    fields = [value for key in ("To", "Cc", "Bcc") for value in message.get_all(key, [])]
    return (address for _, address in getaddresses(fields) if address)


# ---- Each recipient apart ----

_Apart = Callable[[RelayRequest, Answer, frozenset[str]], Answer]


def _hit(data: Any, bad: frozenset[str]) -> tuple[list[str], bool]:
    """Who is refused, and whether that is everybody."""
    everybody = list(dict.fromkeys([address.lower() for address in people(data)]))
    hit = [address for address in everybody if address in bad]
    return hit, len(hit) == len(everybody)


def _postmark(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    body = request.json
    if isinstance(body, dict) and "Messages" not in body:
        told = _postmark_item(body, accepted.body, bad)
        return Answer(status=422 if told["ErrorCode"] else 200, body=told)
    items = body["Messages"] if isinstance(body, dict) else body
    return Answer(body=[_postmark_item(item, told, bad) for item, told in zip(items, accepted.body, strict=True)])


def _postmark_item(item: Any, told: dict[str, Any], bad: frozenset[str]) -> dict[str, Any]:
    hit, is_all = _hit(item, bad)
    if not hit:
        return told
    why = f"{', '.join(hit)}. Inactive recipients are ones that have generated a hard bounce or a spam complaint."
    if is_all:
        return {"ErrorCode": 406, "Message": f"Found inactive addresses: {why}"}
    return {**told, "Message": f"Message OK, but will not deliver to these inactive addresses: {why}"}


def _mandrill(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    no = {"status": "rejected", "reject_reason": "hard-bounce"}
    return Answer(body=[{**told, **no} if told["email"].lower() in bad else told for told in accepted.body])


def _sparkpost(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    addresses = [recipient["address"]["email"].lower() for recipient in request.json["recipients"]]
    hit = [address for address in addresses if address in bad]
    faults = [{"message": "Recipient rejected", "description": address, "code": "1902"} for address in hit]
    counts = {"total_accepted_recipients": len(addresses) - len(hit), "total_rejected_recipients": len(hit)}
    results = {**accepted.body["results"], **counts, "rcpt_to_errors": faults}
    errors = [{"message": "transmission created, but with validation errors", "code": "2000"}]
    return Answer(body={"errors": errors, "results": results})


def _mailjet(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    items = []
    for item, told in zip(request.json["Messages"], accepted.body["Messages"], strict=True):
        errors = [
            {
                "ErrorIdentifier": "x",
                "ErrorCode": "mj-0013",
                "StatusCode": 400,
                "ErrorMessage": f'"{to["Email"]}" is an invalid email address.',
                "ErrorRelatedTo": [f"{key}[{n}].Email"],
            }
            for key in ("To", "Cc", "Bcc")
            for n, to in enumerate(item.get(key, []))
            if to["Email"].lower() in bad
        ]
        items.append({"Status": "error", "Errors": errors} if errors else told)
    return Answer(status=400, body={"Messages": items})


def _mailersend(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    if isinstance(request.json, list):
        return accepted  # in bulk, what is refused is told later
    hit, is_all = _hit(request.json, bad)
    kind = "ALL_SUPPRESSED" if is_all else "SOME_SUPPRESSED"
    who = [{"email": address, "name": "", "reasons": ["hard_bounced"]} for address in hit]
    warning = {"type": kind, "warning": "Recipients have been suppressed.", "recipients": who}
    body = {"message": "There are some warnings for your request.", "warnings": [warning]}
    return replace(accepted, body=body, headers={**accepted.headers, "Content-Type": "application/json"})


def _mailtrap(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    def told_of(item: Any, told: dict[str, Any]) -> dict[str, Any]:
        hit, _ = _hit(item, bad)
        return {"success": False, "errors": [f"invalid address: {', '.join(hit)}"]} if hit else told

    body = request.json
    if "requests" not in body:
        return Answer(status=400, body=told_of(body, accepted.body))
    items = zip(body["requests"], accepted.body["responses"], strict=True)
    return Answer(body={"success": True, "responses": [told_of(item, told) for item, told in items]})


def _unisender_go(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    hit, is_all = _hit(request.json, bad)
    failed = dict.fromkeys(hit, "permanent_unavailable")
    if is_all:
        body = {"status": "error", "message": "No valid recipients", "code": 204, "failed_emails": failed}
        return Answer(status=400, body=body)
    emails = [email for email in accepted.body["emails"] if email.lower() not in bad]
    return Answer(body={**accepted.body, "emails": emails, "failed_emails": failed})


def _smtp2go(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    def told_of(item: Any, told: dict[str, Any]) -> dict[str, Any]:
        hit, is_all = _hit(item, bad)
        if not hit:
            return told
        taken = len(list(people(item))) - len(hit)
        no = [f"{address}: recipient is blocked" for address in hit]
        return {**({} if is_all else told), "succeeded": taken, "failed": len(hit), "failures": no}

    told = accepted.body["data"]
    if isinstance(told, list):
        told = [told_of(item, its) for item, its in zip(request.json["emails"], told, strict=True)]
    else:
        told = told_of(request.json, told)
    return Answer(body={**accepted.body, "data": told})


def _zeptomail(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    hit, _ = _hit(request.json, bad)
    details = [{"code": "SM_113", "message": "Invalid address", "target": "to", "target_value": a} for a in hit]
    return Answer(status=400, body={"error": {"code": "TM_4001", "message": "Bad request", "details": details}})


def _ses(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    entries = request.json.get("BulkEmailEntries")
    if entries is None:
        body = {"message": "Address blacklisted."}
        return Answer(status=400, body=body, headers={"x-amzn-ErrorType": "MessageRejected"})
    no = {"Status": "MESSAGE_REJECTED", "Error": "Address blacklisted."}
    told = zip(entries, accepted.body["BulkEmailEntryResults"], strict=True)
    return Answer(body={"BulkEmailEntryResults": [no if _hit(entry, bad)[0] else its for entry, its in told]})


def _http_json(request: RelayRequest, accepted: Answer, bad: frozenset[str]) -> Answer:
    told = []
    for mail, its in zip(request.json["mails"], accepted.body["mails"], strict=True):
        hit = [address for address in mail["envelope"]["recipients"] if address.lower() in bad]
        results = [{"address": address, "outcome": "rejected", "code": 550, "text": "no such user"} for address in hit]
        told.append({**its, "results": results} if hit else its)
    return Answer(body={"mails": told})


_APART: dict[str, _Apart] = {
    "postmark": _postmark,
    "mandrill": _mandrill,
    "sparkpost": _sparkpost,
    "mailjet": _mailjet,
    "mailersend": _mailersend,
    "mailtrap": _mailtrap,
    "unisendergo": _unisender_go,
    "unione": _unisender_go,
    "smtp2go": _smtp2go,
    "zeptomail": _zeptomail,
    "ses": _ses,
    "http+json": _http_json,
}

# ---- The whole request ----

_Told = tuple[int, Any, Mapping[str, str]]
_WHO = "{who}"
_SAYS = f"not a valid address: {_WHO}"
_NETCORE: _Told = (400, {"status": "error", "error": [{"message": _SAYS, "field": "to"}]}, {})
#: Status, body in which :data:`_WHO` is who is refused, and headers.
_WHOLE: dict[str, _Told] = {
    "netcore": _NETCORE,
    "pepipost": _NETCORE,
    "sendgrid": (400, {"errors": [{"message": _SAYS, "field": "personalizations", "help": None}]}, {}),
    "resend": (422, {"statusCode": 422, "name": "validation_error", "message": _SAYS}, {}),
    "brevo": (400, {"code": "invalid_parameter", "message": _SAYS}, {}),
    "mailgun": (400, {"message": _SAYS}, {}),
    "scaleway": (
        400,
        {
            "type": "invalid_arguments",
            "message": "invalid argument(s)",
            "details": [{"argument_name": "to", "reason": "constraint", "help_message": _SAYS}],
        },
        {},
    ),
    "postal": (200, {"status": "parameter-error", "time": 0.01, "flags": {}, "data": {"message": _SAYS}}, {}),
    "gmail": (
        400,
        {
            "error": {
                "code": 400,
                "message": _SAYS,
                "status": "INVALID_ARGUMENT",
                "errors": [{"domain": "global", "reason": "invalidArgument"}],
            }
        },
        {},
    ),
    "msgraph": (400, {"error": {"code": "ErrorInvalidRecipients", "message": _SAYS}}, {}),
    "azure": (
        400,
        {"error": {"code": "InvalidRecipients", "message": _SAYS}},
        {"x-ms-error-code": "InvalidRecipients"},
    ),
}

#: Who throttles otherwise than by a 429.
_TOO_MANY: dict[str, _Told] = {
    "ses": (400, {"message": "Maximum sending rate exceeded."}, {"x-amzn-ErrorType": "ThrottlingException"}),
    "gmail": (
        403,
        {"error": {"code": 403, "message": "Rate Limit Exceeded", "errors": [{"reason": "rateLimitExceeded"}]}},
        {},
    ),
    "resend": (429, {"statusCode": 429, "name": "rate_limit_exceeded", "message": "Too many requests"}, {}),
    "msgraph": (429, {"error": {"code": "ErrorTooManyRequests", "message": "Too many requests"}}, {}),
    "azure": (429, {"error": {"code": "TooManyRequests", "message": "Too many requests"}}, {}),
}
