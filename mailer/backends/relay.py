"""Relay services: a provider's HTTP API as a backend. :mod:`mailer.relay` is the pure half, here is the waiting."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ..clock import utc_now
from ..errors import (
    AuthError,
    ConfigError,
    ConnectError,
    MailerError,
    MessageError,
    Outcome,
    ProtocolError,
    TlsError,
    TransportError,
    UnsupportedFeature,
)
from ..features import noted
from ..log import REQUEST
from ..mail import Mail
from ..message import Message
from ..proxy import Proxy
from ..receipt import Receipt
from ..redaction import forget_frames
from ..relay import PROVIDERS
from ..relay.exchange import Request, Response
from ..relay.meaning import meaning_of
from ..relay.provider import Provider
from ..tls import tls_context
from ..verdict import VERDICTS, Scope, Verdict, event_of
from .base import Backend, Health
from .options import BackendURL, choice, pace, seconds, text
from .pace import Pace
from .parcel import Parcel

if TYPE_CHECKING:
    from ..features import Unsupported
    from ..oauth2.token import TokenSource
    from ..runtime import Http, Runtime
    from .url import BackendFactory

__all__ = ["RelayBackend", "relay_factory", "relay_from_url"]


_Source = Callable[..., Awaitable[Any]]  # (runtime, deadline, *, stale), as TokenSource.token
#: ``Provider.signs_with`` -> the module that finds such credentials, and what a URL leaves to the environment.
_SOURCES = {"aws": "..aws.relay"}


def _source_module(provider: Provider | type[Provider]) -> Any:
    return importlib.import_module(_SOURCES[provider.signs_with], __package__)


class RelayBackend(Backend):
    """Sends through a provider's API, over connections that are kept for the next mail.

    ``RelayBackend(Postmark("TOKEN"))``. Shared by threads and tasks; a fork and another event loop begin anew.
    """

    _http: Http

    def __init__(
        self,
        provider: Provider,
        *,
        timeout_s: float = 180.0,
        connect_timeout_s: float = 10.0,
        ca_file: str | None = None,
        client: Any = None,
        proxy: str | Proxy | None = None,
        rate: str = "",
        url: str = "",
    ) -> None:
        """Make it. Opens no connection.

        Args:
            provider: The service, with its token.
            timeout_s: For one attempt in all, from the name's resolution to the end of the answer.
            connect_timeout_s: To reach each of the host's addresses.
            ca_file: A PEM file with the only authorities to trust; None: the system's.
            client: An ``httpx.Client`` (``httpx.AsyncClient`` for an ``AsyncMailer``) to send with, for
                a test with ``httpx.MockTransport`` say. You close it. Blocking, its own timeouts count.
            proxy: By way of which, ``http://user:password@host:3128`` or ``socks5://...``; None: straight there.
            rate: How often requests go out at most, for all who share this backend: "50/s", "120/m"; "" is what the
                provider publishes for its own hosts; "off" sends at once, and heeds no Retry-After.
            url: How it prints itself, secrets masked.

        Raises:
            ConfigError: ``ca_file``, ``proxy`` or ``rate`` cannot be used.
        """
        self.provider = provider
        self.features = provider.features
        self.limits = provider.limits
        self.batch_size = provider.batch_size
        if provider.mime is not None:
            self.raw_remedy = ": its option api=mime carries it"
        self.url = url or f"{provider.name}://***@{provider.base.partition('://')[2]}"
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._ca_file = ca_file
        if ca_file is not None:
            tls_context(ca_file=ca_file)  # what is wrong with it is to be known now
        self._client = client
        self._proxy = Proxy.parse(proxy) if isinstance(proxy, str) else proxy
        if client is not None and proxy is not None:
            raise ConfigError(f"{self.url}: a client of your own has its own proxy: give it to that")
        self._pace = Pace(provider, rate)
        self._credentials: _Source | None = None
        if provider.signs_with in _SOURCES:
            self._credentials = _source_module(provider).source_for(provider).credentials
        self._cut_short: dict[str, Receipt] = {}

    # --- credentials that end -----------------------------------------------------------------------------------------

    @property
    def wants_tokens(self) -> bool:
        """Whether the provider takes access tokens, and there is no source of them yet."""
        return self.provider.signs_with == "token" and self._credentials is None

    def use_tokens(self, tokens: TokenSource) -> None:
        """Sign requests with access tokens from there."""
        if not self.wants_tokens:
            raise ConfigError(f"{self} has no use for access tokens: its URL has what it needs, or it has some already")
        self._credentials = tokens.token

    async def _credential(self, deadline: float, stale: Any = None) -> Any:
        if not self.provider.signs_with:
            return None
        if self._credentials is None:
            raise AuthError(f"{self} needs access tokens: Mailer(..., tokens=TokenProvider(...))")
        credential = await self._credentials(self.runtime, deadline, stale=stale)
        self.provider.hide(credential)
        return credential

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, mail: Mail) -> tuple[str, ...]:
        """What the provider leaves out of this mail; also what only the single mail shows."""
        notes = super().left_out(mail)
        try:
            letter = self.provider.letter(mail)
            self.provider.refuse(letter)
            self._refuse_beyond_the_horizon(letter.message)
            finer = self.provider.left_out(letter)
            return (*notes, *[noted(name, text, self.unsupported, is_advice=advice) for name, text, advice in finer])
        except UnsupportedFeature:
            self.provider.letters.forget()  # nobody sends it
            raise

    def _refuse_beyond_the_horizon(self, message: Message) -> None:
        most_s = self.provider.limits.schedule_s
        if (
            most_s is not None
            and message.send_at is not None
            and (message.send_at - utc_now()).total_seconds() > most_s
        ):
            text = f"is further ahead than the {most_s // 3600} hours that {self.provider.name} keeps a mail"
            raise UnsupportedFeature(text, field="send_at")

    # --- sending ------------------------------------------------------------------------------------------------------

    async def send(self, mail: Mail) -> Receipt:
        """One request for one mail."""
        return (await self._carried([mail]))[0]

    async def send_many(self, mails: Sequence[Mail]) -> list[Receipt]:
        """As few requests as the provider's batches allow; each mail has a receipt of its own."""
        return await self._carried(mails)

    def settled(self, mail: Mail) -> Receipt:
        """What was known when the send was cut short."""
        return self._cut_short.pop(mail.id, None) or super().settled(mail)

    async def _carried(self, mails: Sequence[Mail]) -> list[Receipt]:
        is_each_once = len({id(mail) for mail in mails}) == len(mails)
        parcels = [Parcel.of(mail if is_each_once else mail.with_(), self.provider) for mail in mails]
        by_part = {id(parcel.part): parcel for parcel in parcels if parcel.part is not None}
        try:
            for group in self.provider.grouped([parcel.part for parcel in by_part.values() if parcel.part]):
                await self._exchange([by_part[id(part)] for part in group])
        except Exception:
            raise
        except BaseException:
            for parcel in parcels:
                parcel.settle(VERDICTS["cut short"], "cut short")
                self._cut_short[parcel.mail.id] = parcel.whole()
            raise
        finally:
            self.provider.letters.forget()
        return [parcel.whole() for parcel in parcels]

    async def _exchange(self, parcels: list[Parcel]) -> None:
        """One request for these, and what its answer means for each."""
        request, parcels = self._request(parcels)
        if request is None:
            return
        sent: list[bool] = []
        try:
            response = await self._send(request, sent)
            self._pace.heed(response)
        except MailerError as error:
            is_before = not sent or isinstance(error, (ConfigError, ConnectError, TlsError))
            verdict = VERDICTS[event_of(error, "reply malformed")] if is_before else self._lost(parcels)
            after_s = self._pace.after_s(self._patience_s) if is_before else None
            for parcel in parcels:
                parcel.settle(verdict, self.provider.words(str(error)), error, retry_after_s=after_s)
            return
        except Exception:
            raise
        except BaseException:
            for parcel in parcels:
                parcel.settle(self._lost(parcels) if sent else VERDICTS["cut short"], "cut short")
            raise
        self._read(response, parcels)
        if len(parcels) > 1 and self.provider.refuses_whole(response) and all(parcel.is_refused for parcel in parcels):
            # Nobody was sent to, and one alone may be at fault: who is, shows where he stands alone.
            for parcel in parcels:
                parcel.receipt = None
            half = len(parcels) // 2
            await self._exchange(parcels[:half])
            await self._exchange(parcels[half:])

    def _request(self, parcels: list[Parcel]) -> tuple[Request | None, list[Parcel]]:
        """The request, and whom it is for: not for a mail that cannot be written, which is settled."""
        provider = self.provider
        parts = [cast(Mail, parcel.part) for parcel in parcels]
        try:
            return (provider.request(parts[0]) if len(parts) == 1 else provider.batch_request(parts)), parcels
        except MessageError as error:
            if len(parts) == 1:
                if isinstance(error, UnsupportedFeature):
                    raise
                parcels[0].settle(VERDICTS["not carried here"], str(error), error)
                return None, []
        for parcel, part in zip(parcels, parts, strict=True):
            try:
                provider.request(part)
            except MessageError as error:
                parcel.settle(VERDICTS["not carried here"], str(error), error)
        left = [parcel for parcel in parcels if parcel.receipt is None]
        return self._request(left) if left else (None, [])

    def _read(self, response: Response, parcels: list[Parcel]) -> None:
        parts = [cast(Mail, parcel.part) for parcel in parcels]
        try:
            if len(parts) == 1:
                receipts = [self.provider.receipt(response, parts[0])]
            else:
                receipts = self.provider.batch_receipts(response, parts)
            for parcel, receipt in zip(parcels, receipts, strict=True):
                parcel.receipt = receipt
        except Exception as error:  # noqa: BLE001 - the mail is sent, and whatever its reader raises, stays sent
            # Not its text, nor its chain: they may quote the answer.
            unread = ProtocolError(f"{self.provider.name}: the answer could not be read: {type(error).__name__}")
            for parcel in parcels:
                parcel.settle(self._lost(parcels), str(unread), unread)

    def _lost(self, parcels: Sequence[Parcel]) -> Verdict:
        """What has become of mails whose answer says nothing: with a key one can be sent again and goes out once.

        A batch's key is that of just these mails; whoever is sent again alone would go out twice.
        """
        is_keyed = self.features.idempotency_key and len(parcels) == 1
        return Verdict(Outcome.DEFERRED, Scope.MESSAGE) if is_keyed else VERDICTS["answer lost"]

    @property
    def _patience_s(self) -> float:
        return self._pace.patience_s(self._timeout_s, has_stand_in=self.has_stand_in)

    async def _send(self, request: Request, sent: list[bool]) -> Response:
        """Sign and send it; once more, with another credential, where the answer says that this one has ended.

        Args:
            sent: Is given an item once the provider may have acted upon the request.
        """
        try:
            return await self._tried(request, sent)
        except MailerError as error:
            forget_frames(error)  # they hold the signed request and its credential
            raise

    async def _tried(self, request: Request, sent: list[bool]) -> Response:
        deadline = self.runtime.now() + self._timeout_s
        await self._pace.turn(self.runtime.now() + self._patience_s)
        credential = await self._credential(deadline)
        response = await self._sent(self.provider.signed(request, credential, utc_now()), sent, deadline)
        if credential is not None and self.provider.is_stale(response):
            sent.clear()
            fresh = await self._credential(deadline, credential)
            if fresh != credential:
                response = await self._sent(self.provider.signed(request, fresh, utc_now()), sent, deadline)
        return response

    async def _sent(self, request: Request, sent: list[bool], deadline: float) -> Response:
        start = self.runtime.now()
        status: int | None = None
        try:
            response = await self._http.send(
                request.method,
                request.url,
                content=request.content,
                headers=request.headers,
                deadline=deadline,
                on_sent=lambda: sent.append(True),
            )
            status = response.status
        finally:
            if REQUEST.wanted():
                duration_s = self.runtime.now() - start
                REQUEST(method=request.method, url=request.url, status=status, duration_s=duration_s)
        return response

    # --- the rest -----------------------------------------------------------------------------------------------------

    def attach(self, runtime: Runtime, unsupported: Unsupported = "default") -> None:
        """Bind to the runtime; a client that is given must be of its kind."""
        super().attach(runtime, unsupported)
        if not hasattr(self, "_http"):
            self._pace.begin(self.runtime)
            self._http = runtime.http(
                self._client,
                connect_timeout_s=self._connect_timeout_s,
                ca_file=self._ca_file,
                proxy=self._proxy,
            )

    async def check(self) -> Health:
        """Ask whether the token is good, where the provider can be asked that; else only whether it answers."""
        provider = self.provider
        asked = provider.check_request()
        facts = {"base": provider.base, "token": "not checked" if asked is None else "good"}
        try:
            response = await self._send(asked or Request(f"{provider.base}/", method="GET"), [])
        except MailerError as error:
            return Health(ok=False, backend=self.url, cause=error)
        is_there = response.is_success or 400 <= response.status <= 499
        if is_there if asked is None else provider.checks_out(response):
            return Health(ok=True, backend=self.url, facts=facts)
        meaning = meaning_of(response.status)
        cause = (meaning.cause or TransportError)(f"{provider.name}: HTTP {response.status}")
        return Health(ok=False, backend=self.url, cause=cause)

    async def close(self) -> None:
        """Close the kept connections."""
        await self._http.aclose()


