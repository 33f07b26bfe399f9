"""Metadata services: where a container and an instance ask for keys, and what is answered. Pure.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import AuthError, ConfigError, MailerError, TransportError
from ..field import printable, shown
from ..redaction import Secrets
from .credentials import AwsCredentials

if TYPE_CHECKING:
    from ..relay.exchange import Response

__all__ = ["container_url", "instance_url", "keys_of", "role_of", "token_of"]

_CONTAINER = "http://169.254.170.2"
_INSTANCE = {"ipv4": "http://169.254.169.254", "ipv6": "http://[fd00:ec2::254]"}
#: Beside this machine itself: ECS, and EKS' pod identity agent. Nobody else is asked, whatever the environment says.
_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost"})
_TOKEN = re.compile(r"[!-~]{1,4096}", re.ASCII)
_ROLE = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_MAX_WORDS = 200


def container_url(environ: Mapping[str, str]) -> str:
    """Where a container's keys are; "" outside of one.

    Raises:
        ConfigError: ``AWS_CONTAINER_CREDENTIALS_FULL_URI`` names a host that is not to be asked.
    """
    relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "")
    if relative:
        return f"{_CONTAINER}{_asked('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', relative, is_path=True)}"
    full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if not full:
        return ""
    name = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    host = urlsplit(_asked(name, full)).hostname or ""
    if host not in _HOSTS and not _is_loopback(host):
        allowed = ", ".join(sorted(_HOSTS))
        raise ConfigError(f"{name}: {shown(host)} is not asked for keys: only this machine, {allowed}")
    return full


def instance_url(environ: Mapping[str, str]) -> str:
    """Where an instance's metadata is; "" where that is switched off.

    Raises:
        ConfigError: ``AWS_EC2_METADATA_SERVICE_ENDPOINT`` is no http URL, or its mode none of the two.
    """
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return ""
    given = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")
    if given:
        return _asked("AWS_EC2_METADATA_SERVICE_ENDPOINT", given).rstrip("/")
    mode = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "") or "ipv4"
    if mode.lower() not in _INSTANCE:
        raise ConfigError(f"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE: must be IPv4 or IPv6, not {shown(mode)}")
    return _INSTANCE[mode.lower()]


def _asked(name: str, value: str, *, is_path: bool = False) -> str:
    """The URL, or its path, if it can be one."""
    good = value.isascii() and value.isprintable() and " " not in value
    try:
        parts = urlsplit(value)
        if is_path:
            good = good and value.startswith("/") and not parts.netloc
        else:
            good = good and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
            _ = parts.port
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"{name}: must be {'a path that begins with /' if is_path else 'an http or https URL'}")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_of(response: Response) -> str:
    """The token of an instance's metadata session, out of the answer to the PUT."""
    text = response.content.decode("ascii", "replace").strip()
    if response.status != 200 or response.cut is not None or not _TOKEN.fullmatch(text):
        raise _none("the instance's metadata service", response, "no session")
    return text


def role_of(response: Response) -> str:
    """The name of the instance's role."""
    lines = response.content.decode("ascii", "replace").split()
    if response.status == 404:
        raise AuthError("the instance has no role: give it an instance profile")
    if response.status != 200 or response.cut is not None or not lines or not _ROLE.fullmatch(lines[0]):
        raise _none("the instance's metadata service", response, "no role")
    return lines[0]


def keys_of(response: Response, who: str, sent: tuple[str, ...] = ()) -> AwsCredentials:
    """The keys out of either service's answer.

    Args:
        who: What it is called in an error.
        sent: Secrets that were sent, which an error may repeat.

    Raises:
        AuthError: It gives none; TransportError: not now.
    """
    body = response.json()
    said = body if isinstance(body, dict) else {}
    if response.status != 200 or response.cut is not None or said.get("Code", "Success") != "Success":
        raise _none(who, response, Secrets(*sent).hide(_words(said)))
    try:
        return AwsCredentials(
            said["AccessKeyId"], said["SecretAccessKey"], said.get("Token") or "", _seconds(said.get("Expiration"))
        )
    except (KeyError, ValueError, TypeError, OverflowError, ConfigError):
        raise AuthError(f"{who} gave no AWS credentials: its answer is not in the form that is documented") from None


def _none(who: str, response: Response, words: str) -> MailerError:
    kind = TransportError if response.status in (408, 429) or response.status >= 500 or response.cut else AuthError
    return kind(f"{who} gave no AWS credentials: HTTP {response.status}{f' {words}' if words else ''}")


def _words(said: Mapping[str, object]) -> str:
    """Its error's code and message; nothing else of an answer is shown."""
    code, text = said.get("Code", said.get("code")), said.get("Message", said.get("message"))
    words = " ".join(str(part) for part in (code, text) if isinstance(part, str) and part != "Success")
    return printable(" ".join(words.split()))[:_MAX_WORDS]


def _seconds(said: object) -> float | None:
    """``2026-01-02T09:04:05Z``"""
    if said is None:
        return None
    if not isinstance(said, str):
        raise ValueError("no time")
    moment = datetime.fromisoformat(said)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.timestamp()
