"""A backend's URL as settings keep it: whole inside, masked wherever it shows."""

from __future__ import annotations

from typing import Any

from .backends.base import Backend
from .backends.url import backend_from_url
from .errors import ConfigError
from .runtime import BlockingRuntime

__all__ = ["SecretURL"]


class SecretURL:
    """A backend's URL, checked. Shows itself with its secrets masked; copies keep them, a pickle does not."""

    __slots__ = ("_shown", "_url")

    def __init__(self, url: str | None, shown: str) -> None:
        self._url = url
        self._shown = shown

    @classmethod
    def parse(cls, url: str) -> SecretURL:
        """Check a URL as far as can be without a connection.

        Raises:
            ConfigError: It is wrong; the text names what is, and shows no secret.
        """
        # With a runtime, as a mailer would: somebody's factory may look at it.
        return cls(url.strip(), str(backend_from_url(url, BlockingRuntime())))

    @classmethod
    def of_setting(cls, url: str) -> SecretURL:
        """The same for a pydantic validator, whose errors name the setting. Raises ValueError."""
        try:
            return cls.parse(url)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    def backend(self) -> Backend:
        """The backend, made anew, not yet bound to a runtime. Raises as :meth:`get_secret_value`."""
        return backend_from_url(self.get_secret_value())

    def get_secret_value(self) -> str:
        """The URL as it was given.

        Raises:
            ConfigError: It came by pickle, which leaves the secret behind.
        """
        if self._url is None:
            raise ConfigError(f"{self} came by pickle, without its secrets: read the settings in this process")
        return self._url

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"SecretURL({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        return self._url == other._url if isinstance(other, SecretURL) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._url)

    def __copy__(self) -> SecretURL:
        return self

    def __deepcopy__(self, memo: object) -> SecretURL:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (SecretURL, (None, self._shown))
