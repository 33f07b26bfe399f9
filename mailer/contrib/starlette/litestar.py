"""Dependencies for Litestar: ``dependencies={"mailer": Provide(provide_mailer, sync_to_thread=False)}``."""

from __future__ import annotations

from litestar.types import Scope

from ...background import Background
from ...mailer import AsyncMailer
from .mailers import mailers_of

__all__ = ["provide_background", "provide_mailer"]

# Litestar reads the annotations, so Scope has to be a name of this module.


def provide_mailer(scope: Scope) -> AsyncMailer:
    """The app's default mailer."""
    return mailers_of(scope)["default"]


def provide_background(scope: Scope) -> Background:
    """What sends beside the requests."""
    return mailers_of(scope).background()
