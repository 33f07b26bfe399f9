"""What a mailer is told about its plug-ins: which, and each one's settings; and the reading of those by its model.

Loaded on first use, as it loads pydantic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ConfigError
from .redaction import MASK, Unpickled
from .sources import LISTED, PRESENT, Found, nearest

if TYPE_CHECKING:
    from .plugin import Plugin

__all__ = ["PluginChoice", "PluginSettings", "PluginTable", "read_plugin_settings"]

M = TypeVar("M", bound=BaseModel)


class PluginSettings(Unpickled, BaseModel):  # type: ignore[misc]  # pydantic would also deepcopy without a memo
    """What a plug-in's settings are made of: a pydantic model, frozen, that names no value in its errors.

    Secrets are fields of pydantic's ``SecretStr``; a pickle would hold them in clear, so there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class PluginTable(dict[str, Any]):
    """A plug-in's settings as they were found, unread.

    Attributes:
        origins: Setting to where it stood: "MAILER_PLUGINS__FOOTER__TEXT".
    """

    def __init__(self, values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
        super().__init__(values)
        self.origins = origins


class PluginChoice:
    """Which plug-ins are on, and their settings. Shows names and no value; is not pickled with values.

    Attributes:
        wanted: Names, classes and plug-ins, in the order given.
        tables: Name to settings as they were found, unread; also of plug-ins that are not on.
        origins: "footer.text" to where that setting stood; what is missing stood in code.
    """

    __slots__ = ("origins", "tables", "wanted")  # and no dataclass: pydantic would show the tables

    def __init__(
        self,
        wanted: tuple[str | Plugin[Any] | type[Plugin[Any]], ...] = (),
        tables: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        self.wanted = wanted
        self.tables = tables
        self.origins: Mapping[str, str] = {}

    @classmethod
    def of(cls, given: Any) -> PluginChoice:
        """Read what a mailer or a setting was given.

        Args:
            given: Names parted by commas or as a list of JSON, or "none"; one class or plug-in, or a list of names,
                classes and plug-ins; or a mapping of name to settings (None and True are no settings), all of which
                are on.

        Raises:
            ConfigError: It is none of these.
        """
        from .plugin import Plugin

        if isinstance(given, PluginChoice):
            return given
        tables: dict[str, Mapping[str, Any]] = {}
        if isinstance(given, Mapping):
            listed = given.get(LISTED)
            for name, table in given.items():
                if name != LISTED:
                    tables[_name(name)] = _table(name, table)
            given = tuple(tables) if listed is None else listed
        if isinstance(given, Plugin) or (isinstance(given, type) and issubclass(given, Plugin)):
            given = [given]
        if isinstance(given, str):
            given = _names(given)
        if not isinstance(given, Iterable) or isinstance(given, (bytes, bytearray)):
            raise ConfigError(f"plugins: must be names, a list or a table, not {type(given).__name__}")
        wanted: list[Any] = []
        for one in given:
            if isinstance(one, str):
                one = _name(one)
            elif not (isinstance(one, Plugin) or (isinstance(one, type) and issubclass(one, Plugin))):
                kind = one.__name__ if isinstance(one, type) else type(one).__name__
                raise ConfigError(f"plugins: must be names and Plugins, not {kind}")
            wanted.append(one)
        return cls(tuple(wanted), tables)

    def with_wanted(self, given: Any) -> PluginChoice:
        """These settings, with the plug-ins and settings that a mailer itself was given; None leaves all as it is."""
        if given is None:
            return self
        own = PluginChoice.of(given)
        both = PluginChoice(own.wanted, {**self.tables, **own.tables})
        both.origins = {key: text for key, text in self.origins.items() if key.partition(".")[0] not in own.tables}
        return both

    def table(self, name: str) -> PluginTable:
        """The settings of one plug-in."""
        start = f"{name}."
        origins = {key.removeprefix(start): text for key, text in self.origins.items() if key.startswith(start)}
        return PluginTable(self.tables.get(name, {}), origins)

    @property
    def names(self) -> tuple[str, ...]:
        """What is on, by name."""
        return tuple(one if isinstance(one, str) else one.name for one in self.wanted)

    def shown(self) -> dict[str, Any] | list[str] | None:
        """As JSON may show it: no value of a setting, for whoever reads it knows not which are secret."""
        tables = {name: dict.fromkeys(table, MASK) for name, table in self.tables.items() if table}
        if tables:
            return {"": list(self.names), **tables}
        return list(self.names) or None

    def __repr__(self) -> str:
        return f"PluginChoice({', '.join(self.names)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PluginChoice):
            return NotImplemented
        return (self.wanted, self.tables) == (other.wanted, other.tables)

    __hash__ = None  # type: ignore[assignment]  # it holds mappings

    def __copy__(self) -> PluginChoice:
        return self

    def __deepcopy__(self, memo: object) -> PluginChoice:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if any(self.tables.values()) or not all(isinstance(one, str) for one in self.wanted):
            raise TypeError("settings of plug-ins may be credentials and are not pickled: read them in that process")
        return (PluginChoice, (self.wanted, {}))


def _names(text: str) -> list[Any]:
    """What a string lists. What is wrong with it is told without it: it may be the settings of a plug-in."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            names = json.loads(text)
        except ValueError:
            names = None
        if isinstance(names, list):
            return names
        raise ConfigError(
            "plugins: names parted by commas, or a list of JSON; a plug-in's settings stand below its name: "
            "MAILER_PLUGINS__NAME__SETTING, [plugins.name] in mailer.toml, or a mapping"
        )
    text = "" if text.strip().lower() == "none" else text
    return [name for one in text.split(",") if (name := one.strip())]


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise ConfigError(f"plugins: a plug-in's name is a string, not {type(name).__name__}")
    return name.strip().lower().replace("-", "_")


def _table(name: object, table: object) -> Mapping[str, Any]:
    if table is None or table is True:
        return {}
    if not isinstance(table, Mapping):
        raise ConfigError(f"plugins.{_name(name)}: must be a table of settings, not {type(table).__name__}")
    return {str(key): value for key, value in table.items() if key != PRESENT}


# --- reading ----------------------------------------------------------------------------------------------------------


def read_plugin_settings(name: str, model: type[M], given: Mapping[str, Any]) -> M:
    """A plug-in's settings, by its model.

    Args:
        given: As code, TOML or environment variables have them. A string is split at commas where the model has a list,
            and read as JSON where it begins as that does and the model has a list or a table. "x_file" is the name of
            a file that holds "x", where the model has the one and not the other.

    Raises:
        ConfigError: A setting is unknown, missing or wrong. The text names each and shows no value.
    """
    origins = given.origins if isinstance(given, PluginTable) else {}
    known = {
        info.validation_alias if isinstance(info.validation_alias, str) else field: field
        for field, info in model.model_fields.items()
    }
    values: dict[str, Any] = {}
    for key, value in given.items():
        where = origins.get(key, f"plugins.{name}.{key}")
        base = key.removesuffix("_file")
        if key not in known and base != key and base in known:
            if base in given:
                other = origins.get(base, f"plugins.{name}.{base}")
                raise ConfigError(f"{where} and {other} say the same setting: leave one of them out")
            key, value = base, Found(value, where, is_file=True).read()
        if key not in known:
            raise ConfigError(f"{where}: there is no such setting; {nearest(key, list(known))}")
        values[key] = _unfolded(value, model.model_fields[known[key]].annotation, where)
    problems: str | None = None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = "; ".join(f"{_where(name, one['loc'], origins)}: {_said(one['type'], one['msg'])}" for one in found)
    raise ConfigError(problems)  # a new one: the chain behind it has the values


def _where(name: str, location: tuple[int | str, ...], origins: Mapping[str, str]) -> str:
    """Where a setting stood, and what of it is meant."""
    first = str(location[0]) if location else ""  # a fault of all settings together has no place
    where = origins.get(first, f"plugins.{name}.{first}".rstrip("."))
    return ".".join((where, *map(str, location[1:])))


def _said(kind: str, text: str) -> str:
    if kind == "extra_forbidden":  # in a table within the settings; of the settings themselves that is known before
        return "there is no such setting"
    return text.removeprefix("Value error, ").replace("Input should be", "must be", 1)


_LISTS = (list, tuple, set, frozenset)


def _unfolded(value: Any, annotation: Any, where: str) -> Any:
    """What a string means where the model has a list or a table."""
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kinds = {get_origin(one) or one for one in choices}
    is_list, is_table = bool(kinds & set(_LISTS)), bool(kinds & {dict, Mapping})
    if not isinstance(value, str) or str in kinds or not (is_list or is_table):
        return value
    if value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            pass
        raise ConfigError(f"{where}: is not JSON")
    return [item for one in value.split(",") if (item := one.strip())] if is_list else value
