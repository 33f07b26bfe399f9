"""Where plug-ins are found: those built in, those that installed packages offer, and the files of a folder."""

from __future__ import annotations

import hashlib
import importlib
import os
import stat
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .backends.url import distinct
from .errors import ConfigError
from .plugins import BUILT_IN
from .redaction import words_of
from .sources import nearest

if TYPE_CHECKING:
    from .plugin import Plugin

__all__ = ["GROUP", "found_plugin", "known_names", "offered", "plugins_in_folder", "source_of"]

#: The entry points that packages offer plug-ins by; an entry's name is the plug-in's.
GROUP = "mailer.plugins"
_MAX_FILE_BYTES = 4 * 1024 * 1024
_WINDOWS = os.name == "nt"


def known_names() -> list[str]:
    """The names that can be asked for: built in, then those of installed packages."""
    return [*BUILT_IN, *(name for name in offered() if name not in BUILT_IN)]


def offered() -> dict[str, list[EntryPoint]]:
    """What installed packages offer, by name; nothing is loaded. Of one name there should be one."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in distinct(entry_points(group=GROUP)):
        found.setdefault(entry.name.replace("-", "_"), []).append(entry)
    return found


def found_plugin(name: str) -> Plugin[Any] | type[Plugin[Any]]:
    """The plug-in of this name, loaded: one that is built in, else what an installed package offers.

    Raises:
        ConfigError: There is none or there are two, or what was found is no plug-in of this name.
        Exception: Whatever importing it raises.
    """
    from .plugin import Plugin

    entries = offered().get(name, [])
    packages = " and ".join(entry.dist.name if entry.dist else entry.value for entry in entries)
    if name in BUILT_IN and entries:
        raise ConfigError(
            f"plug-in {name!r} is built in, and {packages} offers another: uninstall it, or give the class"
        )
    if name in BUILT_IN:
        found: Any = getattr(importlib.import_module(f"{__package__}.plugins.{name}"), BUILT_IN[name])
        return found  # type: ignore[no-any-return]  # the table says so, and a test holds it
    if not entries:
        raise ConfigError(f"there is no plug-in {name!r}; {nearest(name, known_names())}")
    if len(entries) > 1:
        raise ConfigError(f"plug-in {name!r} is offered by {packages}: uninstall one, or give the class itself")
    found = entries[0].load()
    is_one = isinstance(found, Plugin) or (isinstance(found, type) and issubclass(found, Plugin))
    if not is_one or found.name != name:
        named = f"plug-in {found.name!r}" if is_one else "no Plugin"
        raise ConfigError(f"plug-in {name!r}: its entry point {entries[0].value} leads to {named}")
    return found  # type: ignore[no-any-return]


# --- a folder of files ------------------------------------------------------------------------------------------------


def plugins_in_folder(folder: str | os.PathLike[str]) -> list[tuple[str, Callable[[], type[Plugin[Any]]]]]:
    """The plug-ins of a folder: each file ``*.py`` directly in it, by name, that begins with neither "_" nor ".".

    Nothing of it comes to stand on ``sys.path``.

    Returns:
        Each file's path, and what loads it.

    Raises:
        ConfigError: The folder is not there, or anybody may write in it.
    """
    try:
        if not os.fspath(folder):  # Path would take it for the current one
            raise ValueError("no name")
        path = Path(folder).expanduser().resolve(strict=True)
        names = sorted(name for name in os.listdir(path) if name.endswith(".py") and name[0] not in "_.")
    except (OSError, RuntimeError, ValueError) as error:
        said = getattr(error, "strerror", None) or "that is no folder's name"
        raise ConfigError(f"plugin_folder {os.fspath(folder)!r} cannot be read: {said}") from None
    _check_folders(path, f"plugin_folder {path}")
    return [(str(path / name), lambda file=path / name: _loaded(file)) for name in names]  # type: ignore[misc]


def _check_folders(path: Path, what: str) -> None:
    """Whether only whom one trusts may put something into this folder, or another in its place."""
    for above in (path, *path.parents):
        mode = above.stat().st_mode
        # In a folder like /tmp only its owner may replace what stands in it.
        if _is_open_to_all(mode) and not (above != path and mode & stat.S_ISVTX):
            raise ConfigError(f"{what}: anybody may write in {above}: chmod o-w it")


def source_of(file: Path) -> bytes:
    """What a plug-in's file says. Nothing of it is run.

    Raises:
        ConfigError: It is no file, anybody may write to it, or it is too large.
    """
    try:
        if file.is_symlink():  # to what need not be under the folder that was looked at
            _check_folders(file.resolve(strict=True).parent, str(file))
        if not file.is_file():
            raise ConfigError(f"{file}: is no file: remove it, or let its name begin with '_'")
        with open(file, "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            source = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    if _is_open_to_all(mode):
        raise ConfigError(f"{file}: anybody may write to it: chmod o-w it")
    if len(source) > _MAX_FILE_BYTES:
        raise ConfigError(f"{file}: is larger than {_MAX_FILE_BYTES} bytes")
    return source


def _loaded(file: Path) -> type[Plugin[Any]]:
    from .plugin import Plugin

    module = _module(file, source_of(file))
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Plugin) and kind.__module__ == module.__name__ and kind.name
    ]
    if len(kinds) != 1:
        raise ConfigError(f"{file}: must define one Plugin with a name, not {len(kinds)}")
    return kinds[0]


def _module(file: Path, source: bytes) -> ModuleType:
    """The file run as a module: once for the same content, under a name that nothing else has."""
    digest = hashlib.sha256(bytes(file) + b"\0" + source).hexdigest()[:16]
    name = f"mailer_plugin_{file.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # where dataclasses and pydantic look for it while it runs
    try:
        exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102 - its owner put it there to be run
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, (ImportError, SyntaxError)):
            raise ConfigError(f"{file} cannot be loaded: {words_of(error)}") from error
        raise
    return module


def _is_open_to_all(mode: int) -> bool:
    return not _WINDOWS and bool(mode & stat.S_IWOTH)
