"""AWS' own files: ``~/.aws/credentials`` and ``~/.aws/config``, by profile. Pure: texts in, what they say out.

https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ConfigError
from ..field import shown
from .credentials import AwsCredentials

__all__ = ["Profile", "profile_of", "sections_of"]

#: Settings that say that the keys are to be had elsewhere, which takes more than reading them.
_ELSEWHERE = (
    "role_arn",
    "source_profile",
    "credential_source",
    "credential_process",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "login_session",
)

Sections = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is said of one profile.

    Attributes:
        keys: Its keys, or None.
        region: Its region, or "".
        elsewhere: The setting by which its keys are to be had elsewhere, or "".
    """

    keys: AwsCredentials | None = None
    region: str = ""
    elsewhere: str = ""


def sections_of(text: str, path: str) -> dict[str, dict[str, str]]:
    """A file's profiles by name, each with its settings in lower case; other sections are left out.

    Args:
        path: What it is called in an error.

    Raises:
        ConfigError: It is no such file.
    """
    parser = configparser.RawConfigParser(default_section="\0", strict=False, delimiters=("=",))
    try:
        parser.read_string(text.removeprefix("\ufeff"))
    except configparser.Error as error:  # whose text, and chain, quote the line
        where = getattr(error, "lineno", None)
        raise ConfigError(f"{path} cannot be read{f', line {where}' if where else ''}: it has no [profile]") from None
    found: dict[str, dict[str, str]] = {}
    for section in parser.sections():
        try:
            words = shlex.split(section)
        except ValueError:
            words = [section]
        name = words[1] if len(words) == 2 and words[0] == "profile" else section.strip()
        if len(words) == 2 and words[0] != "profile":
            continue  # "sso-session x", "services x"
        found[name] = {**found.get(name, {}), **dict(parser.items(section))}
    return found


def profile_of(credentials: Sections, config: Sections, name: str) -> Profile | None:
    """What the two files say of a profile; None if neither names it. Keys of the first come before the second's.

    Raises:
        ConfigError: Its keys cannot be any, or one of a pair is missing.
    """
    if name not in credentials and name not in config:
        return None
    own, further = credentials.get(name, {}), config.get(name, {})
    keys = _keys(own, name) or _keys(further, name)
    elsewhere = "" if keys else next((key for key in _ELSEWHERE if own.get(key) or further.get(key)), "")
    return Profile(keys, further.get("region", "") or own.get("region", ""), elsewhere)


def _keys(settings: Mapping[str, str], name: str) -> AwsCredentials | None:
    key, secret = settings.get("aws_access_key_id", "").strip(), settings.get("aws_secret_access_key", "").strip()
    if not key and not secret:
        return None
    if not key or not secret:
        raise ConfigError(f"AWS profile {shown(name)} has but one of aws_access_key_id and aws_secret_access_key")
    token = settings.get("aws_session_token", "") or settings.get("aws_security_token", "")
    return AwsCredentials(key, secret, token.strip())
