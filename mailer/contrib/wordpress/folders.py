"""The one gate for files that ``wp_mail`` is told of by a string: folders that were allowed, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ...errors import ConfigError, MessageError
from ...field import shown

__all__ = ["Folders", "PathLike"]

PathLike = str | os.PathLike[str]


class Folders:
    """Folders whose files may be attached by their paths. None at all is the default.

    Args:
        given: One or several.

    Raises:
        ConfigError: One is not there.
    """

    def __init__(self, given: PathLike | Iterable[PathLike] = ()) -> None:
        several = [given] if isinstance(given, (str, os.PathLike)) else list(given)
        roots = []
        for one in several:
            try:
                root = Path(one).expanduser().resolve(strict=True)
            except (OSError, RuntimeError, ValueError) as error:
                said = getattr(error, "strerror", None) or "that is no folder's name"
                raise ConfigError(f"folders: {shown(os.fspath(one))} cannot be used: {said}") from None
            if not root.is_dir():
                raise ConfigError(f"folders: {shown(os.fspath(one))} is not a folder")
            roots.append(root)
        self._roots = tuple(roots)

    def __repr__(self) -> str:
        return f"Folders({', '.join(map(str, self._roots))})"

    def path(self, given: PathLike, field: str) -> Path:
        """The file that a path means, seen from a folder if it is relative; links have been followed.

        Raises:
            MessageError: No folder is allowed, it is in none of them, or it is not a file that is there.
        """
        if not self._roots:
            raise MessageError(
                f"{shown(os.fspath(given))}: no file is attached by its path unless WordPress(folders=...) allows a "
                "folder; Attachment.from_path needs no leave",
                field=field,
            )
        text = os.fspath(given)
        is_inside = False
        for root in self._roots:
            try:
                path = (root / text).resolve()
                inside = path.is_relative_to(root)
                if inside and path.is_file():
                    return path
            except (OSError, RuntimeError, ValueError, TypeError):
                continue  # as a name with NUL, or a circle of links
            is_inside = is_inside or inside
        said = "there is no such file" if is_inside else "is in none of the folders that WordPress(folders=...) allows"
        raise MessageError(f"{shown(text)}: {said}", field=field)
