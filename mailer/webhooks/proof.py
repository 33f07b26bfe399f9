"""The proof: that a call comes from the provider it says, by what both know. All comparisons take constant time."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..errors import AuthError, ConfigError
from .call import Call
from .payload import moment

__all__ = ["Proof", "base64_bytes", "hmac_of", "needing_crypto"]

#: Header in which a provider can be told to send a secret of ours, where its settings have custom headers.
SECRET_HEADER = "x-webhook-secret"  # noqa: S105 - a name
#: Parameters of the URL that may hold it.
SECRET_PARAMETERS = ("secret", "token")


@dataclass(frozen=True, slots=True, repr=False)
class Proof:
    """What a call is checked with. Shows nothing of it.

    Attributes:
        provider: The provider's name, for texts.
        secrets: What the provider shows or signs with; any one of them will do, so that one can be changed for another.
        now: The time of the check, with a time zone.
        tolerance_s: How far from it the time of a signature may lie, in seconds, either way.
        certificates: URL to certificate in PEM, for those who sign by one.
    """

    provider: str
    secrets: tuple[str, ...]
    now: datetime
    tolerance_s: float
    certificates: Mapping[str, bytes]

    @classmethod
    def of(
        cls,
        provider: str,
        secret: str | Sequence[str],
        now: datetime,
        tolerance_s: float,
        certificates: Mapping[str, bytes] | None = None,
    ) -> Proof:
        """Check what an app gives.

        Raises:
            ConfigError: There is no secret, or an empty one: anybody could tell us anything.
        """
        secrets: tuple[Any, ...] = (
            (secret,) if isinstance(secret, str) or not isinstance(secret, Sequence) else tuple(secret)
        )
        if not secrets or not all(isinstance(one, str) and one.strip() for one in secrets):
            raise ConfigError(
                f"webhooks of {provider}: the secret is empty: give the signing key of the provider's settings,"
                " or, where it does not sign, one of your own that stands in the webhook's URL"
            )
        if not isinstance(now, datetime) or now.tzinfo is None:
            raise ConfigError("now must be a datetime with a time zone")
        return cls(provider, tuple(one.strip() for one in secrets), now, tolerance_s, certificates or {})

    def refused(self, text: str) -> AuthError:
        """The error that says why the call is not believed."""
        return AuthError(f"webhook of {self.provider}: {text}")

    def header(self, call: Call, *names: str) -> str:
        """The header by the first of these names, in lower case, that the call has.

        Raises:
            AuthError: It has none.
        """
        if value := call.header(*names):
            return value
        raise self.refused(f"it has no {names[0]} header: turn signing on in the provider's settings")

    def check_moment(self, stamp: str, tolerance_s: float | None = None) -> None:
        """The time of a signature: Unix seconds in digits, or RFC 3339.

        Raises:
            AuthError: It is none, or too far from now: the call may be an old one, sent again.
        """
        when = moment(stamp)
        if when is None:
            raise self.refused("its signature has no time")
        tolerance_s = self.tolerance_s if tolerance_s is None else max(tolerance_s, self.tolerance_s)
        if not abs((self.now.astimezone(UTC) - when).total_seconds()) <= tolerance_s:
            raise self.refused(f"its signature is more than {tolerance_s:g} s from now: replayed, or a clock is wrong")

    def check_any(self, expected: Iterable[bytes], shown: Iterable[bytes], text: str = "") -> None:
        """That one of what is shown is one of what is expected. All pairs are compared.

        Args:
            text: What is wrong if none is; "" says that the signature is.

        Raises:
            AuthError: None is.
        """
        shown = list(shown)
        if not any([hmac.compare_digest(one, other) for one in expected for other in shown]):
            raise self.refused(text) if text else self.wrong()

    def check_body(self, call: Call, header: str) -> None:
        """That a header holds the HMAC-SHA256 of the body, in lower-case hex.

        Raises:
            AuthError: It does not.
        """
        shown = self.header(call, header).encode("utf-8", "surrogatepass")
        self.check_any([hmac_of(secret, call.body).hex().encode() for secret in self.secrets], [shown])

    def wrong(self) -> AuthError:
        """The error for a signature that does not fit."""
        return self.refused("its signature is wrong: forged, changed on its way, or made with another secret")

    def check_shared(self, call: Call) -> None:
        """That the call shows a secret as it is, for providers that do not sign.

        In basic auth ("user:password", or the password alone), as a bearer token, in the header ``X-Webhook-Secret``,
        or in the URL, as the parameter "secret" or "token".

        Raises:
            AuthError: It does not.
        """
        shown = [call.header(SECRET_HEADER)]
        scheme, _, value = call.header("authorization").partition(" ")
        if scheme.lower() == "bearer":
            shown.append(value.strip())
        elif scheme.lower() == "basic":
            pair = (base64_bytes(value.strip()) or b"").decode("utf-8", "replace")
            shown += [pair, pair.partition(":")[2]]
        shown += [value for name, value in call.query if name in SECRET_PARAMETERS]
        given = [one.encode("utf-8", "surrogatepass") for one in shown if one]
        if not given:
            raise self.refused("it shows no secret, neither by basic auth nor in its URL")
        secrets = [one.encode("utf-8", "surrogatepass") for one in self.secrets]
        if not any([hmac.compare_digest(one, other) for one in secrets for other in given]):
            raise self.refused("the secret that it shows is not ours")


def hmac_of(key: str | bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    """The HMAC (RFC 2104). The algorithm is ours to say, never the call's."""
    key = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    return hmac.digest(key, message, getattr(hashlib, algorithm))


def base64_bytes(text: str) -> bytes | None:
    """What the base64 is of; None if it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


@contextlib.contextmanager
def needing_crypto(provider: str) -> Iterator[None]:
    """Around imports of the cryptography package.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        yield
    except ImportError as error:
        text = f"webhooks of {provider} are signed in a way that needs cryptography: pip install 'mailwright[crypto]'"
        raise ConfigError(text) from error
