"""The files that settings stand in: ``.env``, as python-dotenv reads it, and ``mailer.toml``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .sources import ENV_FILE, TOML_FILE

__all__ = ["read_env_file", "read_toml_file"]


def read_env_file(path: str | os.PathLike[str] | None) -> Mapping[str, str | None]:
    """The variables of a ``.env`` file, as python-dotenv reads it; none if there is no path, or no usual file.

    Raises:
        ConfigError: It cannot be read, or another than the usual one is not there.
    """
    from pydantic_settings import BaseSettings, DotEnvSettingsSource

    if path is None or _is_absent(path, ENV_FILE):
        return {}
    if os.path.isdir(path):  # pydantic-settings would pass over it
        raise ConfigError(f"{path} cannot be read: Is a directory")
    try:
        source = DotEnvSettingsSource(
            BaseSettings, env_file=Path(path), env_file_encoding="utf-8-sig", case_sensitive=True
        )
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    else:
        return source.env_vars
    raise ConfigError(f"{path} {problem}")


def read_toml_file(path: str | os.PathLike[str] | None) -> Mapping[str, Any]:
    """What a TOML file holds; nothing if there is no path, or no usual file.

    Raises:
        ConfigError: It cannot be read or is not TOML, or another than the usual one is not there.
    """
    import tomllib

    if path is None or _is_absent(path, TOML_FILE):
        return {}
    try:
        with open(path, "rb") as file:
            return tomllib.loads(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = f"is not TOML: {error if isinstance(error, tomllib.TOMLDecodeError) else 'it is nested too deeply'}"
    raise ConfigError(f"{path} {problem}")


def _is_absent(path: str | os.PathLike[str], usual: str) -> bool:
    """Whether there is none; one that was asked for must be there."""
    if os.path.exists(path):
        return False
    if path != usual:
        raise ConfigError(f"{path} is not there")
    return True
