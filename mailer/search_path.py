"""The search path: folders and packages in which templates, images and translations are found, the first one first."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from .errors import ConfigError, TemplateError
from .field import shown

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["Found", "Place", "Places", "SearchPath", "Source", "check_name", "locale_tags", "localised", "near"]

#: One folder, "package:folder" for a folder inside an importable package, or a source of another kind.
Place: TypeAlias = "str | os.PathLike[str] | Source"
#: One place or several.
Places: TypeAlias = "Place | Iterable[Place]"

# A package and a folder in it; one letter before the colon is a Windows drive.
_IN_PACKAGE = re.compile(r"((?:[^\W\d]\w*\.)*[^\W\d]\w+):([^:]+)")
# A language, then script, region or variant: de, de_AT, zh-Hant-TW (BCP 47, RFC 5646; POSIX writes "_").
_LOCALE = re.compile(r"([A-Za-z]{2,3})((?:[-_][A-Za-z0-9]{2,8}){0,3})", re.ASCII)
# The endings that belong together; of any other name only what follows the last dot is its ending.
_ENDINGS = (".subject.txt",)
_MAX_FILES = 20_000  # looked through for a name that was perhaps meant
_REMEMBERED = 10_000  # names kept where files are not looked at again


@dataclass(frozen=True, slots=True)
class Found:
    """A file on the search path, as it was when it was found.

    Attributes:
        place: Which of the places has it.
        name: Its name there, "/" between folders.
        stamp: Changes when the file does.
    """

    place: int
    name: str
    stamp: tuple[int, ...]


@runtime_checkable
class Source(Protocol):
    """A place that is neither a folder nor in a package. Its ``str`` is what an error calls it."""

    def stamp(self, name: str) -> tuple[int, ...] | None:
        """What changes when the file does; None if there is none."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file. Raises OSError if it cannot be read."""
        ...

    def names(self) -> Iterator[str]:
        """The files there are, for errors and to check them; none if nobody knows."""
        ...


class SearchPath:
    """Places in order. A name is "folder/file" with "/", relative, never leading out of its place.

    Args:
        places: What of the same name stands in an earlier place hides what stands in a later one.
        setting: What an error calls them.
        reload: Whether a file is looked at again each time; False trusts the first look.

    Raises:
        ConfigError: One is no folder, or no importable package with that folder.
    """

    def __init__(self, places: Places, *, setting: str = "templates", reload: bool = True) -> None:
        is_one = isinstance(places, (str, bytes, os.PathLike, Source)) or not isinstance(places, Iterable)
        listed: tuple[Any, ...] = (places,) if is_one else tuple(places)  # type: ignore[arg-type]
        self._sources: tuple[Source, ...] = tuple(_source(place, setting) for place in listed)
        self.labels = tuple(str(place) if isinstance(place, Source) else os.fspath(place) for place in listed)
        self._remembered: dict[tuple[object, ...], Found | None] | None = None if reload else {}

    def __repr__(self) -> str:
        return f"<SearchPath {', '.join(self.labels)}>"

    def find(self, names: Sequence[str], after: tuple[int, str] | None = None) -> Found | None:
        """The first name that a place has; the first place that has it.

        Args:
            after: (place, name) of a file that is in the way: what is looked for is what it hides.

        Raises:
            TemplateError: A name is not relative, or leads out of its place.
        """
        if self._remembered is None:
            return self._found(names, after)
        key = (*names, after)
        if key not in self._remembered:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = self._found(names, after)
        return self._remembered[key]

    def _found(self, names: Sequence[str], after: tuple[int, str] | None) -> Found | None:
        is_hidden = after is not None and after[1] in names
        for name in names:
            check_name(name)
            for index, source in enumerate(self._sources):
                if is_hidden:
                    is_hidden = (index, name) != after
                elif (stamp := source.stamp(name)) is not None:
                    return Found(index, name, stamp)
        return None

    def read(self, found: Found) -> bytes:
        """The content of what was found.

        Raises:
            TemplateError: It cannot be read, or is a symbolic link out of its place.
        """
        try:
            return self._sources[found.place].read(found.name)
        except OSError as error:
            why = error.strerror or type(error).__name__
        raise TemplateError(f"{self.label(found)} cannot be read: {why}", field="template")

    def label(self, found: Found) -> str:
        """What an error calls it: its name, and the place where there are several."""
        return found.name if len(self.labels) == 1 else f"{found.name} (in {self.labels[found.place]})"

    def names(self) -> list[str]:
        """The names in all places, each once; no more than a few thousand."""
        listed: dict[str, None] = {}
        for source in self._sources:
            for name in source.names():
                if len(listed) >= _MAX_FILES:
                    break
                listed[name] = None
        return sorted(listed)


