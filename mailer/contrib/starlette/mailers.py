"""The mailers of a running app, by name, and the way to them from a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...background import Background
from ...errors import ConfigError
from ...mailer import AsyncMailer

__all__ = ["Mailers", "mailers_of"]

_NONE = (
    "the app has no mailers: give it `lifespan=StarletteMailer(...).lifespan`, and let its lifespan run: a server does,"
    " a test client once it is entered (`with TestClient(app)`)"
)


class Mailers:
    """``mailers["news"]`` is an :class:`~mailer.AsyncMailer`; each has a :class:`~mailer.background.Background`.

    Iterating gives the names.

    Attributes:
        mounted: What was made for these, by who made it.
    """

    def __init__(self, backgrounds: Mapping[str, Background]) -> None:
        self._backgrounds = dict(backgrounds)
        self.mounted: dict[object, Any] = {}

    def __getitem__(self, name: str) -> AsyncMailer:
        return self.background(name).mailer

    def __contains__(self, name: object) -> bool:
        return name in self._backgrounds

    def __iter__(self) -> Iterator[str]:
        return iter(self._backgrounds)

    def __len__(self) -> int:
        return len(self._backgrounds)

    def background(self, name: str = "default") -> Background:
        """What sends beside the requests, with the mailer of this name.

        Raises:
            ConfigError: There is none.
        """
        found = self._backgrounds.get(name)
        if found is None:
            raise ConfigError(f"there is no mailer {name!r}; there are: {', '.join(self._backgrounds)}")
        return found

    async def drained(self) -> None:
        """Wait until nothing is waiting or on its way in any background: for tests."""
        while any(background.pending for background in self._backgrounds.values()):
            for background in self._backgrounds.values():
                await background.drained()


def mailers_of(connection: Any) -> Mailers:
    """The mailers of the app that serves this.

    Args:
        connection: A request or websocket, or an ASGI scope. Within a mounted app the outer one's are found.

    Raises:
        ConfigError: It has none, for its lifespan did not run, or is another.
    """
    scope = connection if isinstance(connection, Mapping) else connection.scope
    state = scope.get("state")
    places = [state if isinstance(state, Mapping) else vars(state) if hasattr(state, "__dict__") else {}]
    for key in ("app", "litestar_app"):
        held = getattr(scope.get(key), "state", None)
        places.append({"mailers": getattr(held, "mailers", None)})
    for place in places:
        if isinstance(found := place.get("mailers"), Mailers):
            return found
    raise ConfigError(_NONE)
