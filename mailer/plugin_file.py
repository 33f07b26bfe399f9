"""The files of a plug-in folder as an app's admin page shows them: who each says it is, before anything of it is run.

WordPress reads a plug-in's header so. Here it is the class: its ``name`` and ``version``, written out, and the first
line of its docstring. To switch one on while the app runs::

    [file] = [file for file in plugin_files("/srv/app/plugins") if file.name == "mentions"]
    mailer.plugins.add(file.load())
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .plugin_places import plugins_in_folder, source_of
from .redaction import words_of

if TYPE_CHECKING:
    from .plugin import Plugin

__all__ = ["PluginFile", "plugin_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFile:
    """A plug-in's file, read and not run.

    Attributes:
        path: Where it lies.
        name: The plug-in's; "" if that could not be read.
        version: Its own; "" if it says none.
        description: The first paragraph of its docstring, on one line.
        requires: Names of plug-ins that must be on.
        problem: Why it cannot be loaded, as far as reading tells; None if nothing speaks against it.
    """

    path: Path
    name: str = ""
    version: str = ""
    description: str = ""
    requires: tuple[str, ...] = ()
    problem: str | None = None
    _run: Callable[[], type[Plugin[Any]]] = field(repr=False, compare=False)

    def load(self) -> type[Plugin[Any]]:
        """Run the file, as it stands now, and return its plug-in. The same content is run once in a process.

        Raises:
            ConfigError: It is no plug-in, or anything at all was raised, ``SystemExit`` too; the text names the file.
        """
        if self.problem is not None:
            raise ConfigError(self.problem)
        try:
            kind = self._run()
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # an admin's page outlives what is dropped in
            raise ConfigError(f"{self.path} cannot be loaded: it raised {type(error).__name__}") from error
        if kind.name != self.name:
            raise ConfigError(f"{self.path}: is the plug-in {kind.name!r} now, no more {self.name!r}: read it again")
        return kind


def plugin_files(folder: str | os.PathLike[str]) -> list[PluginFile]:
    """Read the plug-ins of a folder, by file name; what cannot be one is among them, with its problem.

    Of two files of one name the second has the problem.

    Raises:
        ConfigError: The folder is not there, or anybody may write in it.
    """
    found: dict[str, str] = {}
    files = []
    for name, run in plugins_in_folder(folder):
        path = Path(name)
        try:
            said = _said(path, source_of(path))
            if said["name"] in found:
                raise ConfigError(f"{path}: plug-in {said['name']!r} is there twice: {found[said['name']]} has it too")
        except ConfigError as error:
            files.append(PluginFile(path=path, problem=str(error), _run=run))
        else:
            found[said["name"]] = path.name
            files.append(PluginFile(path=path, **said, _run=run))
    return files


def _said(path: Path, source: bytes) -> dict[str, Any]:
    """What a file says of its plug-in."""
    try:
        tree = ast.parse(source, str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        words = words_of(error) if isinstance(error, SyntaxError) else type(error).__name__
        raise ConfigError(f"{path} cannot be loaded: {words}") from None
    named = [
        (kind, said) for kind in tree.body if isinstance(kind, ast.ClassDef) and "name" in (said := _written(kind))
    ]
    if len(named) != 1:
        raise ConfigError(f"{path}: must define one Plugin with a name that is written out, not {len(named)}")
    [(kind, said)] = named
    first = (ast.get_docstring(kind) or ast.get_docstring(tree) or "").partition("\n\n")[0]
    requires = said.get("requires", ())
    return {
        "name": said["name"],
        "version": said.get("version", ""),
        "description": " ".join(first.split()),
        "requires": tuple(one for one in requires if isinstance(one, str)),
    }


def _written(kind: ast.ClassDef) -> dict[str, Any]:
    """The attributes of a class that are strings, or tuples or lists of constants."""
    said: dict[str, Any] = {}
    for line in kind.body:
        targets: Iterable[ast.expr] = ()
        if isinstance(line, ast.Assign):
            targets = line.targets
        elif isinstance(line, ast.AnnAssign):
            targets = (line.target,)
        value = getattr(line, "value", None)
        for target in targets:
            if not isinstance(target, ast.Name):
                continue
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                said[target.id] = value.value
            elif target.id == "requires" and isinstance(value, (ast.Tuple, ast.List)):
                said[target.id] = [one.value for one in value.elts if isinstance(one, ast.Constant)]
    return said
