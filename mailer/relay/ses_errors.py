"""What SES answers in the place of a success, and what that means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .exchange import Response
from .meaning import ACCOUNT, DEFERRED, REJECTED, SETTINGS, Meaning

__all__ = ["ACCOUNT_WORDS", "DENIED", "ERRORS", "STALE", "typed"]

_TYPE = re.compile(r"(?:.*#)?([A-Za-z]{3,100})(?::.*)?", re.ASCII | re.DOTALL)
#: The session has ended, or its key is not known any more.
STALE = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "UnrecognizedClientException",
    }
)
#: Who signed is known, and may not do this.
DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
#: An error's type, or the status of an entry in a bulk request -> what it means.
ERRORS: Mapping[int | str, Meaning] = {
    **dict.fromkeys(
        (
            "TooManyRequestsException",
            "ThrottlingException",
            "Throttling",
            "LimitExceededException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "InternalFailure",
            "InternalServiceErrorException",
            "RequestExpired",
            "ACCOUNT_THROTTLED",
            "TRANSIENT_FAILURE",
        ),
        DEFERRED,
    ),
    # What the account's owner has to see to; no mail is at fault.
    **dict.fromkeys(
        (
            "MailFromDomainNotVerifiedException",
            "AccountSuspendedException",
            "SendingPausedException",
            "MAIL_FROM_DOMAIN_NOT_VERIFIED",
            "CONFIGURATION_SET_NOT_FOUND",
            "ACCOUNT_SUSPENDED",
            "ACCOUNT_DAILY_QUOTA_EXCEEDED",
            "INVALID_SENDING_POOL_NAME",
            "ACCOUNT_SENDING_PAUSED",
            "CONFIGURATION_SET_SENDING_PAUSED",
        ),
        SETTINGS,
    ),
    **dict.fromkeys(
        (
            *DENIED,
            *STALE,
            "IncompleteSignature",
            "IncompleteSignatureException",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "OptInRequired",
            "SignatureDoesNotMatch",
        ),
        ACCOUNT,
    ),
    **dict.fromkeys(("MessageRejected", "BadRequestException"), REJECTED),
}

#: An error's type -> the words by which it is the account's after all.
ACCOUNT_WORDS = {
    **dict.fromkeys(("LimitExceededException", "Throttling", "ThrottlingException"), "quota"),
    "NotFoundException": "configuration set",
}


def typed(data: Any, response: Response) -> dict[str, Any]:
    """The error with its type, out of the header or the body, without name space and address."""
    said = dict(data) if isinstance(data, Mapping) else {}
    given = response.headers.get("x-amzn-errortype") or said.get("__type")
    found = _TYPE.fullmatch(given) if isinstance(given, str) else None
    return {**said, "__type": found[1] if found else None}
