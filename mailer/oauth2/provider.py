"""The provider: one access token for all who need one, asked for once, kept until its last minute.

However many threads, tasks and (with a cache file) processes need a token at once, one asks and the others wait for
what it gets (:mod:`mailer.kept`); a refusal stands for some seconds. Nothing that was sent or received is shown,
whatever goes wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from ..clock import epoch_s
from ..errors import ConfigError, MailerError, ProtocolError, TransportError
from ..kept import Kept, name_of
from ..log import TOKEN, TOKEN_NOT_KEPT
from ..redaction import Unpickled, forget_frames, forgets_arguments
from .answer import MAX_REST_S, Tokens, answered
from .cache import TokenFile
from .callable import TokenCallable, called
from .grant import ClientCredentialsGrant, Grant, RefreshTokenGrant, ServiceAccountGrant, service_of
from .token import TokenSource

if TYPE_CHECKING:
    from ..relay.exchange import Response
    from ..runtime import Runtime

__all__ = ["TokenProvider"]

_HEADERS = (("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json"))
_NOBODY = ("common", "organizations", "consumers")


class TokenProvider(Unpickled):
    """Gives OAuth 2 access tokens to whatever logs in with them. Shared by threads, tasks, event loops and mailers.

    ::

        tokens = TokenProvider.refresh_token("google", client_id="...", client_secret="...", refresh_token="...")
        with Mailer("smtp+gmail://me%40gmail.com@default", tokens=tokens) as mailer:
            mailer.send(message)

    A token is asked for when it is first needed, kept until a minute before its end, and asked for anew, once, when a
    server refuses it.
    """

    @forgets_arguments
    def __init__(
        self,
        source: TokenCallable | Grant,
        *,
        cache: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = epoch_s,
        timeout_s: float = 30.0,
        ca_file: str | None = None,
    ) -> None:
        """Make it. Asks for nothing yet.

        Args:
            source: Any callable that gives a token, plain or (for an ``AsyncMailer``) async; or a grant, which the
                methods ``refresh_token``, ``client_credentials`` and ``service_account`` make.
            cache: A file for the tokens, for this user alone to read, shared by processes on this machine and kept over
                restarts. Its folder must exist.
            clock: The time in seconds since 1970.
            timeout_s: The most that asking may take.
            ca_file: A PEM file with the only authorities to trust for the token server; None: the system's.

        Raises:
            ConfigError: One of these cannot be.
        """
        if not isinstance(source, Grant) and not callable(source):
            raise ConfigError(f"tokens come from a callable or a grant, not from {type(source).__name__}")
        if not 0 < timeout_s <= 3600:
            raise ConfigError(f"timeout_s={timeout_s!r}: must be more than 0 and at most 3600 seconds")
        if cache is not None and not isinstance(source, Grant):
            raise ConfigError("a cache file is for grants: what a callable gives is for it to keep")
        self._source = source
        self._file = None if cache is None else TokenFile(cache)
        self._clock = clock
        self._ca_file = ca_file
        self._kept: Kept[Tokens] = Kept(
            self._fetch,
            is_good=lambda tokens, now: tokens.access.is_good(now),
            is_same=lambda tokens, stale: tokens.access.value == stale,
            clock=clock,
            timeout_s=timeout_s,
            max_rest_s=MAX_REST_S,
            what="access token",
        )

    # --- named constructors -------------------------------------------------------------------------------------------

    @classmethod
    @forgets_arguments
    def refresh_token(
        cls,
        service: str,
        *,
        client_id: str,
        refresh_token: str,
        client_secret: str = "",
        tenant: str = "",
        scope: str = "",
        **options: Any,
    ) -> TokenProvider:
        """Tokens of a user who has consented once (RFC 6749 section 6). A changed refresh token is used from then on.

        Args:
            service: "google", "microsoft", or the token server's https URL.
            client_id: The application's.
            refresh_token: What the consent gave. With a ``cache``, the changed one is kept there, as long as this one
                stays the same.
            client_secret: The application's, if it has one.
            tenant: Microsoft's; "" is "common".
            scope: Less than was consented to, or (Microsoft) for which of several services; "" leaves it to the server.
            options: As for the class: ``cache``, ``clock``, ``timeout_s``, ``ca_file``.

        Raises:
            ConfigError: One of these cannot be.
        """
        url, _ = service_of(service, tenant)
        grant = RefreshTokenGrant(
            token_url=url, scope=scope, client_id=client_id, client_secret=client_secret, refresh_token=refresh_token
        )
        return cls(grant, **options)

    @classmethod
    @forgets_arguments
    def client_credentials(
        cls, service: str, *, client_id: str, client_secret: str, tenant: str = "", scope: str = "", **options: Any
    ) -> TokenProvider:
        """Tokens of an application that acts for itself (RFC 6749 section 4.4).

        Args:
            service: "microsoft", or the token server's https URL.
            client_id: The application's.
            client_secret: The application's.
            tenant: Microsoft's: the directory's id or domain.
            scope: "" is what SMTP needs, for Microsoft; an API has its own ("https://graph.microsoft.com/.default").
            options: As for the class.

        Raises:
            ConfigError: One of these cannot be.
        """
        if service == "google":
            raise ConfigError("oauth2: Google has no client credentials grant: use a service account")
        if service == "microsoft" and (not tenant or tenant in _NOBODY):
            raise ConfigError("oauth2: an application acts in one tenant: tenant must be the directory's id or domain")
        url, app_scope = service_of(service, tenant)
        grant = ClientCredentialsGrant(
            token_url=url, scope=scope or app_scope, client_id=client_id, client_secret=client_secret
        )
        return cls(grant, **options)

    @classmethod
    @forgets_arguments
    def service_account(
        cls,
        key: str | os.PathLike[str] | Mapping[str, Any],
        *,
        subject: str = "",
        scope: str = "",
        **options: Any,
    ) -> TokenProvider:
        """Tokens of a Google service account (RFC 7523, by RS256). Needs the extra ``crypto``.

        Args:
            key: The account's JSON key: the name of its file, its text (which begins with "{"), or a mapping.
            subject: The user in whose name mail is sent, by domain-wide delegation.
            scope: "" is what SMTP needs; the Gmail API has its own ("https://www.googleapis.com/auth/gmail.send").
            options: As for the class.

        Raises:
            ConfigError: It is no such key, cannot be read, or cryptography is not installed.
        """
        if not isinstance(key, Mapping):
            key = _key_of(key)
        return cls(ServiceAccountGrant.of(key, subject=subject, scope=scope), **options)

    @classmethod
    def of(cls, tokens: TokenSource | TokenCallable) -> TokenSource:
        """What a mailer was given, as a source of tokens: a plain callable becomes a provider.

        Raises:
            ConfigError: It is neither.
        """
        if callable(getattr(tokens, "token", None)):
            return cast(TokenSource, tokens)
        if callable(tokens):
            return cls(tokens)
        raise ConfigError(f"tokens must be a TokenProvider or a callable, not {type(tokens).__name__}")

    def __repr__(self) -> str:
        source = self._source
        return f"<TokenProvider {source if isinstance(source, Grant) else name_of(source)}>"

    # --- giving -------------------------------------------------------------------------------------------------------

    async def token(self, runtime: Runtime, deadline: float, *, stale: str | None = None) -> str:
        """See :meth:`TokenSource.token`."""
        try:
            return (await self._kept.value(runtime, deadline, stale)).access.value
        except MailerError as error:
            forget_frames(error)
            del stale
            raise

    async def _fetch(self, runtime: Runtime, deadline: float, stale: str | None) -> Tokens:
        if not isinstance(self._source, Grant):
            return Tokens(await called(self._source, runtime, deadline, self._clock()))
        kept_here = self._kept.last
        mine = None if kept_here is None else kept_here.refresh_token
        file = self._file
        if file is None:
            return await self._asked(self._source, runtime, deadline, mine)
        # The file's few kilobytes are read and written in place: it happens once in the life of a token, and a thread
        # that was left behind by a cancelled task would write without the lock.
        key = _key(self._source)
        lock = await file.lock(runtime, deadline)
        try:
            kept = file.read(key)
            if kept is not None and kept.access.value != stale and kept.access.is_good(self._clock()):
                return kept
            refresh = mine if kept is None else kept.refresh_token or mine
            tokens = await self._asked(self._source, runtime, deadline, refresh)
            try:
                file.write(key, tokens, self._clock())
            except OSError as error:  # the token is good all the same
                if TOKEN_NOT_KEPT.wanted():
                    TOKEN_NOT_KEPT(path=file.path, reason=error.strerror or type(error).__name__)
            return tokens
        finally:
            file.unlock(lock)

    async def _asked(self, grant: Grant, runtime: Runtime, deadline: float, refresh: str | None) -> Tokens:
        """Ask the token server; with the refresh token that it gave last, then with the one that was configured."""
        while True:
            now = self._clock()
            form = grant.form(now, refresh)
            response = await self._posted(grant, form, runtime, deadline)
            answer = answered(grant, response, now, (refresh or "", form.get("assertion", "")))
            if isinstance(answer, Tokens):
                if TOKEN.wanted():
                    TOKEN(host=grant.host, lifetime_s=(answer.access.expires_at or now) - now)
                return answer if answer.refresh_token else Tokens(answer.access, refresh)
            if refresh is None or answer.code != "invalid_grant":
                self._kept.rest(answer.error, answer.rest_s)
                raise answer.error
            refresh = None

    async def _posted(self, grant: Grant, form: Mapping[str, str], runtime: Runtime, deadline: float) -> Response:
        # A connection to itself: it is needed once in an hour, and may be another event loop's then.
        http = runtime.http(ca_file=self._ca_file)
        try:
            return await http.send(
                "POST", grant.token_url, content=urlencode(form).encode(), headers=_HEADERS, deadline=deadline
            )
        except (TransportError, ProtocolError) as error:
            kind = type(error) if isinstance(error, TransportError) else TransportError
            raise kind(f"no access token: {error}") from error
        finally:
            await http.aclose()


def _key(grant: Grant) -> str:
    """Under which a grant's tokens are kept: another client, user, scope or consent has other ones. Tells no secret."""
    parts = [type(grant).__name__, grant.token_url, grant.scope, *grant.identity]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _key_of(key: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The JSON in a file, or in a text that begins with "{"."""
    try:
        if isinstance(key, str) and key.lstrip().startswith("{"):
            content = key
        else:
            with open(key, encoding="utf-8-sig") as file:
                content = file.read(1 << 16)
        found = json.loads(content)
    except OSError as error:
        raise ConfigError(f"oauth2: service_account: the file cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError):  # whose text, and chain, may quote the key
        raise ConfigError("oauth2: service_account: it is neither JSON nor the name of a file with JSON") from None
    return cast("Mapping[str, Any]", found)
