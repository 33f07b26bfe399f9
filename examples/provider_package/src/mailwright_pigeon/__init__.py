"""Pigeon Post: one JSON request for a mail, an answer with an id and who was refused."""

from __future__ import annotations

from typing import Any

from mailer import Attachment, Features, Mail, Outcome, Provider, Receipt, RecipientResult
from mailer.backends.relay import relay_factory
from mailer.features import Limits
from mailer.relay.letter import base64_text, mailbox
from mailer.relay.meaning import ACCOUNT
from mailer.relay.provider import Junk, Request, Response, items_of, merged, word

__all__ = ["Pigeon", "pigeon_from_url"]

#: What an app's own options must not say, for they would change who gets the mail.
_WHO = {"from", "to", "cc", "bcc"}


class Pigeon(Provider):
    """``pigeon://TOKEN@default``."""

    name = "pigeon"
    bases = {"default": "https://api.pigeon.example", "eu": "https://eu.pigeon.example"}  # noqa: RUF012 - a table
    # What it carries beyond most APIs, or less; the rest is refused or noted before anything is sent.
    features = Features.of_api(tags=True, metadata=True, sender=False, idempotency_key=True)
    limits = Limits(recipients=50, size_bytes=10_000_000, tags=3)
    has_unique_headers = True
    needs_to = True
    # Error codes that mean something else than the HTTP status they come with.
    errors = {"no_such_token": ACCOUNT}  # noqa: RUF012 - a table
    options = {"loft": word}  # noqa: RUF012 - a table

    def __init__(self, token: str, *, loft: str = "", **more: Any) -> None:
        """Make it for an account.

        Args:
            loft: Where mails leave from; "" is the account's own.
            more: As for any provider.
        """
        super().__init__(token, **more)
        self.loft = loft

    def request(self, mail: Mail) -> Request:
        """``POST /v1/mails``, with the message's key or the mail's id, by which Pigeon Post knows it again."""
        letter = self.letter(mail)  # with only what the features carry; its to, cc and bcc are the envelope's
        message = letter.message
        body: dict[str, Any] = {"from": mailbox(message.from_[0]), "subject": message.subject}
        for kind, addresses in (*letter.kinds().items(), ("reply_to", message.reply_to)):
            if addresses:
                body[kind] = [mailbox(address) for address in addresses]
        if message.html is not None:
            body["html"] = message.html
        if message.text is not None or message.html is None:
            body["text"] = message.text or ""
        more = {
            "headers": dict(letter.headers),
            "files": [_file(file, None) for file in letter.files],
            "pictures": [_file(file, file.content_id) for file in letter.inline],
            "tags": list(message.tags[: self.limits.tags]),
            "metadata": dict(letter.metadata),
            "loft": self.loft,
        }
        body |= {key: value for key, value in more.items() if value}
        headers = {"Authorization": f"Pigeon {self.token}", "X-Key": message.idempotency_key or mail.id}
        return Request.json(f"{self.base}/v1/mails", merged(body, message.provider_options, _WHO), headers)

    def check_request(self) -> Request:
        """``GET /v1/me``, which sends nothing."""
        return Request(f"{self.base}/v1/me", (("Authorization", f"Pigeon {self.token}"),), method="GET")

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"id": "...", "refused": [{"who": "bob@example.org", "why": "..."}]}``."""
        data = self.fields_of(data)
        provider_id, refused = self.id_of(data.get("id")), data.get("refused", [])
        if not isinstance(refused, list):
            raise Junk("those refused are no list")
        results = [
            RecipientResult(address, Outcome.ACCEPTED, code=response.code, provider_id=provider_id)
            if item is None
            else RecipientResult(address, Outcome.REJECTED, text=self.words(str(item.get("why"))))
            for address, item in items_of(mail, refused, "who")
        ]
        return Receipt(mail.id, results=tuple(results))

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"error": "code", "why": "words"}``."""
        if not isinstance(data, dict):
            return None, ""
        code, why = data.get("error"), data.get("why")
        return code if isinstance(code, str) else None, why if isinstance(why, str) else ""


def _file(file: Attachment, cid: str | None) -> dict[str, str]:
    told = {"name": file.name, "type": file.content_type, "content": base64_text(file)}
    return told if cid is None else {**told, "cid": cid}


pigeon_from_url = relay_factory(Pigeon)
