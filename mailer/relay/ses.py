"""Amazon SES v2: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html

``ses://ACCESS-KEY:SECRET@eu-west-1``, or ``@default?region=eu-west-1``; without keys, ``ses://default``, they and the
region come from where AWS' own tools have them. ``?api=mime`` sends the mail as it is. Mails of one stored template go
fifty to a request, each with variables of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..address import Address
from ..aws.credentials import AwsCredentials
from ..envelope import NULL_SENDER
from ..errors import ConfigError, MessageError, UnsupportedFeature
from ..features import Features, Limits
from ..mail import Mail
from ..message import Message
from ..receipt import Receipt
from ..redaction import forgets_arguments
from .batch import Alike, gathered, packed
from .exchange import Request, Response
from .letter import Letter
from .meaning import SETTINGS, Meaning
from .option import api, base_url, word
from .pairs import pair_losses, pairs
from .provider import Junk, Provider, merged
from .raw import MIME, base64_content
from .ses_body import (
    MAX_HEADERS,
    MAX_VALUE,
    destination,
    fits,
    fitting_headers,
    headers,
    mailbox,
    parts,
    simple,
    template,
    template_data,
)
from .ses_errors import ACCOUNT_WORDS, DENIED, ERRORS, STALE, typed
from .ses_host import REGIONS, endpoint_of, is_aws, region_in
from .sigv4 import sigv4_signed

if TYPE_CHECKING:
    from typing import Self

    from ..backends.options import BackendURL

__all__ = ["Ses"]

_TAKEN = ("destination", "bulkemailentries", "to", "cc", "bcc")
#: What a bulk request knows of the options: mails with others go alone.
_BULK_OPTIONS = frozenset(
    {
        "ConfigurationSetName",
        "FeedbackForwardingEmailAddress",
        "FeedbackForwardingEmailAddressIdentityArn",
        "FromEmailAddressIdentityArn",
        "ReplyToAddresses",
        "TenantName",
    }
)
_ALIKE = Alike("context", "headers", "metadata", "priority", "tags")
_MAX_DATA_BYTES = 262_144


class Ses(Provider):
    """Amazon's Simple Email Service, API version 2.

    Attributes:
        region: Where it sends from, and what signatures are for.
        credentials: What to sign with, or what gives it; None: as AWS' own tools find it.
        profile: Of AWS' shared files; "" leaves it to them.
        configuration_set: Its name, or "".
        session_token: Of keys in the URL that are a session's, or "".
    """

    name = "ses"
    signs_with = "aws"
    bases = {"default": "https://email.{region}.amazonaws.com", **{region: endpoint_of(region) for region in REGIONS}}
    features = Features.of_api(return_path=True, provider_template=True, tags=True, metadata=True)
    # It writes Message-ID and Date anew.
    mime = replace(
        MIME, return_path=True, tags=True, metadata=True, message_id=False, date=False, provider_options=True
    )
    template_has_subject = True
    limits = Limits(recipients=50, size_bytes=40_000_000)
    options = {
        "region": word,
        "session_token": word,
        "profile": word,
        "configuration_set": word,
        "api": api,
    }
    batch_size = 50
    errors = ERRORS

    @forgets_arguments
    def __init__(
        self,
        access_key: str = "",
        secret_key: str = "",
        *,
        region: str,
        session_token: str = "",
        credentials: Any = None,
        profile: str = "",
        configuration_set: str = "",
        base: str = "",
        api: str = "json",
    ) -> None:
        """Make it for an account.

        Args:
            access_key, secret_key, session_token: What to sign with; "" leaves it to ``credentials``.
            region: "eu-west-1".
            credentials: In their place, what an :class:`mailer.aws.source.AwsSource` is made of: a callable that gives
                :class:`AwsCredentials`; or such a source. None asks as AWS' own tools do.
            profile: Of AWS' shared files, for the last.
            configuration_set: Sent with every mail; ``provider_options`` may name another.
            base: In the place of the region's own endpoint. It gets signed requests: trust it.
            api: "mime" gives it the mail's content as it is.

        Raises:
            ConfigError: Keys or region cannot be any, there is one of a pair, or there are none for a host not AWS'.
        """
        keys = None
        if access_key or secret_key or session_token:
            if credentials is not None or profile:
                raise ConfigError("ses: keys, credentials and profile are three ways of saying one thing: give one")
            keys = AwsCredentials(access_key, secret_key, session_token)
        elif credentials is not None and profile:
            raise ConfigError("ses: credentials and profile are two ways of saying one thing: give one")
        super().__init__(access_key or self.name, base=base or endpoint_of(region), api=api)
        if keys is None and credentials is None and not is_aws(self.base):
            raise ConfigError("ses: what AWS' settings hold is for AWS' hosts: give keys for this one in the URL")
        self.region = region
        self.credentials = credentials if keys is None else keys
        self.session_token = session_token
        self.profile = profile
        self.configuration_set = configuration_set

    @classmethod
    def from_url(cls, url: BackendURL, **options: Any) -> Self:
        """Make it from ``ses://ACCESS-KEY:SECRET@eu-west-1``, or without keys, and the options."""
        if (url.username is None) != (url.password is None):
            raise ConfigError("ses: the URL needs both keys before the '@', or none: ses://ACCESS-KEY:SECRET@default")
        if url.username is None and "session_token" in options:
            raise ConfigError("ses: session_token belongs to keys in the URL: ses://ACCESS-KEY:SECRET@default")
        is_http = options.pop("scheme", "https") == "http"
        host = url.host or "default"
        asked = options.pop("region", "")
        if host == "default" and not asked:
            raise ConfigError("ses: it has no region: ses://ACCESS-KEY:SECRET@eu-west-1, or the option region")
        is_region = host == "default" or region_in(host) == host
        region = asked or region_in(host) or "us-east-1"
        if is_region and host != "default" and asked not in ("", host):
            raise ConfigError(f"ses: the host says {host}, and the option region another")
        if is_region and not is_http and url.port is None:
            url.refuse("path")
            base = endpoint_of(region)
        else:
            base = base_url(url, cls.bases, is_http=is_http)
        return cls(url.username or "", url.password or "", region=region, base=base, **options)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys, where the URL has them."""
        return self.credentials.secrets if isinstance(self.credentials, AwsCredentials) else ()

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: tags and metadata beyond its alphabet, headers beyond its number and length, no sender at all."""
        yield from super().left_out(letter)
        yield from pair_losses(letter.message, self.name)
        message = letter.message
        if message.return_path is NULL_SENDER:
            yield "return_path", f"that is nobody is not carried by {self.name}", False
        if letter.content is not None:
            return
        if len(letter.headers) > MAX_HEADERS:
            yield "headers", f"beyond the first {MAX_HEADERS} are not carried by {self.name}", False
        if any(not fits(item) for item in headers(letter)):
            yield "headers", f"of more than {MAX_VALUE} characters are not carried by {self.name}", False

    def refuse(self, letter: Letter) -> None:
        """Also: more template variables than it takes."""
        super().refuse(letter)
        if letter.message.provider_template is not None:
            size = len(template_data(letter.message).encode())
            if size > _MAX_DATA_BYTES:
                text = f"has {size} bytes as JSON, a template of {self.name} takes {_MAX_DATA_BYTES}"
                raise UnsupportedFeature(text, field="context")

    # --- requests -----------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail, in parts, of a stored template, or as it is."""
        letter = self.letter(mail)
        message = letter.message
        body = self._sender(letter)
        is_raw = letter.content is not None
        body["Destination"] = destination(letter, is_raw=is_raw)
        if letter.content is not None:
            body["Content"] = {"Raw": {"Data": base64_content(letter)}}
        elif message.provider_template is not None:
            body["Content"] = {"Template": template(message, template_data(message)) | parts(letter)}
        else:
            body["Content"] = {"Simple": simple(message) | parts(letter)}
        if tags := _pairs(letter):
            body["EmailTags"] = tags
        return self._post("outbound-emails", merged(body, _options(message), _TAKEN))

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """Mails of one stored template together, all others alone."""
        for group in gathered(mails, self._likeness):
            yield from packed(group, lambda mail: (1, 0), self.batch_size)

    def _likeness(self, mail: Mail) -> object:
        message = self.letter(mail).message
        if message.provider_template is None or not set(message.provider_options) <= _BULK_OPTIONS:
            return None
        return _ALIKE(message)

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Up to 50 mails of one stored template: one entry for each, with its variables, tags and headers."""
        letters = [self.letter(mail) for mail in mails]
        first = letters[0]
        body = self._sender(first)
        files = {key: value for key, value in parts(first).items() if key == "Attachments"}
        body["DefaultContent"] = {"Template": template(first.message, "{}") | files}
        entries = []
        for letter in letters:
            data = {"ReplacementTemplateData": template_data(letter.message)}
            entry: dict[str, Any] = {
                "Destination": destination(letter),
                "ReplacementEmailContent": {"ReplacementTemplate": data},
            }
            if tags := _pairs(letter):
                entry["ReplacementTags"] = tags
            if fitting := fitting_headers(letter):
                entry["ReplacementHeaders"] = fitting
            entries.append(entry)
        body["BulkEmailEntries"] = entries
        return self._post("outbound-bulk-emails", merged(body, _options(first.message), _TAKEN))

    def check_request(self) -> Request:
        """What the account may send."""
        return Request(f"{self.base}/v2/email/account", (("Accept", "application/json"),), method="GET")

    def signed(self, request: Request, credential: Any, now: datetime) -> Request:
        """By Signature Version 4. The service is called ses, whatever the API's version."""
        return sigv4_signed(request, credential, region=self.region, service="ses", now=now)

    def _post(self, path: str, body: Any) -> Request:
        return Request.json(f"{self.base}/v2/email/{path}", body, {})

    def _sender(self, letter: Letter) -> dict[str, Any]:
        """Who sends, and who gets replies and reports. Of a mail as it is, its own fields say the former."""
        message = letter.message
        body: dict[str, Any] = {}
        if letter.content is None:
            body["FromEmailAddress"] = mailbox(message.from_[0])
            if message.reply_to:
                body["ReplyToAddresses"] = [mailbox(address) for address in message.reply_to]
        if isinstance(message.return_path, Address):
            body["FeedbackForwardingEmailAddress"] = message.return_path.ascii
        if self.configuration_set:
            body["ConfigurationSetName"] = self.configuration_set
        return body

    # --- answers ------------------------------------------------------------------------------------------------------

    def checks_out(self, response: Response) -> bool:
        """Keys that may send alone are refused what the account may, by who they are."""
        return response.is_success or typed(response.json(), response)["__type"] in DENIED

    def is_stale(self, response: Response) -> bool:
        """By the error's type: the session has ended, or its key is not known any more."""
        return not response.is_success and typed(response.json(), response)["__type"] in STALE

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"MessageId": "0102018f..."}``"""
        data = self.fields_of(data)
        return self.taken(mail, response, self.id_of(data.get("MessageId")))

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """``{"BulkEmailEntryResults": [{"Status": "SUCCESS", "MessageId": "..."}, ...]}``, in the order asked."""
        data = response.json()
        items = data.get("BulkEmailEntryResults") if isinstance(data, dict) else None
        is_whole = isinstance(items, list) and len(items) == len(mails)
        if not response.is_success or response.cut is not None or not is_whole:
            return self.receipts(data, mails, response, _without_entries)
        return [
            self.receipts(item, [mail], response, self._entry)[0] for mail, item in zip(mails, items or (), strict=True)
        ]

    def _entry(self, item: Any, mail: Mail, response: Response) -> Receipt:
        status = item.get("Status") if isinstance(item, dict) else None
        if not isinstance(status, str) or not status:
            raise Junk("its entry says neither success nor error")
        return self.accepted(item, mail, response) if status == "SUCCESS" else self.refused(item, mail, response)

    def refused(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """The error's type may stand in a header alone, and what it means, in its words."""
        return super().refused(typed(data, response), mail, response)

    def meaning(self, data: Any, response: Response) -> Meaning:
        """A quota is not a throttle, and a configuration set that is not found is not the mail's fault."""
        code, text = self.error_of(data)
        told = ACCOUNT_WORDS.get(str(code))
        return SETTINGS if told is not None and told in text.lower() else super().meaning(data, response)

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"message": "..."}`` with its type, or a bulk entry's ``{"Status": "...", "Error": "..."}``."""
        if not isinstance(data, dict):
            return None, ""
        code = data.get("__type") or data.get("Status")
        texts = (data.get("message"), data.get("Message"), data.get("Error"))
        text = next((text for text in texts if isinstance(text, str) and text), "")
        return (code if isinstance(code, str) and code else None), text


def _without_entries(data: Any, mail: Mail, response: Response) -> Receipt:
    raise Junk("it has no BulkEmailEntryResults with an entry for each mail")


def _pairs(letter: Letter) -> list[dict[str, str]]:
    tags = pairs(letter.message.tags, letter.metadata)
    return [{"Name": name, "Value": value} for name, value in tags]


def _options(message: Message) -> Mapping[str, Any]:
    if "EndpointId" in message.provider_options:
        raise MessageError("EndpointId needs another host and another signature", field="provider_options")
    return message.provider_options
