"""A relay of your own, by HTTP and JSON: ../howto/http-json.md

``https+json://TOKEN@relay.example.com/v1/mails``, or ``USER:PASSWORD@`` for basic authentication, or neither. It is
asked by a POST to just this URL, in a form that is ours, and answers with an outcome for each recipient, or by its HTTP
status alone. ``http+json://`` goes without TLS, and with credentials to this machine alone, unless the URL says
``auth_in_clear=yes``.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from ..address import Address
from ..errors import ConfigError, Outcome
from ..features import Features
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..retry import MAX_RETRY_AFTER_S
from ..verdict import Scope
from .batch import Weight, packed
from .exchange import Request, Response
from .letter import Letter, size_of
from .option import api, is_loopback, yes_no
from .provider import Junk, Provider, items_of
from .raw import MIME, base64_content

if TYPE_CHECKING:
    from typing import Self

    from ..backends.options import BackendURL

__all__ = ["HttpJson"]

# RFC 9110 section 5.1: a field's name is a token. Those that say what the request is are ours.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,76}", re.ASCII)
_OURS = frozenset("accept content-type content-length content-encoding transfer-encoding host connection".split())
_CREDENTIAL = re.compile(r"[!-~]{0,1000}", re.ASCII)
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)
_BASE = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<host>[^\s\[\]@/?#:]+))(?::[0-9]{1,5})?(?:/[!-~]*)?", re.ASCII
)
_MOST_IN_BATCH = 1000
_BATCH_BYTES = 20_000_000


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value) or value.lower() in _OURS:
        raise ValueError("must be the name of a header that is not one of HTTP's own")
    return value


def _count(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", value, re.ASCII) or not 1 <= int(value) <= _MOST_IN_BATCH:
        raise ValueError(f"must be a whole number from 1 to {_MOST_IN_BATCH}")
    return int(value)


def _names(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(","))
    known = [field.name for field in fields(Features) if field.name not in ("merge", "raw")]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{', '.join(map(repr, unknown))} is none of {', '.join(known)}")
    return names


class HttpJson(Provider):
    """A relay that takes mails in our form.

    Attributes:
        user: Of basic authentication; "" where the token stands in a header.
        header: The header that holds the token, alone; "" is ``Authorization: Bearer TOKEN``.
        idempotency_header: The header that holds the idempotency key of a mail that goes alone.
        idempotency: Whether a mail that comes twice with the same key goes out once there.
        batch: How many mails one request may carry.
        lacks: What it does not carry, names of features, parted by commas in a URL.
        auth_in_clear: Whether credentials may go without TLS beyond this machine.
    """

    name = "http+json"
    bases = {}
    features = replace(Features.everything(), raw=False, idempotency_key=False)
    mime = replace(MIME, return_path=True)
    smtputf8 = True
    options: ClassVar[Mapping[str, Any]] = {
        "header": _header,
        "idempotency_header": _header,
        "idempotency": yes_no,
        "batch": _count,
        "lacks": _names,
        "api": api,
        "auth_in_clear": yes_no,
    }

    def __init__(
        self,
        token: str = "",
        *,
        base: str,
        user: str = "",
        header: str = "",
        idempotency_header: str = "Idempotency-Key",
        idempotency: bool = False,
        batch: int = 1,
        lacks: Sequence[str] = (),
        api: str = "json",
        auth_in_clear: bool = False,
    ) -> None:
        """Make it for a URL.

        Args:
            token: The token, or the password of ``user``; "" for none.
            base: Where the mails are POSTed to, just so.
            user, header, idempotency_header, idempotency, batch, lacks, auth_in_clear: See the attributes.
            api: "mime" gives it the mail as it is; "json" the message's fields.

        Raises:
            ConfigError: One of them cannot be, or credentials would go in clear.
        """
        for value in (token, user):
            if not isinstance(value, str) or not _CREDENTIAL.fullmatch(value):
                raise ConfigError(f"{self.name}: token, user and password must be printable ASCII without blanks")
        if user and (not token or ":" in user or header):
            raise ConfigError(f"{self.name}: a user (without a colon) needs a password, and no header")
        found = _BASE.fullmatch(base)
        if found is None:
            raise ConfigError(f"{self.name}: the base must be a URL, https://relay.example.com/v1/mails, in ASCII")
        if token and found["scheme"] != "https" and not (is_loopback(found["v6"] or found["host"]) or auth_in_clear):
            raise ConfigError(
                f"{self.name}: without TLS the credentials are not sent: https+json://, or auth_in_clear=yes in the URL"
            )
        super().__init__(token or "none", base=base, api=api)
        self.base, self.token = base, token  # a slash at its end is meant, and there may be no token
        self.user = user
        self.header = header
        self.idempotency_header = idempotency_header
        self.idempotency = idempotency
        self.batch_size = batch
        self.features = replace(self.features, **dict.fromkeys(lacks, False), idempotency_key=idempotency)

    @classmethod
    def from_url(cls, url: BackendURL, **options: Any) -> Self:
        """Make it from ``https+json://TOKEN@host/path`` and the options."""
        if options.pop("scheme", None) is not None:
            raise ConfigError(f"{url.scheme}: it says itself whether there is TLS: http+json:// or https+json://")
        if not url.host or not url.host.isascii():
            raise ConfigError(
                f"{url.scheme}: the host must be named, in its ASCII form: {url.scheme}://TOKEN@host/path"
            )
        host = f"[{url.host}]" if ":" in url.host else url.host
        port = "" if url.port is None else f":{url.port}"
        base = f"{url.scheme.partition('+')[0]}://{host}{port}{quote(url.path or '/')}"
        if url.password is not None:
            if not url.username:
                raise ConfigError(
                    f"{url.scheme}: a password needs a user before it: {url.scheme}://USER:PASSWORD@host/path"
                )
            return cls(url.password, user=url.username, base=base, **options)
        return cls(url.username or "", base=base, **options)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials, also as they go."""
        login = b64encode(f"{self.user}:{self.token}".encode("ascii")).decode("ascii")
        return (self.token, login) if self.user else (self.token,)

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Nothing beyond whole features."""
        return ()

    # --- requests -----------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail; its idempotency key stands in a header too."""
        return self._post([mail], {self.idempotency_header: _key(mail)})

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """By number and size."""
        weight: Weight = lambda mail: (1, size_of(self.letter(mail)))  # noqa: E731
        return packed(mails, weight, self.batch_size, _BATCH_BYTES, named=lambda mail: mail.id)

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails."""
        return self._post(mails, {})

    def _post(self, mails: Sequence[Mail], headers: Mapping[str, str]) -> Request:
        return Request.json(self.base, {"mails": [self._item(mail) for mail in mails]}, {**headers, **self._login()})

    def _login(self) -> Mapping[str, str]:
        if self.user:
            return {"Authorization": f"Basic {self.secrets[1]}"}
        if not self.token:
            return {}
        return {self.header: self.token} if self.header else {"Authorization": f"Bearer {self.token}"}

    def _item(self, mail: Mail) -> dict[str, Any]:
        letter = self.letter(mail)
        sender = mail.envelope.sender
        item: dict[str, Any] = {
            "id": mail.id,
            "key": _key(mail),
            "envelope": {
                "sender": None if sender is None else sender.ascii,
                "recipients": [address.ascii for address in mail.envelope.recipients],
            },
        }
        if letter.content is not None:
            return item | {"content": base64_content(letter)}
        # Bcc is the envelope's to say: nobody who composes this can show it.
        return item | {"message": letter.message.with_(bcc=()).to_dict()}

    # --- answers ------------------------------------------------------------------------------------------------------

    def receipt(self, response: Response, mail: Mail) -> Receipt:
        """One mail's answer has the form of a batch's."""
        return self.batch_receipts(response, [mail])[0]

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """What is said of each mail counts, whatever the status; of whom nothing is said, the status does."""
        data = response.json()
        if response.cut is not None:
            return self.receipts(data, mails, response, self.accepted)
        said = _said(data)
        fine = replace(response, status=200)
        return [self.receipts(data, [mail], fine if mail.id in said else response, self.accepted)[0] for mail in mails]

    def refuses_whole(self, response: Response) -> bool:
        """Not where the answer says what has become of each."""
        return super().refuses_whole(response) and not _said(response.json())

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"mails": [{"id", "outcome", "provider_id", "text", "results": [{"address", "outcome", ...}]}]}``"""
        item = _said(data).get(mail.id)
        if item is None:
            if response.status in (202, 204) and not response.content.strip():
                return self.taken(mail, response)
            raise Junk("it says nothing of this mail")
        results = item.get("results", [])
        if not isinstance(results, list):
            raise Junk("its results are no list")
        told = items_of(mail, results, "address")
        return Receipt(id=mail.id, results=tuple([self._result(address, its, item) for address, its in told]))

    def _result(self, address: Address, its: Mapping[str, Any] | None, item: Mapping[str, Any]) -> RecipientResult:
        """What is said of the recipient, else of the mail; nothing of either is UNKNOWN."""
        given = item if its is None else its
        try:
            outcome = Outcome(given.get("outcome", "unknown"))
        except ValueError:
            raise Junk("an outcome is none of accepted, deferred, rejected, unknown") from None
        if outcome is Outcome.UNKNOWN and self.features.idempotency_key:
            outcome = Outcome.DEFERRED
        code, enhanced, wait_s = given.get("code"), given.get("enhanced_code"), given.get("retry_after_s")
        if code is not None and (type(code) is not int or not 200 <= code <= 599):
            raise Junk("a code is none of 200-599")
        if enhanced is not None and not (isinstance(enhanced, str) and _ENHANCED.fullmatch(enhanced)):
            raise Junk("an enhanced_code is none")
        if wait_s is not None and (isinstance(wait_s, bool) or not isinstance(wait_s, (int, float)) or not wait_s >= 0):
            raise Junk("a retry_after_s is no number of seconds")
        text = given.get("text", "")
        name = given.get("provider_id", item.get("provider_id"))
        is_own = its is not None and outcome is not Outcome.ACCEPTED
        return RecipientResult(
            address,
            outcome,
            code,
            enhanced,
            self.words(text) if isinstance(text, str) else "",
            None if wait_s is None or outcome is not Outcome.DEFERRED else min(float(wait_s), MAX_RETRY_AFTER_S),
            None if name is None or outcome is Outcome.REJECTED else self.id_of(name),
            Scope.RECIPIENT if is_own else Scope.MESSAGE,
        )

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"error": "..."}``, or an object in its place with ``code`` and ``text``."""
        error = data.get("error") if isinstance(data, dict) else None
        if isinstance(error, str):
            return None, error
        code, text = (error.get("code"), error.get("text")) if isinstance(error, dict) else (None, None)
        return (code if isinstance(code, str) else None), text if isinstance(text, str) else ""


def _key(mail: Mail) -> str:
    """The idempotency key: the message's, or the mail's id."""
    return (mail.message.idempotency_key if mail.message is not None else None) or mail.id


def _said(data: Any) -> Mapping[str, Mapping[str, Any]]:
    """The id of a mail -> what is said of it; nothing in an answer of another form."""
    items = data.get("mails") if isinstance(data, dict) else None
    listed = items if isinstance(items, list) else ()
    return {item["id"]: item for item in listed if isinstance(item, dict) and isinstance(item.get("id"), str)}