def near(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'welcome'?" where a known name is like this one, else nothing."""
    found = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def locale_tags(locale: str | None) -> tuple[str, ...]:
    """The locale as names write it, the most particular first: "zh-hant-tw" gives zh_Hant_TW, zh_Hant, zh.

    Raises:
        TemplateError: It is none.
    """
    if not locale:
        return ()
    form = _LOCALE.fullmatch(locale)
    if not form:
        raise TemplateError(f"{shown(locale)} is not a locale like 'de' or 'de_AT'", field="locale")
    parts = [form[1].lower()]
    for part in re.split("[-_]", form[2])[1:]:
        parts.append(part.upper() if len(part) < 4 else part.title())
    return tuple("_".join(parts[:length]) for length in range(len(parts), 0, -1))


def localised(name: str, tags: Iterable[str]) -> tuple[str, ...]:
    """The names to look for: ("a.de_AT.html", "a.de.html", "a.html")."""
    folder, slash, file = name.rpartition("/")
    ending = next((known for known in _ENDINGS if file.endswith(known)), None)
    if ending is None:
        _, dot, last = file.rpartition(".")
        ending = dot + last if dot else ""
    stem = folder + slash + (file[: -len(ending)] if ending else file)
    return (*[f"{stem}.{tag}{ending}" for tag in tags], name)


def check_name(name: str) -> None:
    """Check that a name is relative, with "/", and leads nowhere out of its place.

    Raises:
        TemplateError: It is not, or does.
    """
    if any(part in ("", ".", "..") for part in name.split("/")) or any(c in name for c in "\\\0:"):
        raise TemplateError(
            f"{shown(name)} is not a name: it is relative to the search path, with '/', and never leads out of it",
            field="template",
        )


# --- places -----------------------------------------------------------------------------------------------------------


def _source(place: Any, setting: str) -> Source:
    if isinstance(place, Source):
        return place
    if not isinstance(place, (str, os.PathLike)) or not isinstance(os.fspath(place), str):
        raise ConfigError(f"{setting}: a place is a path or 'package:folder', not {type(place).__name__}")
    in_package = _IN_PACKAGE.fullmatch(place) if isinstance(place, str) else None
    if in_package and not os.path.isdir(place):
        return _in_package(in_package[1], in_package[2], setting)
    root = os.path.abspath(place)
    if not os.path.isdir(root):
        raise ConfigError(f"{setting}: there is no folder {root!r}")
    return _Folder(root)


def _in_package(package: str, folder: str, setting: str) -> Source:
    import importlib.resources
    from pathlib import Path

    try:
        root = importlib.resources.files(package)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{setting}: there is no package {error.name!r}, named in '{package}:{folder}'") from error
    except Exception as error:
        raise ConfigError(f"{setting}: package {package!r} cannot be imported: {type(error).__name__}") from error
    parts = folder.strip("/").split("/")
    if not all(parts) or ".." in parts:
        raise ConfigError(f"{setting}: '{package}:{folder}' must name a folder inside the package")
    for part in parts:
        root = root / part
    if not root.is_dir():
        raise ConfigError(f"{setting}: package {package!r} has no folder {folder!r}")
    return _Folder(str(root)) if isinstance(root, Path) else _Resources(root)


class _Folder:
    """A folder on disk."""

    def __init__(self, root: str) -> None:
        self._root = root

    def _path(self, name: str) -> str:
        return os.path.join(self._root, *name.split("/"))

    def stamp(self, name: str) -> tuple[int, ...] | None:
        try:
            status = os.stat(self._path(name))
        except (OSError, ValueError):
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None

    def read(self, name: str) -> bytes:
        # A mounted Kubernetes volume is links inside itself; a link that leads out would mail whatever it points to.
        path, root = os.path.realpath(self._path(name)), os.path.realpath(self._root)
        if os.path.commonpath((path, root)) != root:
            raise PermissionError(0, "it is a symbolic link out of its folder")
        with open(path, "rb") as file:
            return file.read()

    def names(self) -> Iterator[str]:
        for folder, _, files in os.walk(self._root):
            inside = os.path.relpath(folder, self._root).replace(os.sep, "/")
            yield from (file if inside == "." else f"{inside}/{file}" for file in files)


class _Resources:
    """A folder in a package that is not on disk, as in a zip file; it does not change."""

    def __init__(self, root: Traversable) -> None:
        self._root = root

    def _entry(self, name: str) -> Traversable:
        entry = self._root
        for part in name.split("/"):
            entry = entry / part
        return entry

    def stamp(self, name: str) -> tuple[int, ...] | None:
        try:
            return () if self._entry(name).is_file() else None
        except (OSError, ValueError):
            return None

    def read(self, name: str) -> bytes:
        return self._entry(name).read_bytes()

    def names(self) -> Iterator[str]:
        waiting: list[tuple[str, Traversable]] = [("", self._root)]
        while waiting:
            inside, entry = waiting.pop()
            for child in entry.iterdir():
                name = f"{inside}{child.name}"
                if child.is_dir():
                    waiting.append((f"{name}/", child))
                else:
                    yield name
