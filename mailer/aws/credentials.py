"""AWS credentials: an access key, its secret, and a session's token."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import ConfigError
from ..redaction import Unpickled

__all__ = ["EARLY_S", "AwsCredentials"]

EARLY_S = 120.0
"""Keys are not used within their last two minutes: they must last until the service has looked, by its own clock."""

_KEY = re.compile(r"[A-Za-z0-9_]{1,128}", re.ASCII)
_SECRET = re.compile(r"[!-~]{1,1000}", re.ASCII)
_TOKEN = re.compile(r"[!-~]{0,16384}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AwsCredentials(Unpickled):
    """What requests to AWS are signed with.

    Attributes:
        access_key: Who; letters and digits. Shown nowhere either.
        secret_key: The secret. Never shown, never sent.
        session_token: Of temporary credentials; "" for a user's own.
        expires_at: When they end, in seconds since 1970; None: they do not.

    Raises:
        ConfigError: One of them cannot be.
    """

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires_at: float | None = None

    def __post_init__(self) -> None:
        for name, pattern in (("access_key", _KEY), ("secret_key", _SECRET), ("session_token", _TOKEN)):
            value = getattr(self, name)
            if not isinstance(value, str) or not pattern.fullmatch(value):
                what = "letters and digits" if name == "access_key" else "printable ASCII without blanks"
                raise ConfigError(f"AWS credentials: the {name.replace('_', ' ')} must be {what}")
        end = self.expires_at
        if end is not None and (isinstance(end, bool) or not isinstance(end, (int, float)) or not end == end):
            raise ConfigError("AWS credentials: expires_at must be seconds since 1970, or None")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is to be masked wherever an answer repeats it."""
        return tuple([value for value in (self.access_key, self.secret_key, self.session_token) if value])

    def is_good(self, now: float) -> bool:
        """Whether they last for two minutes more."""
        return self.expires_at is None or self.expires_at - now > EARLY_S
