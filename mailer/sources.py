"""Where settings come from: each place is read into values by path, each with its origin, and the places are laid over
one another. Knows the names of settings, not what their values mean: that is :mod:`mailer.settings`.

Nothing that a value holds is ever told, only names; and of what is no name, not even that.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigError

__all__ = [
    "ANY",
    "DEFAULT",
    "ENV_FILE",
    "LISTED",
    "OPAQUE",
    "PRESENT",
    "TOML_FILE",
    "WHOLE",
    "Found",
    "Place",
    "Read",
    "Tree",
    "nearest",
    "read_settings",
]

PREFIX = "MAILER_"
ENV_FILE = ".env"
TOML_FILE = "mailer.toml"
DEFAULT = "default"
"""The name of the mailer whose settings stand at the top: ``mailers.default.url`` is ``url``."""
ANY = "*"
"""In a tree: any name may stand here."""

WHOLE = ""
"""In a tree: a single value may stand instead of this table."""

LISTED = "+"
"""In a tree: a single value may stand for the table and, from another place, beside it; found in it by this name."""

PRESENT = "="
"""In a tree: the table means something though it be empty; that it stands there is found in it by this name."""

OPAQUE: Tree = {}
"""In a tree: any value, also a table, that is not looked into."""

_MARKS = (WHOLE, LISTED, PRESENT)

#: Setting -> None, or the settings in it. The same names are written MAILER_A__B in the environment.
Tree = Mapping[str, "Tree | None"]
_Path = tuple[str, ...]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*", re.ASCII)
_SHOWABLE = re.compile(r"[A-Za-z0-9_.-]{1,80}", re.ASCII)

# What container platforms set for every service, so also for one named "mailer" or "mailer-...": Kubernetes' and
# Docker's link variables.
_PLATFORM = re.compile(
    r"MAILER_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)",
    re.ASCII,
)
_PLATFORM_PORT = re.compile(r"(?:tcp|udp|sctp)://", re.ASCII)

_SECRET_FILE_MAX = 65_536
"""Bytes of a secret's file: far beyond any URL, and an end to ``/dev/zero``."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and where it stood.

    Attributes:
        value: As it was found; the name of a file if ``is_file``.
        origin: For people: "MAILER_URL", "mailer.toml: url".
    """

    value: Any = field(repr=False)
    origin: str
    is_file: bool = False

    def read(self) -> Any:
        """The value; a file's content without its line end.

        Raises:
            ConfigError: The file cannot be read. Its name is not told: it may be the secret itself, misplaced.
        """
        if not self.is_file:
            return self.value
        try:
            with open(self.value, "rb") as file:
                content = file.read(_SECRET_FILE_MAX + 1)
            text = content.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            problem = "the file is not UTF-8"
        except (OSError, ValueError) as error:
            problem = f"the file cannot be read: {getattr(error, 'strerror', None) or 'that is no file name'}"
        else:
            if len(content) <= _SECRET_FILE_MAX and text.strip():
                return text
            problem = "the file is empty" if not text.strip() else f"the file is larger than {_SECRET_FILE_MAX} bytes"
        raise ConfigError(f"{self.origin}: {problem}")


@dataclass(frozen=True, slots=True)
class Place:
    """What one place says.

    Attributes:
        base: Path ("mailers", "news", "url") to what was found.
        sections: Name to what holds over the base, when that section is chosen.
        has_no_hyphens: It cannot write "news-letter", and means it by "news_letter".
    """

    base: Mapping[_Path, Found] = field(default_factory=dict)
    sections: Mapping[str, Mapping[_Path, Found]] = field(default_factory=dict)
    has_no_hyphens: bool = False

    @classmethod
    def table(cls, table: object, tree: Tree, before: str = "") -> Place:
        """A mapping, or a TOML file's content.

        Args:
            table: None is an empty one. A key that is no setting, with a table as its value, is a section.
            before: What stands before the path in origins and errors: "mailer.toml: ".

        Raises:
            ConfigError: A key is unknown, given twice, or has a table for a value or a value for a table.
        """
        if table is None:
            return cls()
        if not isinstance(table, Mapping):
            raise ConfigError(f"settings are given as a mapping or as Settings, not as {type(table).__name__}")
        tables = {key: value for key, value in table.items() if _is_section(key, value, tree)}
        base = {key: value for key, value in table.items() if key not in tables}
        in_section = {key: below for key, below in tree.items() if key != "env"}
        sections = {name: _by_path(_leaves(inner, in_section, f"{before}{name}.")) for name, inner in tables.items()}
        return cls(_by_path(_leaves(base, tree, before)), sections)

    @classmethod
    def variables(
        cls, variables: Mapping[str, str | None], tree: Tree, suffix: str = ""
    ) -> tuple[Place, list[tuple[str, str]]]:
        """The environment, or what ``.env`` holds; empty values are none.

        Args:
            suffix: What stands behind the name in origins and errors: " in .env".

        Returns:
            The place, and what to warn of: variables with our prefix that are no setting, each with what to do.

        Raises:
            ConfigError: A setting is given twice: also by its file.
        """
        pairs: list[tuple[_Path, Found]] = []
        unknown: list[tuple[str, str]] = []
        for name in sorted(variables):
            value = (variables[name] or "").strip()
            if not name.startswith(PREFIX) or not value:
                continue
            path = tuple(name[len(PREFIX) :].lower().split("__"))
            is_file = not _is_leaf(path, tree) and path[-1].endswith("_file")
            if is_file:
                path = (*path[:-1], path[-1].removesuffix("_file"))
            if _is_leaf(path, tree) and name == name.upper():
                pairs.append((_kept_at(path, _below(path, tree)), Found(value, name + suffix, is_file)))
            elif not _is_platforms(name, value):
                unknown.append((_shown(name) + suffix, _variable_hint(name, tree)))
        return cls(_by_path(pairs), has_no_hyphens=True), unknown

    @classmethod
    def config(cls, config: Mapping[str, Any], tree: Tree, others: Sequence[str] = ()) -> Place:
        """A web app's own configuration: ``MAILER_URL``, ``MAILER_RETRY__TRIES``, ``MAILER_MAILERS`` with a table.

        A name means what it does in the environment. Values are strings as there, or what a table takes; None and empty
        strings are none. Names in tables may be upper-case, as they are where they come from variables, and count more
        then.

        Args:
            others: What begins so and is for somebody else to read.

        Raises:
            ConfigError: There is no such setting, or it is given twice: also by its file.
        """
        pairs: list[tuple[_Path, Found]] = []
        for name in sorted(name for name in config if isinstance(name, str) and name.startswith(PREFIX)):
            value = config[name]
            if name in others or value is None or (isinstance(value, str) and not value.strip()):
                continue
            path = tuple(name[len(PREFIX) :].lower().split("__"))
            below = _below(path, tree)
            if below is _NOTHING and path[-1].endswith("_file"):
                path = (*path[:-1], path[-1].removesuffix("_file"))
                if _is_leaf(path, tree):
                    if not isinstance(value, (str, os.PathLike)):
                        raise ConfigError(f"{name}: must be a file's name, not {type(value).__name__}")
                    pairs.append((_kept_at(path, _below(path, tree)), Found(value, name, is_file=True)))
                    continue
            if below is _NOTHING:
                raise ConfigError(f"{_shown(name)}: there is no such setting; {_variable_hint(name, tree, others)}")
            pairs += _at(path, _lowered(value, below), below, name)
        return cls(_by_path(pairs))


@dataclass(frozen=True, slots=True)
class Read:
    """What all places say together.

    Attributes:
        found: Path to the value that counts; a named mailer's with all that it takes from the default one.
        inherited: Those that it takes.
        sections: The names of all sections there are.
    """

    found: Mapping[_Path, Found]
    inherited: frozenset[_Path] = frozenset()
    sections: tuple[str, ...] = ()

    def nested(self) -> dict[str, Any]:
        """The values as tables in tables; those in files are read now."""
        top: dict[str, Any] = {}
        for path, found in self.found.items():
            table = top
            for part in path[:-1]:
                table = table.setdefault(part, {})
            table[path[-1]] = found.read()
        return top

    def origins(self) -> dict[str, str]:
        """Dotted path to where its value came from; without what is inherited."""
        return {
            ".".join(part for part in path if part not in _MARKS): found.origin
            for path, found in self.found.items()
            if path not in self.inherited
        }


def read_settings(places: Sequence[Place]) -> Read:
    """Lay the places over one another.

    Args:
        places: What counts more comes first. The section is chosen by the first that has an ``env``.

    Raises:
        ConfigError: No place has that section.
    """
    sections = tuple(dict.fromkeys(name for place in places for name in place.sections))
    chosen = next((place.base["env",] for place in places if ("env",) in place.base), None)
    name = None if chosen is None else chosen.read()
    if chosen is not None and name not in sections:
        if not isinstance(name, str):
            raise ConfigError(f"{chosen.origin}: must be a section's name, not {type(name).__name__}")
        raise ConfigError(f"{chosen.origin}: there is no section {_shown(name)!r}; {nearest(name, sections)}")
    found: dict[_Path, Found] = {}
    hyphened = _hyphened(places)
    for place in reversed(places):
        base = place.base
        if place.has_no_hyphens and hyphened:
            base = {
                (path[0], hyphened.get(path[1], path[1]), *path[2:]) if path[0] == "mailers" else path: one
                for path, one in base.items()
            }
        found = _laid_over(found, base)
        found = _laid_over(found, place.sections.get(name, {}) if name is not None else {})
    top = {path: one for path, one in found.items() if path[0] not in ("mailers", "env")}
    inherited: set[_Path] = set()
    for mailer in dict.fromkeys(path[:2] for path in found if path[0] == "mailers"):
        own = {path: one for path, one in found.items() if path[:2] == mailer}
        # Access tokens belong to their URL: another URL is another server, which must not get them.
        left_out = ("oauth2",) if (*mailer, "url") in own else ()
        taken = {(*mailer, *path): one for path, one in top.items() if path[0] not in left_out}
        whole = _laid_over(taken, own)
        inherited |= whole.keys() - own.keys()
        found |= whole
    return Read(found, frozenset(inherited), sections)


def _hyphened(places: Sequence[Place]) -> dict[str, str]:
    """What variables call a mailer with hyphens in its name, and that name; unless another has just this one."""
    tables = [table for place in places if not place.has_no_hyphens for table in (place.base, *place.sections.values())]
    names = {path[1] for table in tables for path in table if path[0] == "mailers"}
    return {
        name.replace("-", "_"): name for name in sorted(names) if "-" in name and name.replace("-", "_") not in names
    }


def nearest(name: str, known: Sequence[str]) -> str:
    """What an error says behind an unknown name: "did you mean ...?", or what there is."""
    near = difflib.get_close_matches(name.casefold().removeprefix("mailer_"), known, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(map(_shown, known)) or 'none'}"


# --- names ------------------------------------------------------------------------------------------------------------


def _is_section(key: object, value: object, tree: Tree) -> bool:
    """A table that no setting could be meant by: ``[mailer.news]`` is a slip, ``[production]`` a section."""
    if not isinstance(key, str) or not isinstance(value, Mapping) or not _SHOWABLE.fullmatch(key):
        return False
    return not difflib.get_close_matches(key.casefold(), tree, 1, cutoff=0.8)


def _leaves(table: Mapping[Any, Any], tree: Tree, before: str, above: _Path = ()) -> Iterator[tuple[_Path, Found]]:
    """Each value of a table, with its path.

    Args:
        before: What stands before a key in origins and errors: "mailer.toml: production.".
    """
    for key, value in table.items():
        named = before + _shown(key)
        setting = "from" if key == "from_" else str(key)  # from_ in Python, from elsewhere
        if ANY in tree:
            setting = setting.lower()
            if not _NAME.fullmatch(setting):
                raise ConfigError(f"{named}: a name here is of letters and digits, parted by '_' or '-'")
        elif setting not in tree or setting in _MARKS:
            known = [name for name in tree if name not in _MARKS]
            raise ConfigError(f"{named}: there is no such setting; {nearest(setting, known)}")
        yield from _at((*above, setting), value, tree[ANY] if ANY in tree else tree[setting], named)


def _at(path: _Path, value: Any, below: Tree | None, named: str) -> Iterator[tuple[_Path, Found]]:
    """What stands at one setting: its value, or each value of its table."""
    if below and PRESENT in below and (value is None or value is True):  # that it is there is all that is said
        value = {}
    if below is OPAQUE:
        yield path, Found(value, named)
    elif isinstance(value, Mapping):
        if below is None:
            raise ConfigError(f"{named}: must be a value, not a table")
        if PRESENT in below:
            yield (*path, PRESENT), Found(True, named)
        yield from _leaves(value, below, f"{named}.", path)
    elif below is None or WHOLE in below or LISTED in below:
        yield _kept_at(path, below), Found(value, named)
    else:
        raise ConfigError(f"{named}: must be a table, not {type(value).__name__}")


def _lowered(value: Any, below: Tree | None) -> Any:
    """A table with the names of settings in lower case. Where one is there in both, the upper-case one counts more."""
    if not below or not isinstance(value, Mapping):
        return value
    table: dict[Any, Any] = {}
    for key in sorted(value, key=_is_upper):
        setting = key.lower() if _is_upper(key) else key
        inner, before = value[key], table.get(setting)
        is_both = isinstance(inner, Mapping) and isinstance(before, Mapping)
        table[setting] = {**before, **inner} if is_both else inner  # type: ignore[dict-item]
    return {key: _lowered(inner, below.get(ANY) if ANY in below else below.get(key)) for key, inner in table.items()}


def _is_upper(key: object) -> bool:
    return isinstance(key, str) and key.isupper()


def _by_path(pairs: Iterable[tuple[_Path, Found]]) -> dict[_Path, Found]:
    """What each path has; the default mailer's stand at the top.

    Raises:
        ConfigError: A path has two: in two spellings, or also a file.
    """
    found: dict[_Path, Found] = {}
    first: dict[_Path, Found] = {}  # also of each table, the first in it
    for path, one in pairs:
        if path[:2] == ("mailers", DEFAULT):
            path = path[2:]
        over = [found[table] for table in _tables(path) if table in found]
        if path in first or over:
            other = first.get(path) or over[0]
            raise ConfigError(f"{other.origin} and {one.origin} say the same setting: leave one of them out")
        found[path] = one
        for table in (path, *_tables(path)):
            first.setdefault(table, one)
    return found


def _tables(path: _Path) -> Iterator[_Path]:
    """The tables that a setting stands in."""
    return (path[:end] for end in range(1, len(path)))


def _laid_over(below: Mapping[_Path, Found], above: Mapping[_Path, Found]) -> dict[_Path, Found]:
    """Both. A single value hides the table that it stands instead of, and a table the value."""
    tables = {table for path in above for table in _tables(path)}
    seen = {
        path: one
        for path, one in below.items()
        if path not in tables and not any(table in above for table in _tables(path))
    }
    return {**seen, **above}


def _is_leaf(path: _Path, tree: Tree) -> bool:
    below = _below(path, tree)
    return below is None or below is OPAQUE or WHOLE in below or LISTED in below


def _below(path: _Path, tree: Tree) -> Tree | None:
    """What may stand below a setting; a tree of nothing if there is no such setting."""
    below: Tree | None = tree
    for part in path:
        if not below:
            return _NOTHING
        if ANY in below:
            below = below[ANY] if _NAME.fullmatch(part) else _NOTHING
        else:
            below = below[part] if part in below and part not in _MARKS else _NOTHING
    return below


_NOTHING: Tree = dict[str, "Tree | None"]()


def _kept_at(path: _Path, below: Tree | None) -> _Path:
    """Where a single value is found: in the table that it stands for, if it may stand beside it."""
    return (*path, LISTED) if below and LISTED in below else path


def _is_platforms(name: str, value: str) -> bool:
    if _PLATFORM.fullmatch(name):
        return True
    return name.endswith("_PORT") and _PLATFORM_PORT.match(value) is not None


def _variables(tree: Tree, names: Sequence[str], above: str) -> Iterator[str]:
    """All variables that are settings, with a mailer's name where there may be any."""
    for setting, below in tree.items():
        if setting == ANY:
            setting, names = (names[0], names[1:]) if names else ("NAME", ())
        if setting in (WHOLE, LISTED):
            yield above.removesuffix("__")
        elif setting == PRESENT:
            continue
        elif below is None or below is OPAQUE:
            yield above + setting.upper()
        else:
            yield from _variables(below, names, f"{above}{setting.upper()}__")


def _variable_hint(name: str, tree: Tree, others: Sequence[str] = ()) -> str:
    usual = list(_variables(tree, (), ""))
    parts = name.removeprefix(PREFIX).upper().split("__")
    named = list(_variables(tree, parts[1:2], "")) if len(parts) > 2 and _SHOWABLE.fullmatch(name) else usual
    known = [*named, *(f"{one}_FILE" for one in named), *(other.removeprefix(PREFIX) for other in others)]
    near = difflib.get_close_matches("__".join(parts), known, 1)
    top = ", ".join(PREFIX + one for one in usual if "__" not in one)
    return f"did you mean {PREFIX}{near[0]}?" if near else f"there are: {top}, MAILER_MAILERS__NAME__..."


def _shown(name: object) -> str:
    """A name for an error; what is none may be anything, also a secret in the wrong place."""
    return name if isinstance(name, str) and _SHOWABLE.fullmatch(name) else "(no name)"
