"""Dependencies for FastAPI; in Starlette they are awaited with the request. Needs Starlette."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection

from ...background import Background
from ...mailer import AsyncMailer
from .mailers import mailers_of

__all__ = ["background_named", "get_background", "get_mailer", "mailer_named"]

# FastAPI reads the annotations, so HTTPConnection has to be a name of this module; and it calls in a thread of its few
# whatever is no `async def`.


async def get_mailer(connection: HTTPConnection) -> AsyncMailer:
    """The app's default mailer: ``Annotated[AsyncMailer, Depends(get_mailer)]``, or ``await get_mailer(request)``."""
    return mailers_of(connection)["default"]


async def get_background(connection: HTTPConnection) -> Background:
    """What sends beside the requests: ``Annotated[Background, Depends(get_background)]``."""
    return mailers_of(connection).background()


def mailer_named(name: str) -> Callable[[HTTPConnection], Awaitable[AsyncMailer]]:
    """The same as :func:`get_mailer` for the mailer of this name: ``Depends(mailer_named("news"))``."""

    async def get_named_mailer(connection: HTTPConnection) -> AsyncMailer:
        return mailers_of(connection)[name]

    return get_named_mailer


def background_named(name: str) -> Callable[[HTTPConnection], Awaitable[Background]]:
    """The same as :func:`get_background` for the mailer of this name."""

    async def get_named_background(connection: HTTPConnection) -> Background:
        return mailers_of(connection).background(name)

    return get_named_background
