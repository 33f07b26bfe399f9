"""Where AWS credentials come from: given, or found as AWS' own tools find them; kept until shortly before their end.

The order is AWS': the environment, the profile in the shared files, a container's service, the instance's (version 2
only: a session by PUT first). Where one of them is set up and fails, the next is not asked: that would be somebody
else's keys. What AWS' tools can do beyond (roles to assume, single sign-on, a process) is an app's own callable here.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..clock import epoch_s
from ..errors import AuthError, ConfigError, MailerError, ProtocolError, TransportError
from ..field import shown
from ..kept import Kept, given_by, name_of
from ..log import CREDENTIALS
from ..redaction import Unpickled, forget_frames
from ..relay.exchange import Response
from .credentials import AwsCredentials
from .metadata import container_url, instance_url, keys_of, role_of, token_of
from .profile import Profile, profile_of, sections_of

if TYPE_CHECKING:
    from ..runtime import Http, Runtime

__all__ = ["AwsCallable", "AwsSource", "region_of"]

AwsCallable = Callable[[], AwsCredentials | Awaitable[AwsCredentials]]
"""Gives credentials when asked: boto3's frozen ones put into an :class:`AwsCredentials`, a role's, a vault's."""

_SESSION_S = 21600
#: That there are none stands for so long: a queue of mails must not wait for a metadata service at each.
_REFUSED_S = 10.0
_CONTAINER, _INSTANCE = "the container's credentials service", "the instance's metadata service"
_MAX_FILE_BYTES = 1 << 20


class AwsSource(Unpickled):
    """Gives AWS credentials to who signs with them. Shared by threads, tasks, event loops and mailers."""

    def __init__(
        self,
        given: AwsCredentials | AwsCallable | None = None,
        *,
        profile: str = "",
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = epoch_s,
        timeout_s: float = 30.0,
        metadata_timeout_s: float = 2.0,
    ) -> None:
        """Make it. Reads nothing and asks nobody yet.

        Args:
            given: The credentials themselves, or a callable, plain or (for an ``AsyncMailer``) async, that gives them;
                None asks as AWS' own tools do.
            profile: Of the shared files: it is taken alone then, before any environment; "" is ``AWS_PROFILE``, or
                "default".
            environ: In the place of the process' environment.
            clock: The time in seconds since 1970.
            timeout_s: The most that asking may take in all.
            metadata_timeout_s: The most that one request to a metadata service may take: where there is none, nothing
                answers.

        Raises:
            ConfigError: ``given`` is none of these.
        """
        if given is not None and not isinstance(given, AwsCredentials) and not callable(given):
            raise ConfigError(f"AWS credentials come from a callable, not from {type(given).__name__}")
        self._given = given
        self._profile = profile
        self._environ = environ
        self._clock = clock
        self._metadata_timeout_s = metadata_timeout_s
        self._kept: Kept[AwsCredentials] = Kept(
            self._ask,
            is_good=AwsCredentials.is_good,
            is_same=lambda kept, stale: kept == stale,
            clock=clock,
            timeout_s=timeout_s,
            max_rest_s=_REFUSED_S,
            what="AWS credentials",
        )

    def __repr__(self) -> str:
        given = self._given
        source = (
            "given" if isinstance(given, AwsCredentials) else name_of(given) if given else "as AWS' tools find them"
        )
        return f"<AwsSource {source}>"

    async def credentials(self, runtime: Runtime, deadline: float, *, stale: Any = None) -> AwsCredentials:
        """Credentials that are good now.

        Args:
            stale: Those that were just refused: others are given if there are any.

        Raises:
            AuthError: There are none to be had, or they were refused.
            TransportError: A metadata service could not be asked.
            ConfigError: The environment or a file says what cannot be.
        """
        if isinstance(self._given, AwsCredentials):
            return self._given
        try:
            return await self._kept.value(runtime, deadline, stale)
        except MailerError as error:
            forget_frames(error)
            del stale
            raise

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, runtime: Runtime, deadline: float, stale: Any) -> AwsCredentials:
        try:
            found, where = await self._found(runtime, deadline)
        except (AuthError, TransportError) as error:
            last = self._kept.last
            if last is not None and last != stale and last.expires_at is not None and last.expires_at > self._clock():
                return last  # others were asked for before they had to be
            if isinstance(error, AuthError):
                self._kept.rest(error, _REFUSED_S)
            raise
        if found.expires_at is not None and found.expires_at <= self._clock():
            raise AuthError(f"{where} gave AWS credentials that have ended")
        if CREDENTIALS.wanted():
            CREDENTIALS(source=where)
        return found

    async def _found(self, runtime: Runtime, deadline: float) -> tuple[AwsCredentials, str]:
        """The first that there are, and where they were."""
        if self._given is not None:
            assert not isinstance(self._given, AwsCredentials)  # noqa: S101 - those are given at once
            given = await given_by(self._given, runtime, deadline, "AWS credentials")
            if not isinstance(given, AwsCredentials):
                raise AuthError(f"{name_of(self._given)} must give AwsCredentials; it gave {type(given).__name__}")
            return given, name_of(self._given)
        environ = os.environ if self._environ is None else self._environ
        if not self._profile and (keys := _of_environment(environ)):
            return keys, "the environment"
        profile = _profile(environ, self._profile)
        if profile.keys is not None:
            return profile.keys, "the profile"
        if profile.elsewhere:
            raise AuthError(f"the AWS profile has its keys by {profile.elsewhere}: {_OF_YOUR_OWN}")
        if not self._profile:
            if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
                raise AuthError(f"AWS_WEB_IDENTITY_TOKEN_FILE is a role to assume: {_OF_YOUR_OWN}")
            if url := container_url(environ):
                return await self._of_container(url, environ, runtime, deadline), _CONTAINER
            if url := instance_url(environ):
                return await self._of_instance(url, runtime, deadline), _INSTANCE
        raise AuthError(
            "there are no AWS credentials: give them in the URL, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in"
            " ~/.aws/credentials, or by a callable"
        )

    async def _of_container(
        self, url: str, environ: Mapping[str, str], runtime: Runtime, deadline: float
    ) -> AwsCredentials:
        token = _container_token(environ)
        headers = (("Accept", "application/json"), *((("Authorization", token),) if token else ()))
        http = runtime.http(connect_timeout_s=self._metadata_timeout_s)
        try:
            response = await self._got(http, runtime, deadline, "GET", url, headers, _CONTAINER)
        finally:
            await http.aclose()
        return keys_of(response, _CONTAINER, (token,) if token else ())

    async def _of_instance(self, base: str, runtime: Runtime, deadline: float) -> AwsCredentials:
        http = runtime.http(connect_timeout_s=self._metadata_timeout_s)
        try:
            wished = (("X-aws-ec2-metadata-token-ttl-seconds", str(_SESSION_S)),)
            try:
                session = await self._got(http, runtime, deadline, "PUT", f"{base}/latest/api/token", wished, _INSTANCE)
            except TransportError as error:
                raise AuthError(
                    "there are no AWS credentials: none in the URL, the environment or a profile, and"
                    f" {_INSTANCE} does not answer"
                ) from error
            ours = (("X-aws-ec2-metadata-token", token_of(session)),)
            roles = f"{base}/latest/meta-data/iam/security-credentials/"
            role = role_of(await self._got(http, runtime, deadline, "GET", roles, ours, _INSTANCE))
            url = roles + quote(role, safe="")
            return keys_of(await self._got(http, runtime, deadline, "GET", url, ours, _INSTANCE), _INSTANCE)
        finally:
            await http.aclose()

    async def _got(
        self,
        http: Http,
        runtime: Runtime,
        deadline: float,
        method: str,
        url: str,
        headers: tuple[tuple[str, str], ...],
        who: str,
    ) -> Response:
        end = min(deadline, runtime.now() + self._metadata_timeout_s)
        try:
            return await http.send(method, url, headers=headers, deadline=end)
        except (TransportError, ProtocolError) as error:
            kind = type(error) if isinstance(error, TransportError) else TransportError
            raise kind(f"{who} gave no AWS credentials: {error}") from error


