"""The lifespan: mailers are made in the app's event loop, and closed when it ends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from ...background import Background
from ...errors import ConfigError
from ...mailer import AsyncMailer
from ...redaction import Unpickled
from .mailers import Mailers

if TYPE_CHECKING:
    from ...settings import Settings

__all__ = ["Lifespan", "Source", "StarletteMailer"]

Made: TypeAlias = "str | Settings | Mapping[str, Any] | AsyncMailer | Mapping[str, AsyncMailer] | None"
"""A URL, settings, or mailers made by hand: one, or several by name; None: environment, ``.env``, ``mailer.toml``."""

Source: TypeAlias = "str | Settings | Mapping[str, Any] | Callable[[], Made] | None"
"""What an app's mailers are made of; a function is called when the app starts, in its event loop."""

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]
"""What Starlette takes as ``lifespan``: given the app, it gives a context manager, which gives nothing or a state."""

_CLOSING_S = 5.0
"""Closing waits for plug-ins at most so long; connections are closed without waiting."""


class StarletteMailer(Unpickled):
    """Gives an app its mailers. One may serve any number of apps, at the same time too: each has mailers of its own."""

    def __init__(
        self,
        source: Source = None,
        *,
        room: int = 1000,
        concurrency: int = 5,
        wait_s: float = 30.0,
        grace_s: float = 20.0,
    ) -> None:
        """Nothing is read or made before an app starts.

        Args:
            source: What they are made of. A URL makes one, "default", and nothing else is read.
            room, concurrency, wait_s: Of each mailer's background, see :class:`~mailer.background.Background`.
            grace_s: How long the end of the app waits for all of them.

        Raises:
            ConfigError: One of the limits is wrong.
        """
        self._source = source
        self._limits: dict[str, Any] = {"room": room, "concurrency": concurrency, "wait_s": wait_s}
        Background(AsyncMailer("null:"), grace_s=grace_s, **self._limits)  # what is wrong is told now
        self._grace_s = grace_s

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[dict[str, Any]]:
        """The app's lifespan; or one of Litestar's list of them.

        The state it gives, and ``app.state``, have ``mailers``, a :class:`Mailers`, and ``mailer``, the default one's
        :class:`~mailer.AsyncMailer` if there is a default one.

        Raises:
            ConfigError: A setting is missing or wrong: the app does not start.
        """
        async with AsyncExitStack() as stack:
            backgrounds = {}
            for name, mailer in self._made().items():
                stack.push_async_callback(_close, mailer)
                background = Background(mailer, grace_s=self._grace_s, **self._limits)
                backgrounds[name] = await stack.enter_async_context(background)
            mailers = Mailers(backgrounds)
            state: dict[str, Any] = {"mailers": mailers}
            if "default" in mailers:
                state["mailer"] = mailers["default"]
            for key, value in state.items():
                setattr(app.state, key, value)
            try:
                yield state
            finally:
                with anyio.move_on_after(self._grace_s):  # one time for all of them
                    await mailers.drained()
                for background in backgrounds.values():
                    background.stop()

    def around(self, lifespan: Lifespan) -> Lifespan:
        """A lifespan with the app's own within: it may send from its first line to its last.

        Args:
            lifespan: The app's own; the state it gives is kept.
        """

        @contextlib.asynccontextmanager
        async def both(app: Any) -> AsyncIterator[dict[str, Any]]:
            async with self.lifespan(app) as state, lifespan(app) as own:
                yield {**state, **(own or {})}

        return both

    @contextlib.contextmanager
    def override(self, source: Source) -> Iterator[None]:
        """Make the mailers of apps that start within of something else: in tests, "memory:"."""
        before, self._source = self._source, source
        try:
            yield
        finally:
            self._source = before

    def _made(self) -> Mapping[str, AsyncMailer]:
        source: Any = self._source() if callable(self._source) else self._source
        if isinstance(source, AsyncMailer):
            return {"default": source}
        if isinstance(source, str):
            return {"default": AsyncMailer(source)}
        if source and isinstance(source, Mapping) and all(isinstance(made, AsyncMailer) for made in source.values()):
            return source
        from ...settings import Settings

        if source is not None and not isinstance(source, (Mapping, Settings)):
            raise ConfigError(f"a URL, settings or AsyncMailers are wanted, not {type(source).__name__}")
        settings = source if isinstance(source, Settings) else Settings(source)
        return {name: AsyncMailer(settings=settings, name=name) for name in settings.names or ("default",)}


async def _close(mailer: AsyncMailer) -> None:
    with anyio.move_on_after(_CLOSING_S, shield=True):  # also when the app is cancelled
        await mailer.aclose()
