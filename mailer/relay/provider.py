"""The provider: a mail service's API as pure functions, from a mail to a request and from a response to receipts.

A provider opens no connection and reads no clock: :class:`~mailer.backends.relay.RelayBackend` does the waiting. One is
written by subclassing :class:`Provider` with ``request`` and ``accepted``, and two tables: what it carries
(:class:`~mailer.features.Features`, :class:`~mailer.features.Limits`), and what its error codes mean where that is not
what :mod:`mailer.relay.meaning` says of the HTTP status.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..address import Address
from ..errors import ConfigError, MailerError, Outcome, ProtocolError, UnsupportedFeature
from ..features import Features, Limits
from ..field import shown
from ..mail import Mail
from ..receipt import Receipt
from ..redaction import Secrets
from .batch import packed
from .body import merged
from .exchange import Request, Response
from .letter import ROOM, Letter, Letters, Room, size_of
from .meaning import REJECTED, UNKNOWN, Meaning, meaning_of
from .option import base_url, word, yes_no
from .raw import in_ascii
from .recipients import items_of, named_in

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Self

    from ..backends.options import BackendURL

__all__ = [
    "Junk",
    "Provider",
    "Request",
    "Response",
    "base_url",
    "items_of",
    "merged",
    "named_in",
    "packed",
    "size_of",
    "word",
    "yes_no",
]

_TOKEN = re.compile(r"[!-~]{1,1000}", re.ASCII)
_MIN_SECRET = 4
_MAX_WORDS = 300
_MAX_LENT = 12  # of three keys each: those in use, and those that they have just taken the place of


class Junk(Exception):
    """A success that is not in the form that the provider documents: it says nothing. Raised by ``accepted``."""


class Provider:
    """One service, with one account's token.

    Attributes:
        name: What it is called in texts and its URL: lower case.
        bases: "default" and regions by name -> the API's base URL, no slash at its end; none: a host of one's own.
        features: What a message may ask of it.
        limits: How much.
        errors: Error code -> meaning, where the HTTP status says something else.
        statuses: HTTP status -> meaning, where it is not that of :mod:`mailer.relay.meaning`.
        metadata_room: How many entries of metadata it takes, and how many bytes; our mail's id goes with them only
            where there is room.
        has_unique_headers: Whether a header that stands twice is carried once, as where headers are a JSON object.
        template_has_subject: Whether a stored template brings the subject too, not the texts alone.
        needs_to: Whether several hidden recipients must have somebody in To or Cc to be hidden behind.
        smtputf8: Whether it takes addresses whose local part is not ASCII.
        options: Keyword of the constructor -> what reads its value from a URL; raises ValueError with the reason.
            One that has a sandbox names "sandbox" here.
        batch_size: How many mails one request carries at most.
        rate: How many requests it takes, as published: "2/s", "" where nothing is. So often its own hosts are asked.
        signs_with: What :meth:`signed` needs beside the request: "token", an OAuth 2 access token; "aws",
            :class:`~mailer.aws.credentials.AwsCredentials`; "" nothing.
        api: "json", where it is given a mail in its parts; "mime", as it is.
        mime: What it carries where it is given the mail's content as it is; None: it takes none (:mod:`.raw`).
        token: The credential. Shown nowhere.
        base: The base URL in use.
        sandbox: Whether its sandbox takes the mails: everything is checked, and mostly nothing sent.
    """

    name: ClassVar[str]
    bases: ClassVar[Mapping[str, str]]
    features: Features
    limits: ClassVar[Limits] = Limits()
    errors: ClassVar[Mapping[int | str, Meaning]] = {}
    statuses: ClassVar[Mapping[int, Meaning]] = {}
    metadata_room: ClassVar[Room] = ROOM
    has_unique_headers: ClassVar[bool] = False
    template_has_subject: ClassVar[bool] = False
    needs_to: ClassVar[bool] = False
    smtputf8: ClassVar[bool] = False
    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {}
    batch_size: int = 1
    rate: str = ""
    mime: ClassVar[Features | None] = None
    signs_with: str = ""
    _lent: tuple[str, ...] = ()
    _masks: tuple[tuple[str, ...], Secrets | None] = (), None

    def __init__(self, token: str, *, base: str = "", sandbox: bool = False, api: str = "json") -> None:
        """Make it for an account.

        Args:
            token: The API token or key; printable ASCII. "" where requests are signed with what does not stand here.
            base: Another base URL, or "" for the default's. It gets the token: trust it.
            sandbox: Have everything checked and nothing sent, where the provider can do that.
            api: "mime" gives it the mail's content as it is, where it takes that; "json" its parts.

        Raises:
            ConfigError: The token cannot be one, or there is no sandbox, or it takes no content.
        """
        if not isinstance(token, str) or not (_TOKEN.fullmatch(token) or (self.signs_with and not token)):
            text = f"must be printable ASCII without blanks: {self.name}://TOKEN@default"
            raise ConfigError(f"{self.name}: the token {text}")
        if sandbox and "sandbox" not in self.options:
            raise ConfigError(f"{self.name} has no sandbox: leave it out")
        self.token = token
        self.base = base.rstrip("/") or self.bases.get("default", "")
        if not self.base:
            raise ConfigError(f"{self.name} is run by yourself: name its host, {self.name}://TOKEN@mail.example.com")
        self.sandbox = sandbox
        self.letters = Letters()
        self.api = api
        if api != "json" and (api != "mime" or self.mime is None):
            raise ConfigError(f"{self.name}: api={shown(api)}: must be {'json or mime' if self.mime else 'json'}")
        if api == "mime" and self.mime is not None:
            self.features, self.batch_size = self.mime, 1

    @classmethod
    def from_url(cls, url: BackendURL, **options: Any) -> Self:
        """Make it from ``name://TOKEN@default`` and the options, which are read already."""
        if url.username is None or url.password is not None:
            raise ConfigError(
                f"{url.scheme}: the URL needs the token alone before the '@': {url.scheme}://TOKEN@default"
            )
        base = base_url(url, cls.bases, is_http=options.pop("scheme", "https") == "http")
        return cls(url.username, base=base, **options)

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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base}>"

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """What it leaves out of this letter, beyond whole features: (feature, "is ... by NAME", is it only advice)."""
        message, limits = letter.message, self.limits
        if limits.tags is not None and len(message.tags) > limits.tags:
            yield "tags", f"beyond the first {limits.tags} are not carried by {self.name}", True
        if letter.content is not None:
            return  # which says the rest by itself
        if limits.reply_to is not None and len(message.reply_to) > limits.reply_to:
            yield "reply_to", f"beyond the first {limits.reply_to} is not carried by {self.name}", False
        if len(message.from_) > 1:
            yield "from_", f"beyond the first is not carried by {self.name}", False
        if self.has_unique_headers and letter.has_repeats:
            yield "headers", f"that stand twice are carried once by {self.name}", False
        if message.provider_template is not None:
            its = "subject, text and html" if self.template_has_subject else "text and html"
            subject = message.subject if self.template_has_subject else ""
            if subject or message.text or message.html or message.amp_html or message.alternatives:
                yield "provider_template", f"brings its own {its}: give none beside it", False

    def refuse(self, letter: Letter) -> None:
        """Raise UnsupportedFeature for what cannot even be left out: too many recipients, too large."""
        limits = self.limits
        count, most = len(letter.to) + len(letter.cc) + len(letter.bcc), limits.recipients
        if most is not None and count > most:
            text = f"{count} are more than the {most} that {self.name} takes in one mail: send several"
            raise UnsupportedFeature(text, field="recipients")
        for kind in ("to", "cc", "bcc") if letter.content is None else ():
            count, most = len(getattr(letter, kind)), getattr(limits, kind)
            if most is not None and count > most:
                text = f"{count} in {kind} are more than the {most} that {self.name} takes: send several"
                raise UnsupportedFeature(text, field="recipients")
        if self.needs_to and letter.content is None:
            letter.kinds()
        size, largest = size_of(letter), limits.size_bytes
        if largest is not None and size > largest:
            text = f"the mail has {size} bytes with its attachments encoded, {self.name} takes {largest}"
            raise UnsupportedFeature(text, field="attachments" if letter.message.attachments else "")
        if letter.content is not None and letter.content.has_utf8_headers and not self.smtputf8:
            raise UnsupportedFeature(f"are not ASCII, which {self.name} does not take", field="headers")
        for field, addresses in (("from_", letter.message.from_), ("reply_to", letter.message.reply_to)):
            if not all(map(self.takes, addresses)):
                raise UnsupportedFeature(f"its local part is not ASCII, which {self.name} does not take", field=field)

    def takes(self, address: Address) -> bool:
        """Whether it can send there at all. What it cannot reach is REJECTED without being asked about."""
        return self.smtputf8 or not address.needs_smtputf8

    # --- requests -----------------------------------------------------------------------------------------------------

    def letter(self, mail: Mail) -> Letter:
        """The mail with only what this provider carries; made once, until ``letters`` forgets it."""
        return self.letters.of(mail, self._letter)

    def _letter(self, mail: Mail) -> Letter:
        """Make it; content in ASCII headers, where it takes no others."""
        letter, sender = Letter.of(mail, self.features, self.metadata_room), mail.envelope.sender
        if letter.content is None or self.smtputf8 or (sender is not None and not self.takes(sender)):
            return letter
        return replace(letter, content=in_ascii(letter.content))

    def request(self, mail: Mail) -> Request:
        """The request that sends the mail.

        Raises:
            MessageError: An attachment cannot be read, or a value is not what the provider takes.
        """
        raise NotImplementedError(f"{type(self).__name__} has no request")

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """Cut the mails into what one request may carry, none of it more than ``batch_size``. Any order."""
        return packed(mails, lambda mail: (1, 0), self.batch_size)

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """The request that sends several mails. Needed only where ``batch_size`` is more than 1."""
        raise NotImplementedError(f"{type(self).__name__} has no batch_request")

    def check_request(self) -> Request | None:
        """A request that shows whether the token is good and sends nothing, or None where there is none."""
        return None

    def signed(self, request: Request, credential: Any, now: datetime) -> Request:
        """The request as it goes out, with what does not last: a date, a signature, an access token.

        Asked anew whenever the request is sent: what must be the same at every try (ids, keys) stands in ``request``.

        Args:
            credential: What ``signs_with`` says; None where that is "".
            now: With a time zone.
        """
        return request

    # --- answers ------------------------------------------------------------------------------------------------------

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
