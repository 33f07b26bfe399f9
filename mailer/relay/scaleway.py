"""Scaleway Transactional Email: https://www.scaleway.com/en/developers/api/transactional-email/

``scaleway://SECRET-KEY@default?project=PROJECT-ID&region=fr-par``. It tells of each recipient by himself. It takes
subjects and texts of ten characters at least, and attachments of certain types, as its answer says then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .. import header
from ..errors import ConfigError, Outcome, UnsupportedFeature
from ..features import Features
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Letter, base64_text, named, unfolded
from .meaning import ACCOUNT, DEFERRED, SETTINGS
from .option import word
from .provider import Junk, Provider, items_of, merged

__all__ = ["Scaleway"]

# Who gets the mail is the envelope's to say, and for whom it is sent the URL's.
_TAKEN = ("to", "cc", "bcc", "project_id")
_MAX_ATTACHED_BYTES = 2_000_000
_OUTCOMES = {
    "new": Outcome.ACCEPTED,
    "sending": Outcome.ACCEPTED,
    "sent": Outcome.ACCEPTED,
    "failed": Outcome.REJECTED,
    "canceled": Outcome.REJECTED,
}
_PROJECT = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
_REGION = re.compile(r"[a-z]{2}-[a-z]{3}", re.ASCII)


class Scaleway(Provider):
    """Scaleway's sending API, version 1 alpha 1.

    Attributes:
        project: The id of the project that the domain belongs to.
        region: Where it is: "fr-par".
    """

    name = "scaleway"
    bases = {"default": "https://api.scaleway.com/transactional-email/v1alpha1"}
    features = Features.of_api(inline=False)
    needs_to = True
    errors = {
        "denied_authentication": ACCOUNT,
        "permissions_denied": ACCOUNT,
        "not_found": SETTINGS,  # the project, or its domain
        "precondition_failed": SETTINGS,  # the domain is not verified, say
        "quotas_exceeded": SETTINGS,
        "too_many_requests": DEFERRED,
        "transient_state": DEFERRED,
    }
    options = {"project": word, "region": word}

    def __init__(self, token: str, *, base: str = "", project: str = "", region: str = "fr-par") -> None:
        """Make it for a project.

        Args:
            token: The secret key.
            base: See :class:`Provider`.
            project: The project's id.
            region: Of the project's domain.

        Raises:
            ConfigError: One of them cannot be.
        """
        super().__init__(token, base=base)
        for key, value, form, example in (
            ("project", project, _PROJECT, "11111111-2222-3333-4444-555555555555"),
            ("region", region, _REGION, "fr-par"),
        ):
            if not isinstance(value, str) or not form.fullmatch(value):
                raise ConfigError(f"{self.name}: the URL names the {key}: {self.name}://KEY@default?{key}={example}")
        self.project = project
        self.region = region

    def refuse(self, letter: Letter) -> None:
        """Also: larger attachments than it takes."""
        super().refuse(letter)
        size = sum(attachment.size_bytes for attachment in letter.message.attachments)
        if size > _MAX_ATTACHED_BYTES:
            text = f"have {size} bytes, {self.name} takes {_MAX_ATTACHED_BYTES}"
            raise UnsupportedFeature(text, field="attachments")

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail."""
        letter = self.letter(mail)
        message = letter.message
        body: dict[str, Any] = {"from": named(message.from_[0])}
        for key, addresses in letter.kinds().items():
            if addresses:
                body[key] = [named(address) for address in addresses]
        body["subject"] = message.subject
        if message.html is not None:
            body["html"] = message.html
        if message.text is not None or message.html is None:
            body["text"] = message.text or ""
        body["project_id"] = self.project
        if message.attachments:
            body["attachments"] = [
                {"name": attachment.name, "type": attachment.content_type, "content": base64_text(attachment)}
                for attachment in message.attachments
            ]
        headers = [(name, header.custom(name, value)) for name, value in letter.headers]
        if message.reply_to:
            headers.append(("Reply-To", header.addresses("Reply-To", message.reply_to)))
        if headers:
            body["additional_headers"] = [{"key": name, "value": unfolded(field)} for name, field in headers]
        return Request.json(
            f"{self.base}/regions/{self.region}/emails",
            merged(body, message.provider_options, _TAKEN),
            {"X-Auth-Token": self.token},
        )

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"emails": [{"id": "...", "mail_rcpt": "ann@example.org", "status": "new", ...}]}``, one for each."""
        emails = data.get("emails") if isinstance(data, dict) else None
        if not isinstance(emails, list):
            raise Junk("it has no list of emails")
        results = [self._result(address, email, response) for address, email in items_of(mail, emails, "mail_rcpt")]
        if all(result.outcome is Outcome.UNKNOWN for result in results):
            raise Junk("it says of none of the recipients what becomes of it")
        return Receipt(id=mail.id, results=tuple(results))

    def _result(self, address: Any, email: Mapping[str, Any] | None, response: Response) -> RecipientResult:
        if email is None:
            return RecipientResult(address, Outcome.UNKNOWN, text="the answer does not name this recipient")
        status = email.get("status")
        outcome = _OUTCOMES.get(status, Outcome.UNKNOWN) if isinstance(status, str) else Outcome.UNKNOWN
        flags = email.get("flags")
        said = [status, email.get("status_details"), *(flags if isinstance(flags, list) else ())]
        return RecipientResult(
            address,
            outcome,
            None if outcome is Outcome.REJECTED else response.code,
            text=self.words(": ".join([text for text in said if isinstance(text, str) and text])),
            provider_id=self.id_of(email.get("id")),
            scope=Scope.RECIPIENT if outcome is Outcome.REJECTED else Scope.MESSAGE,
        )

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"type": "...", "message": "...", "details": [{"argument_name", "reason", "help_message"}]}``"""
        if not isinstance(data, dict):
            return None, ""
        code, details = data.get("type"), data.get("details")
        said = [data.get("message")]
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict):
                parts = [detail.get(key) for key in ("argument_name", "reason", "help_message")]
                said.append(" ".join([part for part in parts if isinstance(part, str) and part]))
        return (code if isinstance(code, str) and code else None), "; ".join(
            [text for text in said if isinstance(text, str) and text]
        )