# --- from a URL -------------------------------------------------------------------------------------------------------

# Option -> keyword of RelayBackend.
_WAITING = {
    "timeout": "timeout_s",
    "connect_timeout": "connect_timeout_s",
    "ca_file": "ca_file",
    "proxy": "proxy",
    "rate": "rate",
}


def relay_factory(provider: type[Provider]) -> BackendFactory:
    """What ``register_backend`` takes for a provider of your own: ``register_backend("acme", relay_factory(Acme))``.

    Its URL is ``acme://TOKEN@default``, with the provider's options and: ``timeout`` (one attempt in all) and
    ``connect_timeout`` in seconds, ``ca_file``, ``proxy``, ``rate`` (``50/s``, ``off``), ``scheme`` (http, for
    this machine alone).
    """

    def from_url(url: BackendURL, runtime: Runtime | None = None) -> RelayBackend:
        options = url.options(
            timeout=seconds,
            connect_timeout=seconds,
            ca_file=text,
            proxy=text,
            rate=pace,
            scheme=choice("https", "http"),
            **provider.options,
        )
        waiting = {keyword: options.pop(name) for name, keyword in _WAITING.items() if name in options}
        if provider.signs_with in _SOURCES:
            options |= _source_module(provider).options_of(url, options)
        # A relay's user name is a key as well.
        shown = str(replace(url, password=None))
        made = provider.from_url(url, **options)
        if url.username == "":  # a variable that is not set, mostly: nothing must take its place unasked
            raise ConfigError(f"{url.scheme}: nothing stands before the '@': give the credentials, or leave '@' out")
        backend = RelayBackend(made, url=shown, **waiting)
        if runtime is not None:
            backend.attach(runtime)
        return backend

    return from_url


def relay_from_url(url: BackendURL, runtime: Runtime | None = None) -> Backend:
    """``postmark://TOKEN@default``, and the other providers of :data:`mailer.relay.PROVIDERS`."""
    module, name = PROVIDERS[url.scheme]
    provider = getattr(importlib.import_module(f"..relay.{module}", __package__), name)
    return relay_factory(provider)(url, runtime)