_OF_YOUR_OWN = "which mailer does not do: give a callable, with boto3 say"


def region_of(environ: Mapping[str, str], profile: str = "") -> str:
    """The region that the environment says, else the profile; "" without any.

    Raises:
        ConfigError: A file cannot be read, or has no such profile.
    """
    named = "" if profile else environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    return named or _profile(environ, profile).region


# --- the environment and the files ------------------------------------------------------------------------------------


def _of_environment(environ: Mapping[str, str]) -> AwsCredentials | None:
    key, secret = environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not key and not secret:
        return None
    if not key or not secret:
        raise ConfigError("the environment has but one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return AwsCredentials(key, secret, environ.get("AWS_SESSION_TOKEN", ""))


def _profile(environ: Mapping[str, str], asked: str) -> Profile:
    """The profile, of the shared files; a blank one where nobody names any and there is none."""
    name = asked or environ.get("AWS_PROFILE", "")
    keys = os.path.expanduser(environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    config = os.path.expanduser(environ.get("AWS_CONFIG_FILE") or "~/.aws/config")
    found = profile_of(sections_of(_text_of(keys), keys), sections_of(_text_of(config), config), name or "default")
    if found is None and name:
        raise ConfigError(f"there is no AWS profile {shown(name)} in {keys} or {config}")
    return found or Profile()


def _text_of(path: str) -> str:
    """A file's text; "" if there is none. It has a few kilobytes, and is read in place."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_MAX_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        raise ConfigError(f"{path} cannot be read: it is no UTF-8") from None


def _container_token(environ: Mapping[str, str]) -> str:
    """What goes into Authorization, out of a file that is replaced now and then, or the environment."""
    path, token = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""), ""
    if path:
        token = _text_of(path).strip()
        if not token:
            raise ConfigError(f"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: there is nothing in {path}")
    token = token or environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    if not token.isascii() or not token.isprintable():
        raise ConfigError("AWS_CONTAINER_AUTHORIZATION_TOKEN: must be printable ASCII, on one line")
    return token
