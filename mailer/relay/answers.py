"""What a provider's answers mean: the half of :class:`~mailer.relay.provider.Provider` that reads responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ..errors import MailerError, Outcome, ProtocolError
from ..features import Features
from ..mail import Mail
from ..receipt import Receipt
from ..redaction import Secrets
from ..verdict import Scope
from .exchange import Response
from .meaning import REJECTED, UNKNOWN, Meaning, meaning_of

__all__ = ["Answers", "Junk"]

_MIN_SECRET = 4
_MAX_WORDS = 300
_MAX_LENT = 12  # of three keys each: those in use, and those that they have just taken the place of


class Junk(Exception):
    """A success that is not in the form that the provider documents: it says nothing. Raised by ``accepted``."""


class Answers:
    """How one service's answers are read. Its attributes are said at :class:`~mailer.relay.provider.Provider`."""

    name: ClassVar[str]
    features: Features
    errors: ClassVar[Mapping[int | str, Meaning]] = {}
    statuses: ClassVar[Mapping[int, Meaning]] = {}
    token: str
    _lent: tuple[str, ...] = ()
    _masks: tuple[tuple[str, ...], Secrets | None] = (), None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be shown nowhere, and is masked where an answer repeats it, in whatever form."""
        return (self.token,)

    @property
    def _secrets(self) -> Secrets:
        lent = self._lent
        known, made = self._masks
        if made is None or known is not lent:  # another thread may be lending just now
            # What is shorter is no credential of any service, and stands in half of all words.
            made = Secrets(*[secret for secret in (*self.secrets, *lent) if len(secret) >= _MIN_SECRET])
            self._masks = lent, made
        return made

    def hide(self, credential: Any) -> None:
        """Mask this as well where an answer repeats it: a credential that is about to be signed with."""
        lent = (credential,) if isinstance(credential, str) else tuple(credential.secrets)
        if not set(lent) <= set(self._lent):
            self._lent = (*lent, *self._lent)[:_MAX_LENT]

    def checks_out(self, response: Response) -> bool:
        """Whether the answer to ``check_request`` says that the token is good."""
        return response.is_success

    def is_stale(self, response: Response) -> bool:
        """Whether the answer says that the credential has ended: it did nothing, and another is tried once."""
        return response.status == 401

    def receipt(self, response: Response, mail: Mail) -> Receipt:
        """What the answer to ``request`` means, for each recipient."""
        return self.receipts(response.json(), [mail], response, self.accepted)[0]

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """What the answer to ``batch_request`` means, a receipt for each mail in their order."""
        raise NotImplementedError(f"{type(self).__name__} has no batch_receipts")

    def refuses_whole(self, response: Response) -> bool:
        """Whether the answer to a batch refuses the request as a whole, nobody being sent to, whoever is at fault.

        Then the batch is halved until who is at fault stands alone: one bad mail does not take others with it.
        """
        return 400 <= response.status <= 499

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """Read a 2xx answer's JSON (None if it is none).

        Raises:
            Junk: It is not what the provider documents. Everyone is UNKNOWN then, never ACCEPTED.
        """
        raise NotImplementedError(f"{type(self).__name__} has no accepted")

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """Error code and words of an answer's JSON, which may be anything; (None, "") where it has none."""
        return None, ""

    def retry_after_s(self, response: Response) -> float | None:
        """How long the answer asks us to wait, in seconds: by Retry-After, or as this provider says it."""
        return response.retry_after_s

    def receipts(
        self,
        data: Any,
        mails: Sequence[Mail],
        response: Response,
        accepted: Callable[[Any, Mail, Response], Receipt],
    ) -> list[Receipt]:
        """One answer for all of the mails, if it is no success; else what ``accepted`` reads for each.

        Args:
            data: The answer's JSON, or the part of it that is about these mails; read once, as an answer to a batch is
                long.
        """
        if not response.is_success:
            return [self.refused(data, mail, response) for mail in mails]
        if response.cut is not None:
            text = f"{self.name} answered HTTP {response.status}, and the rest of the answer did not come"
            return [self.settled(UNKNOWN, mail, response, text, cause=response.cut) for mail in mails]
        try:
            return [accepted(data, mail, response) for mail in mails]
        except Junk as junk:
            text = f"{self.name} answered HTTP {response.status}, and {self.words(str(junk) or 'it is no JSON')}"
            return [self.settled(UNKNOWN, mail, response, text, cause=ProtocolError(text)) for mail in mails]

    def meaning(self, data: Any, response: Response) -> Meaning:
        """By the error's code, else by the status; a success that refuses is REJECTED."""
        code, _ = self.error_of(data)
        known = self.errors.get(code) if code is not None else None
        by_status = self.statuses.get(response.status) or meaning_of(response.status)
        return known or (REJECTED if response.is_success else by_status)

    def refused(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """What an answer means that is no success, or that is one by its status alone."""
        code, text = self.error_of(data)
        meaning = self.meaning(data, response)
        if 300 <= response.status <= 399:
            text = "it redirects, which is not followed: check the host in the URL"
        said = " ".join(str(part) for part in (code, text) if part not in (None, ""))
        words = self.words(said or response.prose()) or f"HTTP {response.status}"
        return self.settled(meaning, mail, response, words, code=0 if response.is_success else None)

    def settled(
        self,
        meaning: Meaning,
        mail: Mail,
        response: Response,
        text: str,
        *,
        cause: MailerError | None = None,
        code: int | None = None,
    ) -> Receipt:
        """The receipt that says the same for everyone.

        Args:
            meaning: UNKNOWN becomes DEFERRED where the provider has honoured our idempotency key.
            text: Fit to be shown.
            cause: In the place of the meaning's.
            code: The HTTP status, where that did not decide; 0 for none.
        """
        outcome = meaning.outcome
        if outcome is Outcome.UNKNOWN and self.features.idempotency_key:
            outcome = Outcome.DEFERRED
        if cause is None and meaning.cause is not None:
            cause = meaning.cause(f"{self.name}: HTTP {response.status}: {text}")
        receipt = Receipt.for_all(
            mail,
            outcome,
            code=response.code if code is None else code or None,
            text=text,
            scope=meaning.scope,
            retry_after_s=self.retry_after_s(response) if outcome is Outcome.DEFERRED else None,
        )
        return receipt if cause is None else receipt.with_(error=cause)

    def fields_of(self, data: Any) -> dict[str, Any]:
        """The answer's JSON object.

        Raises:
            Junk: It is none.
        """
        if not isinstance(data, dict):
            raise Junk("it is no JSON object")
        return data

    def taken(self, mail: Mail, response: Response, provider_id: str | None = None, text: str = "") -> Receipt:
        """The receipt that says that everyone was accepted, under one id."""
        return Receipt.for_all(
            mail, Outcome.ACCEPTED, code=response.code, text=text, provider_id=provider_id, scope=Scope.MESSAGE
        )

    def id_of(self, value: Any) -> str:
        """An id out of an answer: 1-255 printable characters; a whole number becomes text.

        Raises:
            Junk: It is none, or repeats a secret.
        """
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
            value = str(value)
        if not isinstance(value, str) or not 1 <= len(value) <= 255 or not value.isprintable():
            raise Junk("it gives no id")
        if self._secrets.found_in(value):
            raise Junk("what should be its id is none")
        return value

    def words(self, text: str) -> str:
        """The text on one line, cut to 300 characters, control characters escaped, secrets masked."""
        text = " ".join(self._secrets.hide(text).split())
        text = "".join([char if char.isprintable() else ascii(char)[1:-1] for char in text])
        return text if len(text) <= _MAX_WORDS else text[: _MAX_WORDS - 3] + "..."
