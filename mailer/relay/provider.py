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
from ..errors import ConfigError, UnsupportedFeature
from ..features import Features, Limits
from ..field import shown
from ..mail import Mail
from .answers import Answers, Junk
from .batch import packed
from .body import merged
from .exchange import Request, Response
from .letter import ROOM, Letter, Letters, Room, size_of
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


class Provider(Answers):
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

    bases: ClassVar[Mapping[str, str]]
    limits: ClassVar[Limits] = Limits()
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
