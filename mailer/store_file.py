"""The name of the file that a store keeps what it knows in."""

from __future__ import annotations

import os

from .errors import ConfigError

__all__ = ["checked_path", "store_file"]


def store_file(path: str | os.PathLike[str], needs: str) -> str:
    """The name as it was given.

    Args:
        needs: Who needs it, to begin the error's text: "circuits need".

    Raises:
        ConfigError: It is blank, which SQLite takes for a file that is gone with the connection, or has a NUL in it.
    """
    name = os.fspath(path)
    if not name.strip() or "\0" in name:
        raise ConfigError(f"{needs} the name of a file, not {name!r}")
    return name


def checked_path(path: str | None) -> str | None:
    """A setting `path` as it was given: to be said as wrong at the start, and not when the store is first asked.

    Raises:
        ValueError: As :func:`store_file`.
    """
    try:
        return None if path is None else store_file(path, "needs")
    except ConfigError as error:
        raise ValueError(str(error)) from None
