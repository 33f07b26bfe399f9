"""Starlette, FastAPI, Litestar: mailers that live as long as the app, in its event loop.

::

    mail = StarletteMailer()  # MAILER_URL ..., read when the app starts
    app = FastAPI(lifespan=mail.lifespan)


    @app.post("/signup")
    async def signup(mail: Annotated[Background, Depends(get_background)]) -> None:
        await mail.send(Message(to="ann@example.org", subject="Welcome", text="Hello"))

Starlette itself is loaded only for the dependencies of FastAPI and Starlette, so that Litestar works without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ...errors import ConfigError
from .lifespan import StarletteMailer
from .mailers import Mailers, mailers_of
from .mounted import MailerApp, webhooks

if TYPE_CHECKING:
    from .depends import background_named as background_named
    from .depends import get_background as get_background
    from .depends import get_mailer as get_mailer
    from .depends import mailer_named as mailer_named
    from .litestar import provide_background as provide_background
    from .litestar import provide_mailer as provide_mailer

_MODULE_OF = {
    "background_named": "depends",
    "get_background": "depends",
    "get_mailer": "depends",
    "mailer_named": "depends",
    "provide_background": "litestar",
    "provide_mailer": "litestar",
}

_INSTALL = {"starlette": "'mailwright[starlette]'", "litestar": "litestar"}

__all__ = [
    "MailerApp",
    "Mailers",
    "StarletteMailer",
    "background_named",
    "get_background",
    "get_mailer",
    "mailer_named",
    "mailers_of",
    "provide_background",
    "provide_mailer",
    "webhooks",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    except ModuleNotFoundError as error:
        needed = (error.name or "").partition(".")[0]
        if needed not in _INSTALL:
            raise
        raise ConfigError(f"{name} needs {needed}: pip install {_INSTALL[needed]}") from error
